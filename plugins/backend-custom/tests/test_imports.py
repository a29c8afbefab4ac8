"""A model's modules are its own: found beside it, apart from other models', and forgotten with it."""

from __future__ import annotations

import gc
import sys
from contextlib import ExitStack

import pytest
from charonia.errors import InternalError
from models_apart import APART

MODEL = """\
import numpy as np
import triton_python_backend_utils as pb_utils
{imports}

class TritonPythonModel:
    def execute(self, requests):
        {late}
        value = np.array([{value}], np.int32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", value)]) for _ in requests]
"""


def model(imports="", value="0", late="pass"):
    """The source of a model that answers with the value of an expression."""
    return MODEL.format(imports=imports, value=value, late=late)


def answer(handle):
    """Ask a model."""
    return int(handle.infer({"X": [0]})["Y"][0])


def test_neighbours_are_imported_from_the_version_and_the_model_directory(serve):
    """`import` finds modules and packages in the version's directory, then in the model's."""
    files = {
        "1/near.py": "VALUE = 1\n",
        "far.py": "import near\nVALUE = near.VALUE + 10\n",
        "1/pack/__init__.py": "from .inner import VALUE\n",
        "1/pack/inner.py": "from far import VALUE\n",
    }
    imports = "import near\nimport pack.inner\nimport pack.inner as deep\nfrom pack import VALUE, inner\n"
    assert (
        answer(serve(model(imports, "near.VALUE + pack.inner.VALUE + deep.VALUE + VALUE"), head="", files=files)) == 34
    )


def test_relative_imports(serve):
    """The version's directory is the model's package."""
    files = {"1/near.py": "VALUE = 2\n", "1/__init__.py": "BASE = 40\n"}
    assert (
        answer(serve(model("from .near import VALUE\nfrom . import BASE, near", "BASE + VALUE"), head="", files=files))
        == 42
    )


def test_models_do_not_share_modules_of_one_name(serve):
    """Two models with a module of the same name each get their own, also when it is imported while they execute."""
    for name, value in (("one", 1), ("two", 2)):
        serve.write(
            name,
            model(late="import settings", value="settings.VALUE"),
            head="",
            files={"1/settings.py": f"VALUE = {value}\n"},
        )
    server = serve.start()
    for _ in range(2):
        assert [answer(server.model(name)) for name in ("one", "two")] == [1, 2]
    assert "settings" not in sys.modules


def test_versions_of_a_model_do_not_share_modules(serve):
    """Each version has its own directory, and so its own modules."""
    files = {"1/near.py": "VALUE = 1\n", "2/near.py": "VALUE = 2\n", "2/model.py": model("import near", "near.VALUE")}
    serve.write("m", model("import near", "near.VALUE"), head="", files=files)
    with (serve.repository / "m/config.pbtxt").open("a") as config:
        config.write("version_policy { all {} }")
    server = serve.start()
    assert [answer(server.model("m", version)) for version in (1, 2)] == [1, 2]


def test_paths_that_a_model_adds_stay_its_own(serve):
    """What a model puts on `sys.path`, in its own directory, is searched for it, and for no other model."""
    imports = "import os, sys\nsys.path.append(os.path.join(os.path.dirname(__file__), 'lib'))\nimport deep"
    serve.write(
        "one",
        model(imports, "deep.VALUE"),
        head="",
        files={"1/lib/deep.py": "VALUE = 5\n", "1/lib/late.py": "VALUE = 6\n"},
    )
    serve.write("two", model(late="import late", value="late.VALUE"), head="")
    before = list(sys.path)
    server = serve.start()
    assert sys.path == before
    assert answer(server.model("one")) == 5
    assert "deep" not in sys.modules
    with pytest.raises(InternalError, match="ModuleNotFoundError: No module named 'late'"):
        answer(server.model("two"))


def test_installed_packages_come_first(serve):
    """As in the reference, a file of the model does not hide an installed package or the standard library."""
    files = {"1/json.py": "1 / 0\n", "1/pytest.py": "1 / 0\n"}
    assert answer(serve(model("import json, pytest", "len(json.dumps(1))"), head="", files=files)) == 1


def test_modules_are_forgotten_at_unload_and_read_anew(serve):
    """After the end no module of the model is left; a load runs the files as they are now, and writes nothing beside them."""
    directory = serve.write("m", model("import near", "near.VALUE"), head="", files={"1/near.py": "VALUE = 1\n"})
    finders = list(sys.meta_path)
    server = serve.start()
    assert answer(server.model("m")) == 1
    (directory / "1/near.py").write_text("VALUE = 2\n")
    server.load("m")
    assert answer(server.model("m")) == 2
    (directory / "1/near.py").write_text("VALUE = 3\n")
    server.close()
    assert [name for name in sys.modules if name.startswith("charonia_model_")] == []
    assert sys.meta_path == finders
    assert answer(serve.start().model("m")) == 3
    assert list(directory.rglob("__pycache__")) == []


def test_missing_module_is_named(serve):
    """An import of what is nowhere fails as everywhere."""
    path = serve.repository / "m/1/model.py"
    reason = serve.reason("import no_such_thing\n", head="")
    assert reason == f"Internal: ModuleNotFoundError: No module named 'no_such_thing'\n\nAt:\n  {path}(1): <module>\n"


def test_dataclasses_and_pickle_find_their_module(serve):
    """What looks its own module up by name, as dataclasses and pickle do, finds it."""
    imports = "import pickle\nfrom dataclasses import dataclass\n@dataclass\nclass Point:\n    x: 'int'\n"
    assert answer(serve(model(imports, "pickle.loads(pickle.dumps(Point(3))).x"), head="")) == 3


@pytest.fixture
def meanwhile():
    """Have something done again and again from now on, as other threads could, which a collection of garbage lets run anywhere."""
    with ExitStack() as stack:

        def begin(act):
            def collect(phase, _):
                if phase == "start":
                    act()

            stack.callback(gc.set_threshold, *gc.get_threshold())
            stack.callback(gc.callbacks.remove, collect)
            gc.callbacks.append(collect)
            gc.set_threshold(1, 1_000_000, 1_000_000)

        yield begin


def test_what_was_pickled_elsewhere_finds_a_module_under_its_plain_name(serve):
    """A pickle made outside of the server names a file of the model as that is named there, and the model may tell which it is."""
    imports = "import pickle, sys\nimport near\nsys.modules['near'] = near\n"
    pickled = repr(b"cnear\nmake\n.")  # by its name alone, as functions and classes are
    handle = serve(model(imports, f"pickle.loads({pickled})()"), head="", files={"1/near.py": "def make(): return 6\n"})
    try:
        assert answer(handle) == 6
    finally:
        sys.modules.pop("near", None)


@pytest.mark.parametrize(
    "value",
    [
        "pickle.loads(b'cnear\\nmake\\n.')()",
        "pickle._loads(b'cnear\\nmake\\n.')()",
        "importlib.import_module('near').make()",
        "importlib.import_module('pack.inner').make()",
        "0 if importlib.import_module('near') is not near else near.make()",
        "0 if importlib.import_module('pack.inner') is not pack.inner else pack.inner.make()",
        "int(near.__spec__.name != near.__name__) or sys.modules['pack'].inner.make()",
    ],
)
def test_in_a_process_of_its_own_a_models_modules_have_their_plain_names_too(serve, value):
    """What was pickled elsewhere, and what imports by a name, finds the files of the one model, each of them once."""
    imports = "import importlib, pickle, sys\nimport near\nimport pack.inner\n"
    files = {
        "1/near.py": "def make(): return 6\n",
        "pack/__init__.py": "",
        "pack/inner.py": "from near import make\n",
    }
    assert answer(serve(model(imports, value), head="", files=files, **APART)) == 6


def test_a_pickle_is_the_first_to_ask_for_a_module(serve):
    """In a process of its own, a model need not have imported what it reads from a file."""
    value = "pickle.loads(b'cnear\\nmake\\n.')()"
    files = {"1/near.py": "from far import make\n", "far.py": "def make(): return 6\n"}
    assert answer(serve(model("import pickle\n", value), head="", files=files, **APART)) == 6


def test_what_is_installed_comes_first_in_a_process_too(serve):
    """A file that is called like something installed stays unseen, as in the reference."""
    files = {"1/numpy.py": "1 / 0\n", "1/json.py": "1 / 0\n"}
    value = "len(importlib.import_module('json').dumps([1, 2]))"
    assert answer(serve(model("import importlib\n", value), head="", files=files, **APART)) == 6


IN_THREADS = """
import threading
import time
import numpy as np
import triton_python_backend_utils as pb_utils

begun = threading.Barrier(2)


def near():
    import near


def far():
    import far


class TritonPythonModel:
    def initialize(self, args):
        self.told = []
        threads = [threading.Thread(target=self.tell, args=(act,)) for act in (near, far)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def tell(self, act):
        try:
            act()
        except BaseException as error:
            self.told.append(repr(error))

    def execute(self, requests):
        value = np.array([len(self.told)], np.int32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", value)]) for _ in requests]
"""


@pytest.mark.parametrize("config", [{}, APART], ids=["in the server", "apart"])
def test_modules_that_import_each_other_may_be_imported_by_two_threads_at_once(serve, config):
    """Each thread gets what the other one has begun, as with any modules of Python."""
    begin = "import model\nmodel.begun.wait(60)\n"
    files = {"1/near.py": f"{begin}import far\n", "1/far.py": f"{begin}import near\n"}
    assert answer(serve(IN_THREADS, head="", files=files, **config)) == 0


@pytest.mark.parametrize("config", [{}, APART], ids=["in the server", "apart"])
@pytest.mark.parametrize("slots", ["", "__slots__ = ()"])
def test_a_module_may_put_an_object_in_its_own_place(serve, config, slots):
    """That is what its importers get, by whichever name."""
    near = f"import sys\nclass Settings:\n    {slots}\n    VALUE = 6\nsys.modules[__name__] = Settings()\n"
    by_name = "importlib.import_module('near').VALUE" if config else "near.VALUE"
    imports = "import importlib\nimport near\nfrom near import VALUE\n"
    handle = serve(model(imports, f"near.VALUE * VALUE // {by_name}"), head="", files={"1/near.py": near}, **config)
    assert answer(handle) == 6


def test_what_a_module_has_put_in_its_own_place_is_not_forgotten_with_the_model(serve):
    """It may be somebody else's module."""
    serve.write(
        "m", model("import near\n"), head="", files={"1/near.py": "import sys, this\nsys.modules[__name__] = this\n"}
    )
    server = serve.start()
    shared = sys.modules["this"]
    try:
        server.close()
        assert sys.modules.get("this") is shared
    finally:
        sys.modules.pop("this", None)


def test_others_may_import_while_the_models_modules_are_listed(serve, meanwhile):
    """What others import does not fail the load of this model."""

    def import_something():
        if sys.modules.pop("imported_meanwhile", None) is None:
            sys.modules["imported_meanwhile"] = sys

    meanwhile(import_something)
    assert answer(serve(model(value="8"))) == 8
    sys.modules.pop("imported_meanwhile", None)


def test_others_may_have_directories_listed_anew_while_a_model_loads(serve, meanwhile):
    """What others forget of the import system does not fail the load of this model."""

    def forget():
        for number in range(3):
            place = f"/nowhere/{number}"
            if sys.path_importer_cache.pop(place, "absent") == "absent":
                sys.path_importer_cache[place] = None

    meanwhile(forget)
    assert answer(serve(model(value="8"))) == 8


def test_a_directory_that_a_model_adds_may_come_later(serve, tmp_path):
    """A load looks anew for what was not there at the one before."""
    place = tmp_path / "later"
    source = model(f"import sys\nsys.path.append({str(place)!r})\nimport come_later", "come_later.VALUE")
    serve.write("m", source, head="")
    server = serve.start(exit_on_error=False)
    assert "No module named 'come_later'" in server.index()[0].reason
    place.mkdir()
    (place / "come_later.py").write_text("VALUE = 5\n")
    server.load("m")
    assert answer(server.model("m")) == 5
