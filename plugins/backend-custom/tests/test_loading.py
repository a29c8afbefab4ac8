"""Models that load and unload others, and ask whether they serve."""

from __future__ import annotations

import pytest

CONTROL = """
class TritonPythonModel:
    def execute(self, requests):
        try:
            told = repr({wish})
        except (pb_utils.TritonModelException, TypeError) as error:
            told = str(error)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([told], np.object_))])]
"""
OTHER = "class TritonPythonModel:\n    pass\n"
REFUSED = "Failed to process the request for model 'm_0', message: "


@pytest.fixture
def told(serve):
    """Serve a model "m" that has a wish, and tell the answer; gives the server, too."""

    def ask(wish, **options):
        serve.write("m", CONTROL.format(wish=wish), outputs=[("Y", "BYTES", [1])])
        serve.write("other", OTHER)
        server = serve.start(**options)
        return server.model("m").infer({"X": [0]})["Y"][0].decode(), server

    return ask


@pytest.mark.parametrize(
    ("wish", "answer"),
    [
        ("pb_utils.is_model_ready('other')", "True"),
        ("pb_utils.is_model_ready(model_name='other', model_version='1')", "True"),
        ("pb_utils.is_model_ready('other', '9')", "False"),
        ("pb_utils.is_model_ready('ghost')", "False"),
        (
            "pb_utils.is_model_ready('other', 'x')",
            (
                f"Failed to check model readiness: {REFUSED}failed to get model version from specified version string 'x' (details: "
                "stol), version should be an integral value > 0"
            ),
        ),
        ("pb_utils.is_model_ready('other', 1)", "the model's version is str, not int"),
        (
            "pb_utils.load_model('other', {'backend': 'x'})",
            "the configuration, which is JSON, is str, not dict",
        ),
        (
            "pb_utils.load_model('other', '{}', {'file:a': 'x'})",
            "the content of 'file:a' is bytes, not str",
        ),
        ("pb_utils.unload_model(3)", "the model's name is str, not int"),
        (
            "pb_utils.load_model('other')",
            f"Failed to load model: {REFUSED}explicit model load / unload is not allowed if polling is enabled",
        ),
        (
            "pb_utils.unload_model('other')",
            f"Failed to unload model: {REFUSED}explicit model load / unload is not allowed if polling is enabled",
        ),
    ],
)
def test_wishes_where_the_operator_decides(told, wish, answer):
    """Without the control mode "explicit", a model may ask, and change nothing, in the reference's words."""
    assert told(wish)[0] == answer


def test_a_model_loads_and_unloads_another(told):
    """In the control mode "explicit", a model decides what serves."""
    explicit = {"model_control_mode": "explicit", "load_model": ["m"]}
    answer, server = told("(pb_utils.load_model('other'), pb_utils.is_model_ready('other'))", **explicit)
    assert answer == "(None, True)"
    assert server.can_serve("other")
    explicit["load_model"] = ["m", "other"]
    answer, server = told("(pb_utils.unload_model('other'), pb_utils.is_model_ready('other'))", **explicit)
    assert answer == "(None, False)"
    assert not server.can_serve("other")


def test_files_and_configuration_come_with_the_load(told):
    """Files are named as in the protocol, and need a configuration."""
    wish = (
        "(pb_utils.load_model(model_name='new', config=json.dumps({'backend': 'python'}), "
        f"files={{'file:1/model.py': {OTHER.encode()!r}}}), pb_utils.is_model_ready('new'))"
    )
    assert told(wish, model_control_mode="explicit", load_model=["m"])[0] == "(None, True)"


def test_a_load_that_fails_tells_why(told):
    """The reason is that which any client gets."""
    answer, _ = told("pb_utils.load_model('ghost')", model_control_mode="explicit", load_model=["m"])
    assert answer.startswith(f"Failed to load model: {REFUSED}failed to load 'ghost'")


def test_a_model_cannot_load_itself_while_it_is_made(serve):
    """That would wait for itself."""
    source = "class TritonPythonModel:\n    def initialize(self, args):\n        pb_utils.load_model('m')\n"
    assert "model 'm' cannot load itself while it is being initialised" in serve.reason(source)


@pytest.mark.parametrize("where", ["import", "auto_complete_config", "initialize"])
def test_a_program_that_is_interrupted_while_it_loads(serve, where):
    """Ctrl-C is for the program that loads on its main thread, and no failure of the model, which can be loaded again."""
    source = """
    import os, signal
    from pathlib import Path

    def interrupt(where):
        if where == "WHERE" and not (once := Path(__file__).with_name("once")).exists():
            once.touch()
            signal.raise_signal(signal.SIGINT)

    interrupt("import")

    class TritonPythonModel:
        @staticmethod
        def auto_complete_config(config):
            interrupt("auto_complete_config")
            return config

        def initialize(self, args):
            interrupt("initialize")

        def execute(self, requests):
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.zeros(1, np.int32))]) for _ in requests]
    """.replace("WHERE", where)
    serve.write("m", source)
    server = serve.start(model_control_mode="explicit")
    with pytest.raises(KeyboardInterrupt):
        server.load("m")
    server.load("m")
    assert server.model("m").infer({"X": [1]})["Y"] == 0
