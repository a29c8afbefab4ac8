"""The backend passes the suite, calls a model's methods as the reference does, and says why a model does not load."""

from __future__ import annotations

import gc
import json
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from arithmetic_suite import ARITHMETIC, TENSORS, ArithmeticSuite
from charonia.testing.builders import model_config, write_model


class TestCustom(ArithmeticSuite):
    """The backend "python" passes the suite that every backend passes."""


LIFE = """
class TritonPythonModel:
    def initialize(self, args):
        self.args = args

    def execute(self, requests):
        told = np.array([json.dumps(self.args)], np.object_)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", told)]) for _ in requests]

    def finalize(self):
        with open(pb_utils.get_model_dir() + "/finalized", "a") as file:
            file.write(self.args["model_instance_name"] + " ")
"""


def test_initialize_gets_text_about_model_and_instance(serve):
    """All arguments are text: the complete configuration as JSON, names, version, device, and the model's directory."""
    model = serve(LIFE, outputs=[("Y", "BYTES", [1])])
    args = json.loads(model.infer({"X": [1]})["Y"][0])
    config = json.loads(args.pop("model_config"))
    assert config["name"] == "m"
    assert config["input"][0]["data_type"] == "TYPE_INT32"
    assert args == {
        "model_instance_kind": "CPU",
        "model_instance_name": "m_0",
        "model_instance_device_id": "0",
        "model_repository": str(serve.repository / "m"),
        "model_version": "1",
        "model_name": "m",
    }


def test_finalize_is_called_once_for_each_instance(serve):
    """Every instance has an object of its own, which is told when the model is unloaded."""
    serve.write("m", LIFE, outputs=[("Y", "BYTES", [1])], instance_count=2)
    server = serve.start()
    server.close()
    assert sorted((serve.repository / "m/1/finalized").read_text().split()) == ["m_0_0", "m_0_1"]


def test_instances_share_what_the_modules_hold(serve):
    """What a module holds, such as weights, is there once, and every instance computes with it."""
    source = """
    WEIGHTS = np.arange(3, dtype=np.int32)
    USED_BY = {}
    MEETING = threading.Barrier(2)

    class TritonPythonModel:
        def execute(self, requests):
            MEETING.wait(30)
            USED_BY[self] = WEIGHTS
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", WEIGHTS[2:])]) for _ in requests]
    """
    model = serve(source, instance_count=2)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: model.infer({"X": [1]})["Y"].tolist(), range(2)))
    assert answers == [[2], [2]]
    used = list(serve.module().USED_BY.values())
    assert len(used) == 2
    assert used[0] is used[1]


def test_a_model_may_do_with_execute_alone(execute):
    """Neither `initialize` nor `finalize` nor `auto_complete_config` is needed."""
    model = execute("return [pb_utils.InferenceResponse([pb_utils.Tensor('Y', np.zeros(1, np.int32))])]")
    assert model.infer({"X": [1]})["Y"].tolist() == [0]


def test_another_file_name_is_taken_from_the_configuration(serve):
    """`default_model_filename` names the model's file."""
    config = model_config("m", backend="python", **TENSORS)
    config.default_model_filename = "my-net.py"
    write_model(serve.repository, config, {"1/my-net.py": ARITHMETIC})
    ones = np.ones((1, 4), np.float32)
    assert serve.start().model("m").infer({"INPUT0": ones, "INPUT1": ones})["SUM"].tolist() == [[2, 2, 2, 2]]


COMPLETING = """
class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "X", "data_type": "TYPE_INT32", "dims": [1], "optional": True})
        config.add_output({"name": "Y", "data_type": "TYPE_INT32", "dims": [1]})
        config.set_max_batch_size(4)
        config.set_dynamic_batching()
        config.set_model_transaction_policy({"decoupled": True})
        return config

    def execute(self, requests):
        pass
"""


def test_completion_is_seen_in_the_configuration(serve):
    """What `auto_complete_config` says becomes the configuration, and a file is not needed."""
    serve.write("m", COMPLETING)
    (serve.repository / "m/config.pbtxt").unlink()
    config = serve.start().model_config("m")
    assert [tensor.name for tensor in config.input] == ["X"]
    assert config.input[0].optional
    assert [tensor.name for tensor in config.output] == ["Y"]
    assert config.max_batch_size == 4
    assert config.model_transaction_policy.decoupled


def test_completion_is_not_called_where_it_is_switched_off(serve):
    """With --disable-auto-complete-config the configuration stays as it is written."""
    serve.write("m", COMPLETING)
    server = serve.start(disable_auto_complete_config=True)
    assert server.model_config("m").max_batch_size == 0


def test_without_configuration_and_completion_a_model_has_no_tensors(serve):
    """As in the reference, such a model loads, with no inputs and outputs."""
    serve.write("m", "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n")
    (serve.repository / "m/config.pbtxt").unlink()
    assert not serve.start().model_config("m").input


AT = "\n\nAt:\n  {path}({line}): {place}\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "raise Exception('import boom')\n",
            "Exception: import boom" + AT.format(path="{path}", line=1, place="<module>"),
        ),
        ("import sys\nsys.exit('gone')\n", "SystemExit: gone" + AT.format(path="{path}", line=2, place="<module>")),
        (
            "class Panic(BaseException): pass\nraise Panic('rust')\n",
            "Panic: rust" + AT.format(path="{path}", line=2, place="<module>"),
        ),
        ("def\n", "SyntaxError: invalid syntax (model.py, line 1)"),
        (
            "class Other: pass\n",
            (
                "AttributeError: module '1.model' has no attribute 'TritonPythonModel': "
                "{path} must define the model as a class of this name"
            ),
        ),
        (
            "class TritonPythonModel:\n    def __init__(self):\n        1 / 0\n",
            "ZeroDivisionError: division by zero" + AT.format(path="{path}", line=3, place="__init__"),
        ),
        (
            (
                "import triton_python_backend_utils as pb\nclass TritonPythonModel:\n    def initialize(self, args):\n"
                "        raise pb.TritonModelException('init nope')\n"
            ),
            "TritonModelException: init nope" + AT.format(path="{path}", line=4, place="initialize"),
        ),
        (
            (
                "class TritonPythonModel:\n    @staticmethod\n    def auto_complete_config(config):\n"
                "        config.set_max_batch_size(-1)\n        return config\n"
            ),
            "ValueError: configuration specified max_batch_size 0, but in auto-complete-config function for model 'm' "
            "specified max_batch_size -1" + AT.format(path="{path}", line=4, place="auto_complete_config"),
        ),
        (
            "class TritonPythonModel:\n    @staticmethod\n    def auto_complete_config(config):\n        pass\n",
            "auto_complete_config function in model 'm' must return a valid pb.ModelConfig object.",
        ),
    ],
)
def test_reason_of_a_model_that_does_not_load(serve, source, reason):
    """The reason has the text of what was raised and the model's own lines of code, as in the reference."""
    path = serve.repository / "m/1/model.py"
    assert serve.reason(source, head="") == "Internal: " + reason.format(path=path)


def test_reason_of_a_model_without_its_file(serve):
    """The file that is looked for is named."""
    write_model(serve.repository, model_config("m", backend="python"))
    (row,) = serve.start(exit_on_error=False).index()
    assert row.reason == f"Internal: Python model file not found in '{serve.repository / 'm/1/model.py'}'"


def test_unknown_datatype_of_a_completion_is_named(serve):
    """A completion that is no configuration fails the model."""
    source = """
    class TritonPythonModel:
        @staticmethod
        def auto_complete_config(config):
            config.add_input({"name": "Z", "data_type": "TYPE_FLOAT", "dims": [1]})
            return config
    """
    assert 'found "TYPE_FLOAT"' in serve.reason(source)


@pytest.mark.parametrize("kind", ["SystemExit", "GeneratorExit"])
def test_a_model_that_exits_in_finalize_is_still_closed(serve, caplog, kind):
    """`sys.exit()` in `finalize` is logged, and ends nothing else, and neither does whatever else is no Exception."""
    source = f"class TritonPythonModel:\n    def finalize(self):\n        raise {kind}('bye')\n"
    serve.write("m", source)
    server = serve.start()
    server.close()
    assert f"{kind}: bye" in caplog.text


def test_a_closed_model_leaves_nothing_in_memory(serve):
    """What a model's modules and objects held is free once the model is closed, without a run of the garbage collector."""
    source = """
    class Weights: pass

    WEIGHTS = Weights()

    class TritonPythonModel:
        def initialize(self, args):
            self.weights = Weights()
    """
    serve.write("m", source)
    server = serve.start()
    weights = weakref.ref(serve.module().WEIGHTS)
    gc.disable()
    try:
        server.close()
        assert weights() is None
    finally:
        gc.enable()


def test_a_failed_load_leaves_the_serving_model_alone(serve):
    """A new version of the file that cannot be imported changes nothing for those who use the old one."""
    good = (
        "class TritonPythonModel:\n    def execute(self, requests):\n        return [pb_utils.InferenceResponse([])]\n"
    )
    serve.write("m", good)
    server = serve.start()
    (serve.repository / "m/1/model.py").write_text("1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        server.load("m")
    assert not server.model("m").infer({"X": [1]}).outputs
