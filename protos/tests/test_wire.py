"""The messages are the reference's, and live beside a client's in one process."""

import subprocess
import sys

import pytest

BOTH_WORK = """
theirs = service_pb2.ModelInferRequest(model_name="m", id="1")
theirs.inputs.add(name="x", datatype="FP32", shape=[1, 2])
theirs.parameters["priority"].uint64_param = 3
theirs.raw_input_contents.append(b"12345678")
ours = grpc_service_pb2.ModelInferRequest.FromString(theirs.SerializeToString())
assert ours.inputs[0].shape == [1, 2]
assert ours.parameters["priority"].WhichOneof("parameter_choice") == "uint64_param"
assert service_pb2.ModelInferRequest.FromString(ours.SerializeToString()) == theirs

ours = grpc_service_pb2.ModelConfigResponse()
ours.config.name = "m"
ours.config.input.add(name="x", data_type=model_config_pb2.TYPE_FP32, dims=[-1])
ours.config.dynamic_batching.preferred_batch_size.append(4)
theirs = service_pb2.ModelConfigResponse.FromString(ours.SerializeToString())
assert theirs.config.WhichOneof("scheduling_choice") == "dynamic_batching"
assert theirs.config.input[0].data_type == model_config_pb2.TYPE_FP32
assert grpc_service_pb2.ModelConfigResponse.FromString(theirs.SerializeToString()) == ours
"""
OURS = "from charonia_protos import grpc_service_pb2, model_config_pb2"
THEIRS = "import tritonclient.grpc; from tritonclient.grpc import service_pb2"


@pytest.mark.parametrize("imports", [[OURS, THEIRS], [THEIRS, OURS]], ids=["ours-first", "theirs-first"])
def test_lives_beside_the_client_in_either_order(imports):
    """Both modules import in one process, and each parses the bytes of the other."""
    program = "\n".join([*imports, BOTH_WORK])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_works_under_both_implementations_of_protobuf(implementation):
    """The fast and the pure-Python protobuf both make the classes, and the configuration alone needs no gRPC."""
    program = (
        "import sys; from charonia_protos import model_config_pb2 as m\n"
        "c = m.ModelConfig(name='m', instance_group=[m.ModelInstanceGroup(kind=m.ModelInstanceGroup.KIND_CPU)])\n"
        "assert m.ModelConfig.FromString(c.SerializeToString()) == c\n"
        "assert m.ModelInstanceGroup.Kind.Name(c.instance_group[0].kind) == 'KIND_CPU'\n"
        "assert 'grpc' not in sys.modules\n"
    )
    environment = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def field_row(field):
    """List what a field says about the wire."""
    kind = field.message_type or field.enum_type
    oneof = field.containing_oneof
    return (
        *(field.containing_type.full_name, field.name, field.number, field.type, field.is_repeated, field.json_name),
        *(kind.full_name if kind else None, oneof.name if oneof else None),
    )


def message_table(message):
    """List the fields and enum values of a message and of the messages in it."""
    rows = {field_row(field) for field in message.fields}
    rows |= {(enum.full_name, value.name, value.number) for enum in message.enum_types for value in enum.values}
    return rows.union({(message.full_name,)}, *(message_table(nested) for nested in message.nested_types))


def call_row(call):
    """List what a call says about the wire."""
    streams = (call.client_streaming, call.server_streaming)
    return (call.full_name, call.input_type.full_name, call.output_type.full_name, *streams)


def file_table(file):
    """List all that a file says about the wire."""
    rows = {(e.full_name, v.name, v.number) for e in file.enum_types_by_name.values() for v in e.values}
    rows |= {call_row(call) for service in file.services_by_name.values() for call in service.methods}
    return rows.union(*(message_table(message) for message in file.message_types_by_name.values()))


@pytest.mark.parametrize("name", ["model_config", "grpc_service"])
def test_equals_the_reference_on_the_wire(name):
    """Every message, field, number, type, enum and call is the one that the reference's client knows."""
    from charonia_protos import grpc_service_pb2, model_config_pb2
    from tritonclient.grpc import model_config_pb2 as their_config
    from tritonclient.grpc import service_pb2 as their_service

    ours, theirs = {
        "model_config": (model_config_pb2, their_config),
        "grpc_service": (grpc_service_pb2, their_service),
    }[name]
    assert file_table(ours.DESCRIPTOR) == file_table(theirs.DESCRIPTOR)


def test_messages_can_be_copied_and_pickled():
    """A message of the package survives copy.deepcopy and pickle, as generated classes do."""
    import copy
    import pickle

    from charonia_protos import model_config_pb2

    config = model_config_pb2.ModelConfig(name="m", max_batch_size=3)
    assert pickle.loads(pickle.dumps(config)) == config == copy.deepcopy(config)
