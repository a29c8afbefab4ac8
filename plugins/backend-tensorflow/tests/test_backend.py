"""SavedModels, run by the real TensorFlow, through a real server in process."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from charonia import DataType
from charonia.errors import InternalError, InvalidArgumentError
from charonia.testing.framework_suite import FrameworkSuite

TENSORFLOWS = {"FP16": "float16", "FP32": "float32", "FP64": "float64", "BF16": "bfloat16", "BYTES": "string"}
SAMPLES = {
    "BOOL": [[True, False, True]],
    "BYTES": [[b"a", b"\xff\0", b""]],
}


def tensorflows(datatype):
    return TENSORFLOWS.get(datatype, datatype.lower())


class TestTensorFlowBackend(FrameworkSuite):
    """The suite of backends for frameworks."""

    backend = "tensorflow"
    file = "model.savedmodel"

    @pytest.fixture(autouse=True)
    def _builder(self, models):
        self.models = models

    def save_model(self, path):
        table = tf.Variable([7.0, 8.0])
        saved = self.models.saved(
            lambda x, row: {"Y": x / 2, "Z": tf.gather(table, row)},
            [("X", "float32", (None, 2)), ("I", "int64", (None, 1))],
            keep=table,
        )
        shutil.copytree(saved, path)

    def save_broken_model(self, path):
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"?" * 99)


@pytest.mark.parametrize("datatype", [datatype.name for datatype in DataType])
def test_every_datatype_comes_back_as_it_went(serve, repository, models, reason, datatype):
    """Without a configuration, a model of each datatype gives back what it got, also nothing at all, and a scalar as one element."""
    saved = models.saved(
        lambda x, s: {"Y": tf.identity(x), "T": tf.identity(s)},
        [("X", tensorflows(datatype), (None, None)), ("S", tensorflows(datatype), ())],
    )
    server = serve(repository(saved))
    assert reason(server) == ""
    assert [list(tensor.shape) for tensor in server.model_metadata("m").inputs] == [[1], [-1, -1]]
    dtype = DataType[datatype].dtype
    sent = np.array(SAMPLES.get(datatype, [[1, 2, 3]]), dtype=dtype)
    for x in (sent, sent.T, sent[:, ::2], sent[:0]):
        answer = server.model("m").infer({"X": x, "S": sent[0, :1]})
        assert (answer["Y"].dtype, answer["T"].dtype) == (dtype, dtype)
        assert (answer["Y"].tolist(), answer["T"].tolist()) == (x.tolist(), sent[0, :1].tolist())


def test_weights_compute(serve, repository, models):
    """A model with variables gives the numbers that numpy gives, and needs no configuration to batch."""
    server = serve(repository(models.perceptron()))
    inputs = np.array([[1, 2, 3], [-1, 0.5, 2]], np.float32)
    weights = np.arange(12, dtype=np.float32).reshape(3, 4) - 6
    np.testing.assert_allclose(server.model("m").infer({"X": inputs})["Y"], np.maximum(inputs @ weights, 0), rtol=1e-6)
    config = server.model_config("m")
    assert (config.max_batch_size, config.platform, config.backend) == (4, "tensorflow_savedmodel", "tensorflow")
    assert (list(config.input[0].dims), list(config.output[0].dims)) == ([3], [4])
    assert config.instance_group[0].count == 2


def test_model_of_keras_is_served(serve, repository, tmp_path):
    """What Keras exports is a SavedModel, with the names that Keras gives."""
    keras = tf.keras.Sequential([tf.keras.layers.Input((3,)), tf.keras.layers.Dense(2)])
    keras.export(tmp_path / "exported", verbose=False)
    server = serve(repository(tmp_path / "exported"))
    (name,) = [tensor.name for tensor in server.model_metadata("m").inputs]
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(server.model("m").infer({name: x})["output_0"], keras(x), rtol=1e-5)


def test_tables_are_initialised(serve, repository, models):
    """A look-up of strings works, since the initialisers of resources run when the model loads."""
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([b"cat", b"dog"], [1, 2]), -1)
    saved = models.saved(lambda word: {"number": table.lookup(word)}, [("word", "string", (None, 1))], keep=table)
    answer = serve(repository(saved)).model("m").infer({"word": [["dog"], ["cow"], ["cat"]]})
    assert answer["number"].tolist() == [[2], [-1], [1]]


def test_files_of_the_model_are_found(serve, repository, models, tmp_path):
    """A table that comes from a file, which the SavedModel carries in its assets, is read from where the model lies."""
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("cat\ndog\n")
    whole = tf.lookup.TextFileIndex
    initialiser = tf.lookup.TextFileInitializer(
        str(vocabulary), tf.string, whole.WHOLE_LINE, tf.int64, whole.LINE_NUMBER
    )
    table = tf.lookup.StaticHashTable(initialiser, -1)
    saved = models.saved(lambda word: {"number": table.lookup(word)}, [("word", "string", (None, 1))], keep=table)
    vocabulary.unlink()
    answer = serve(repository(saved)).model("m").infer({"word": [["dog"], ["cow"]]})
    assert answer["number"].tolist() == [[1], [-1]]


def test_model_of_version_1_is_served(serve, repository, models):
    """A SavedModel of TensorFlow 1, with its variables of the older kind, is loaded like any other."""
    answer = serve(repository(models.of_version_1())).model("m").infer({"X": [[1.0, 2.0, 3.0]]})
    assert answer["Y"].tolist() == [[2.0, 4.0, 6.0]]


def test_input_with_a_default_may_be_left_out(serve, repository, models, full_config):
    """A placeholder with a default is an input that a configuration may make optional."""

    def build():
        x = tf.compat.v1.placeholder("float32", [None, 3], name="x")
        offset = tf.compat.v1.placeholder_with_default(tf.constant([1.0, 1.0, 1.0]), [None], name="offset")
        tf.add(x, offset, name="y")

    config = """
        input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] },
                { name: "offset" data_type: TYPE_FP32 dims: [ 3 ] optional: true } ]
        output [ { name: "y" data_type: TYPE_FP32 dims: [ -1, 3 ] } ]"""
    handle = serve(repository(models.graph_def(build), config)).model("m")
    zeros = np.zeros((1, 3), np.float32)
    assert handle.infer({"x": zeros})["y"].tolist() == [[1, 1, 1]]
    assert handle.infer({"x": zeros, "offset": np.array([5, 6, 7], np.float32)})["y"].tolist() == [[5, 6, 7]]


def test_input_that_is_optional_only_in_the_configuration_is_the_callers_to_give(serve, repository, models):
    """Where the graph needs what the caller left out, the caller is told, and nothing is called a fault of the server."""
    saved = models.saved(lambda x, z: {"Y": x + z}, [(name, "float32", (None, 1)) for name in "XZ"])
    config = """
        input [ { name: "X" dims: [ 1 ] data_type: TYPE_FP32 }, { name: "Z" optional: true dims: [ 1 ] data_type: TYPE_FP32 } ]"""
    handle = serve(repository(saved, config)).model("m")
    with pytest.raises(InvalidArgumentError, match="You must feed a value for placeholder tensor"):
        handle.infer({"X": [[1.0]]})
    assert handle.infer({"X": [[1.0]], "Z": [[2.0]]})["Y"].tolist() == [[3.0]]


def test_rank_that_the_model_does_not_tell_is_the_configurations_to_say(serve, repository, models, reason):
    """A tensor of unknown rank takes the configured dims, batching or not, and is asked for where they are missing."""
    saved = models.identity(shape=None)
    assert "must specify 'dims'" in reason(serve(repository(saved, name="bare")), "bare")
    tensors = 'input [ { name: "X" dims: [ 2 ] } ] output [ { name: "Y" dims: [ 2 ] } ]'
    server = serve(repository(saved, f"max_batch_size: 8 {tensors}"))
    assert server.model("m").infer({"X": [[1.0, 2.0], [3.0, 4.0]]})["Y"].tolist() == [[1, 2], [3, 4]]


def test_fewer_outputs_may_be_served_in_another_order(serve, repository, models):
    """The configuration chooses among the outputs of a signature, and their order."""
    saved = models.saved(lambda x: {"A": x, "B": -x, "C": 2 * x}, [("X", "float32", (None, 1))])
    server = serve(repository(saved, 'output [ { name: "C" }, { name: "A" } ]'))
    answer = server.model("m").infer({"X": [[3.0]]})
    assert {name: array.tolist() for name, array in answer.outputs.items()} == {"C": [[6]], "A": [[3]]}


def test_dimension_that_only_the_graph_fixes_is_checked(serve, repository, models, full_config):
    """A shape that the configuration allows and the graph does not is refused, though TensorFlow's operators would take it."""
    handle = serve(repository(models.identity(), full_config(x_dims="[ -1 ]"))).model("m")
    with pytest.raises(InvalidArgumentError, match=r"^input 'X' has shape \[1, 5\], but the model takes \[-1, 3\]"):
        handle.infer({"X": np.zeros((1, 5), np.float32)})
    assert handle.infer({"X": np.zeros((1, 3), np.float32)})["Y"].shape == (1, 3)


def test_inputs_are_not_written_to(serve, repository, models):
    """TensorFlow computes in place where it may; the caller's arrays, which it borrows, are none of its own."""
    handle = serve(repository(models.saved(lambda x: {"Y": tf.nn.relu(-x)}, [("X", "float32", (None, 512))]))).model(
        "m"
    )
    sent = np.arange(1024, dtype=np.float32).reshape(2, 512)
    handle.infer({"X": sent})
    assert sent.tolist() == np.arange(1024, dtype=np.float32).reshape(2, 512).tolist()


def test_refused_values_are_the_callers_and_told_without_noise(serve, repository, models, caplog):
    """What an operator refuses is INVALID_ARG, in one line with the node's name; the next request runs."""
    saved = models.saved(lambda x: {"Y": tf.reshape(x, [2, -1])}, [("X", "float32", (None,))])
    handle = serve(repository(saved, "max_batch_size: 0 " + 'input [ { name: "X" dims: [ -1 ] } ]')).model("m")
    with pytest.raises(InvalidArgumentError, match=r"^tensorflow error: .*\(node .*Reshape\)$") as caught:
        handle.infer({"X": np.zeros(3, np.float32)})
    assert "\n" not in str(caught.value)
    assert "[[" not in str(caught.value)
    assert handle.infer({"X": np.zeros(4, np.float32)})["Y"].shape == (2, 2)


def test_failing_model_is_internal_and_told_in_the_log(serve, repository, models, caplog, full_config):
    """A model whose variables were never set fails by its own fault."""

    def build():
        x = tf.compat.v1.placeholder("float32", [None, 3], name="X")
        tf.multiply(x, tf.compat.v1.Variable(2.0, use_resource=False), name="Y")

    handle = serve(repository(models.graph_def(build), full_config())).model("m")
    with pytest.raises(InternalError, match=r"tensorflow error: .*uninitialized"):
        handle.infer({"X": [[1.0, 2.0, 3.0]]})
    assert len([record for record in caplog.records if "uninitialized" in record.message]) == 1


def test_libraries_of_operators_are_loaded(serve, repository, models, reason, full_config):
    """A library that the configuration names is loaded before the model; one that cannot be is named."""
    root = tf.sysconfig.get_lib()
    library = f"{root}/lite/experimental/microfrontend/python/ops/_audio_microfrontend_op.so"
    good = f'model_operations {{ op_library_filename: "{library}" }}'
    assert reason(serve(repository(models.identity(), full_config(good)))) == ""
    bad = 'model_operations { op_library_filename: "none.so" }'
    told = reason(serve(repository(models.identity(), full_config(bad), name="bad")), "bad")
    assert "names 'none.so' in model_operations.op_library_filename, which cannot be used" in told


def test_one_thread_computes_calls_loops_branches_and_tables(serve, repository, models):
    """Nothing in a graph waits for a second thread where a model wants one, also with many requests at once."""
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([b"cat"], [3]), -1)

    def collatz(word):
        number = table.lookup(word)
        for _ in tf.range(7):
            number = tf.where(number % 2 == 0, number // 2, 3 * number + 1)
        if tf.reduce_all(number == 1):
            number = -number
        return {"number": number}

    saved = models.saved(collatz, [("word", "string", (None, 1))], keep=table)
    alone = 'parameters { key: "TF_NUM_INTER_THREADS" value { string_value: "1" } } instance_group { count: 4 kind: KIND_CPU }'
    handle = serve(repository(saved, alone)).model("m")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: handle.infer({"word": [["cat"]]})["number"].tolist(), range(200)))
    assert answers == [[[-1]]] * 200
