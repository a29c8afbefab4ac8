"""How sessions share the cores."""

from __future__ import annotations

from charonia.backend import Device
from charonia_backend_onnx.threads import fair_intra_op_threads, instances_by_device, session_device, usable_cores
from charonia_protos.model_config_pb2 import ModelConfig
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

CPU = Device("CPU")


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 256))
def test_sessions_never_keep_more_threads_busy_than_cores_unless_instances_alone_do(instances, cores):
    """Pool threads and instance threads of all sessions together fit the cores, or there is no pool at all."""
    total = sum(instances)
    pools = [fair_intra_op_threads(count, total, cores) for count in instances]
    assert min(pools) >= 1
    busy = sum(pool - 1 + count for pool, count in zip(pools, instances, strict=True))
    assert busy <= max(cores, total) or set(pools) == {1}


def test_lone_instance_has_all_cores():
    """One instance may use the whole machine, and a session without instances asks for no less than the caller."""
    assert fair_intra_op_threads(1, 1, 16) == 16
    assert fair_intra_op_threads(2, 2, 16) == 15
    assert fair_intra_op_threads(0, 0, 1) == 1


def test_instances_are_counted_where_they_run():
    """Each GPU of a group has the group's count; KIND_MODEL is on the CPU; passive groups take no cores."""
    text = """
        instance_group { kind: KIND_CPU count: 2 } instance_group { kind: KIND_MODEL count: 1 }
        instance_group { kind: KIND_GPU count: 3 gpus: [ 0, 1 ] } instance_group { kind: KIND_CPU count: 9 passive: true }"""
    counts = instances_by_device(text_format.Parse(text, ModelConfig()))
    assert counts == {CPU: 3, Device("GPU", 0): 3, Device("GPU", 1): 3}


def test_model_and_cpu_instances_share_a_session():
    """An instance that leaves its device to the model uses the CPU's session, and each GPU has its own."""
    assert session_device(Device("MODEL")) == session_device(CPU) == CPU
    assert session_device(Device("GPU", 1)) == Device("GPU", 1)


def test_machine_has_a_core():
    """What the process may use is counted, not what is built in."""
    assert usable_cores() >= 1
