"""Python models, written here as text, and servers around them."""

from __future__ import annotations

import sys
import textwrap

import pytest
from charonia import ServerOptions
from charonia.testing.builders import model_config, write_model

HEAD = """\
import json
import threading
import numpy as np
import triton_python_backend_utils as pb_utils


"""

ONE = {"inputs": [("X", "INT32", [1])], "outputs": [("Y", "INT32", [1])], "max_batch_size": 0}


class ServeModel:
    """Serves one model, and gives its handle. The head of imports is written before the source."""

    def __init__(self, repository, server):
        self.repository = repository
        self._server = server

    def __call__(self, source, *, head=HEAD, files=None, **config):
        """Serve a model that must load."""
        self.write("m", source, head=head, files=files, **config)
        return self.start().model("m")

    def write(self, name, source, *, head=HEAD, files=None, **config):
        """Write a model; gives its directory."""
        described = model_config(name, backend="python", **{**ONE, **config})
        return write_model(self.repository, described, {"1/model.py": head + textwrap.dedent(source), **(files or {})})

    def start(self, **options):
        """Start a server."""
        return self._server(self.repository, options=ServerOptions(**options))

    @staticmethod
    def call(model, x="[3]", *, way="exec()", **arguments):
        """The source of a call of another model, with an INT32 input X."""
        told = "".join(f", {name}={value!r}" for name, value in arguments.items())
        return (
            f"pb_utils.InferenceRequest(model_name={model!r}, inputs=[pb_utils.Tensor('X', np.array({x}, np.int32))]{told})"
            f".{way}"
        )

    @staticmethod
    def modules():
        """Give the modules of the models that are loaded."""
        return [
            module
            for name, module in sys.modules.items()
            if name.startswith("charonia_model_") and name.endswith(".model")
        ]

    def module(self):
        """Give the module of the one model that is loaded, so that a test can look into it."""
        (module,) = self.modules()
        return module

    def reason(self, source, **written):
        """Tell why a model does not load."""
        self.write("m", source, **written)
        server = self.start(exit_on_error=False)
        (row,) = server.index()
        assert row.state == "UNAVAILABLE"
        return row.reason


@pytest.fixture
def serve(model_repository, server):
    """Serve models that a test writes as text."""
    return ServeModel(model_repository, server)


@pytest.fixture
def execute(serve):
    """Serve a model whose `execute` has the given body."""

    def start(body, **config):
        return serve(
            f"class TritonPythonModel:\n    def execute(self, requests):\n{textwrap.indent(textwrap.dedent(body), ' ' * 8)}",
            **config,
        )

    return start
