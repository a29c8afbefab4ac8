"""Looking for what may wait in a model's source."""

from __future__ import annotations

import builtins
import io
import math
import os
import sys
import textwrap
import time

import numpy as np
import pytest
import triton_python_backend_utils as pb_utils
from charonia_backend_custom.harmless_names import HARMLESS_BUILTINS, is_harmless, is_known
from charonia_backend_custom.imports import ModelFinder, ModelImports
from charonia_backend_custom.waiting_code import what_may_wait
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from triton_python_backend_utils.place import ModelPlace

HEAD = """\
import base64, io, itertools, json, os, sys, time
from pathlib import Path
import numpy as np
import triton_python_backend_utils as pb_utils
"""

MODULES = (io, math, np, np.linalg, os, pb_utils, sys, time)


@pytest.fixture
def look(tmp_path):
    """Give a function that tells what may wait in a model of this source, with other files beside it."""
    version = tmp_path / "m" / "1"
    version.mkdir(parents=True)
    (version / "model.py").touch()
    finder = ModelFinder()

    def written(source, **files):
        for name, text in {"model": source, **files}.items():
            (version / f"{name}.py").write_text(textwrap.dedent(text))
        imports = ModelImports(ModelPlace("m", 1, version, host=None), finder)
        try:
            imports.load(version / "model.py")
            return what_may_wait(imports.modules())
        finally:
            imports.close()

    yield written
    finder.close()


def model(execute="pass", *, load="pass", head=HEAD):
    """Write a model that does this for a request, and that while it is loaded."""
    lines = [
        *head.splitlines(),
        "class TritonPythonModel:",
        "    def initialize(self, args):",
        *textwrap.indent(textwrap.dedent(load), " " * 8).splitlines(),
        "    def execute(self, requests):",
        *textwrap.indent(textwrap.dedent(execute), " " * 8).splitlines(),
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "execute",
    [
        "return [pb_utils.InferenceResponse([pb_utils.Tensor('Y', np.zeros(1))]) for request in requests]",
        "pb_utils.get_input_tensor_by_name(requests[0], 'X').as_numpy().sum(axis=0)",
        "return np.linalg.norm(np.lib.stride_tricks.sliding_window_view(self.rows, 2))",
        "json.loads(requests[0].parameters()).get('key', os.environ.get('KEY'))",
        "name = os.path.join(os.path.dirname(__file__), 'x')",
        "began = time.perf_counter()\nfor x in range(3): self.total += x",
        "if requests[0].is_cancelled(): raise ValueError('gone')",
        "return getattr(self, 'name', None)",
        "return base64.b64encode(io.BytesIO(b'x').getvalue())",
        "self._times = self.__class__.__name__",
        "return [pb_utils.InferenceResponse(error=pb_utils.TritonError(f'{error}')) for error in self.errors]",
        "pb_utils.Logger.log_info('hello')",
        "return sorted(requests, key=lambda request: request.request_id())",
        "def double(x: os.DirEntry) -> int:\n    y: time.sleep = 2\n    return x * y\nreturn map(double, [1, 2])",
    ],
)
def test_code_that_only_computes(look, execute):
    """Arithmetic, tensors, JSON, paths as text, errors and the clock: nothing of it waits."""
    assert look(model(execute)) == ""


@pytest.mark.parametrize(
    ("execute", "told"),
    [
        ("time.sleep(1)", "line 9: uses time.sleep"),
        ("open('x')", "uses open"),
        ("files = map(open, ['x'])", "uses open"),
        ("input()", "uses input"),
        ("print('hello')", "uses print"),
        ("eval('1')", "uses eval"),
        ("__import__('time')", "uses __import__"),
        ("__builtins__['open']", "uses __builtins__"),
        ("__charonia_model__.host", "uses __charonia_model__"),
        ("globals()", "uses globals"),
        ("import threading", "imports something in a function"),
        ("np.load('x')", "uses np.load"),
        ("np.zeros(3).tofile('x')", "uses .tofile"),
        ("np.lib.npyio.os.system('x')", "uses np.lib.npyio"),
        ("np.testing.assert_equal(1, 1)", "uses np.testing.assert_equal"),
        ("module = np", "passes the module np on"),
        ("module = np.linalg", "uses np.linalg"),
        ("np.zeros = None", "uses np.zeros"),
        ("os.system('x')", "uses os.system"),
        ("sys.modules['time']", "uses sys.modules"),
        ("io.open('x')", "uses io.open"),
        ("Path('x').read_text()", "uses .read_text"),
        ("pb_utils.InferenceRequest()", "uses pb_utils.InferenceRequest"),
        ("pb_utils.load_model('x')", "uses pb_utils.load_model"),
        ("requests[0].exec()", "uses .exec"),
        ("requests[0].get_response_sender()", "uses .get_response_sender"),
        ("requests[0]._request", "uses ._request"),
        ("getattr(requests[0], 'ex' + 'ec')", "uses getattr with a name that is computed"),
        ("getattr(requests[0], 'exec')", "uses .exec"),
        ("getattr(requests[0], '_request')", "uses ._request"),
        ("map(getattr, requests)", "uses getattr"),
        ("self.execute.__globals__", "uses .__globals__"),
        ("while not self.done: pass", "a loop without an end in sight"),
        ("for _ in iter(int, 1): pass", "a loop without an end in sight"),
        ("for _ in itertools.count(): pass", "uses itertools.count"),
        ("self.initialize({})", "uses .initialize"),
        ("async def later(): pass", "a coroutine"),
    ],
)
def test_code_that_may_wait(look, execute, told):
    """Files, sleep, other models, other code, and what leads to them by a detour are found, with their place."""
    assert told in look(model(execute))


@pytest.mark.parametrize(
    "head", ["import threading", "import click", "from time import sleep", "from numpy import *", "import asyncio"]
)
def test_imports_of_what_may_wait(look, head):
    """A module that does more than compute need not be used: objects of it could be met anywhere."""
    assert "imports" in look(model(head=head))


@pytest.mark.parametrize(
    "load",
    [
        "self.weights = np.load(Path(__file__).with_name('weights.npy'))",
        "with open('labels') as file:\n    self.labels = file.read().splitlines()",
        "with Path('labels').open() as file:\n    self.labels = json.load(file)",
        "self.labels = Path('labels').read_text() if Path('labels').exists() else ''",
        "print('loaded', os.listdir('.'))",
        "while not args: pass",
    ],
)
def test_files_are_read_while_a_model_is_loaded(look, load):
    """What runs once, before any request, may read files, and take its time."""
    assert look(model(load=load)) == ""
    assert look(model(load)) != ""


@pytest.mark.parametrize(
    "load",
    [
        "self.file = open('labels')",
        "self.read = Path('labels').read_text",
        "self.load = np.load",
        "self.say = print",
        "self.read = lambda: Path('labels').read_text()",
        "self.arrays = (np.load(name) for name in args)",
        "def read(): return np.load('x')\nself.read = read",
        "self.files = Path('x').iterdir()",
    ],
)
def test_what_is_loaded_may_not_wait_later(look, load):
    """A file that stays open, or a function that will read one, can be met by a request."""
    assert look(model(load=load)) != ""


def test_modules_beside_the_model_are_looked_at(look):
    """They are the model's code as well, by whichever import."""
    for head in (
        "import neighbour",
        "from neighbour import work",
        "from . import neighbour",
        "from .neighbour import work",
    ):
        assert look(model(head=head), neighbour="def work(): return 1") == ""
        told = look(model(head=head), neighbour="import time\ndef work(): time.sleep(1)")
        assert told.endswith("neighbour.py, line 2: uses time.sleep")
    assert look(model("neighbour.time.sleep(1)", head="import neighbour"), neighbour="import time") != ""
    assert look(model("neighbour.work()", head="import neighbour"), neighbour="def work(): return 1") == ""


def test_imports_for_types_alone(look):
    """What is imported under TYPE_CHECKING is not there when the code runs."""
    head = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import threading"
    assert look(model(head=head)) == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(sys.stdlib_module_names)))
def test_unknown_modules_may_wait(look, name):
    """Whichever module of Python's is not known to be harmless cannot be imported without doubt."""
    source = f"if 0:\n    import {name}\nclass TritonPythonModel: pass"
    assert (look(source) == "") is is_known(name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(data=st.data())
def test_unknown_names_may_wait(look, data):
    """Whichever name of a module, or of those that are built in, is not known to be harmless, raises a doubt when it is used."""
    module = data.draw(st.sampled_from(MODULES))
    name = data.draw(st.sampled_from(sorted(name for name in dir(module) if name.isidentifier())))
    harmless = is_harmless(module.__name__, name) and not isinstance(getattr(module, name), type(os))
    head = f"import {module.__name__}\nfound = None"
    assert (look(model(f"x = {module.__name__}.{name}", head=head)) == "") is harmless
    built_in = data.draw(st.sampled_from(sorted(set(vars(builtins)) - {"True", "False", "None", "__debug__"})))
    assert (look(model(f"x = {built_in}")) == "") is (built_in in HARMLESS_BUILTINS)


def test_what_cannot_be_read_may_wait(look, tmp_path):
    """A file that has gone since it was imported, or that is no source."""
    source = "from pathlib import Path\nPath(__file__).unlink()\nclass TritonPythonModel: pass"
    assert "No such file" in look(source)
