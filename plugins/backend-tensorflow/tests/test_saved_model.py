"""Which graph and signature of a SavedModel is served, and what is told where none can be."""

from __future__ import annotations

import pytest


def doubled_and_negated(models):
    """Save a model with two signatures, none of them the usual one."""
    return models.saved(None, [("X", "float32", (None, 1))], double=lambda x: {"Y": 2 * x}, negate=lambda x: {"Y": -x})


def parameter(name, value):
    return f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'


@pytest.mark.parametrize(("name", "answer"), [("double", 6.0), ("negate", -3.0)])
def test_signature_is_chosen_by_its_parameter(serve, repository, models, name, answer):
    """Each signature of a model can be served."""
    server = serve(repository(doubled_and_negated(models), parameter("TF_SIGNATURE_DEF", name)))
    assert server.model("m").infer({"X": [[3.0]]})["Y"].tolist() == [[answer]]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", "has no signature 'serving_default', but double, negate: choose with the parameter TF_SIGNATURE_DEF"),
        ("dubble", "has no signature 'dubble', but double, negate: did you mean 'double'? choose with"),
    ],
)
def test_signature_that_is_not_there_is_told_beside_those_that_are(serve, repository, models, reason, written, told):
    """Of several signatures, none is taken by chance."""
    config = parameter("TF_SIGNATURE_DEF", written) if written else None
    assert told in reason(serve(repository(doubled_and_negated(models), config)))


def test_only_other_signature_and_graph_are_taken(serve, repository, models):
    """Where there is one signature and one graph, their names do not matter."""
    server = serve(repository(models.of_version_1(tags=("serve", "gpu"), signature="predict")))
    assert server.model("m").infer({"X": [[1.0, 1.0, 1.0]]})["Y"].tolist() == [[2.0, 2.0, 2.0]]


def test_graph_is_chosen_by_its_tags(serve, repository, models, reason):
    """A parameter names the tags, with commas between them; other tags are told beside those that are there."""
    saved = models.of_version_1(tags=("train", "tpu"))
    server = serve(repository(saved, parameter("TF_GRAPH_TAG", "tpu, train")))
    assert server.model("m").infer({"X": [[1.0, 1.0, 1.0]]})["Y"].tolist() == [[2.0, 2.0, 2.0]]
    told = reason(serve(repository(saved, parameter("TF_GRAPH_TAG", "tpu"), name="other")), "other")
    assert "has no graph with the tags 'tpu', but 'tpu,train': choose with the parameter TF_GRAPH_TAG" in told


def test_text_form_is_read(serve, repository, models):
    """`saved_model.pbtxt` is as good as `saved_model.pb`."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    saved = models.identity()
    message = saved_model_pb2.SavedModel.FromString((saved / "saved_model.pb").read_bytes())
    (saved / "saved_model.pb").unlink()
    (saved / "saved_model.pbtxt").write_text(text_format.MessageToString(message))
    assert serve(repository(saved)).model("m").infer({"X": [[1.0, 2.0, 3.0]]})["Y"].tolist() == [[1.0, 2.0, 3.0]]


def test_sparse_input_is_refused(serve, repository, models, reason):
    """What is no plain tensor cannot be carried, and the text names it."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = models.identity()
    message = saved_model_pb2.SavedModel.FromString((saved / "saved_model.pb").read_bytes())
    info = message.meta_graphs[0].signature_def["serving_default"].inputs["X"]
    info.coo_sparse.values_tensor_name = info.name
    (saved / "saved_model.pb").write_bytes(message.SerializeToString())
    assert "input 'X' of the signature is a coo_sparse, which the protocol cannot carry" in reason(
        serve(repository(saved))
    )


def test_type_that_the_protocol_lacks_is_refused(serve, repository, models, reason):
    """A complex number cannot be carried, and the text says what to do."""
    told = reason(serve(repository(models.identity("complex64"))))
    assert told == (
        "Unsupported: input 'X' of the model has type complex64, which the protocol cannot carry: cast it inside the model"
    )


def test_configuration_is_checked_against_the_signature(serve, repository, models, reason, full_config):
    """Names, datatypes and shapes that the signature does not have are told with what it has."""
    for name, config, told in (
        (
            "a",
            full_config(x="x"),
            "unexpected inference input 'x' in the configuration of model 'a', allowed inputs are: X",
        ),
        ("b", full_config(x_dims="[ 4 ]"), "the model expects shape [-1, 3] but the model configuration specifies"),
        ("c", full_config().replace("FP32", "INT8", 1), "expects datatype TYPE_INT8 for input 'X', model provides"),
    ):
        assert told in reason(serve(repository(models.identity(), config, name=name)), name)
