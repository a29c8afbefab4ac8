"""Environments of models: directories, archives and lists of requirements."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from copy import copy
from pathlib import Path

import pytest
from charonia_backend_custom.process import environment

WHICH = """
import sys

class TritonPythonModel:
    def execute(self, requests):
        {body}
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([told], np.object_))]) for _ in requests]
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep environments where they go with the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Make a virtual environment with nothing in it."""
    directory = tmp_path_factory.mktemp("bare") / "venv"
    environment._run(directory, sys.executable, "-m", "venv", "--without-pip", str(directory))
    return directory


def served(serve, path, body="told = sys.prefix"):
    """Serve a model in an environment, and give what it tells."""
    model = serve(WHICH.format(body=body), outputs=[("Y", "BYTES", [1])], parameters={"EXECUTION_ENV_PATH": str(path)})
    return model.infer({"X": [1]})["Y"][0].decode()


def test_a_virtual_environment(serve, bare):
    """A directory's own Python runs; what the server needs is lent to it, and nothing else."""
    assert served(serve, bare) == str(bare)
    told = served(serve, bare, "import importlib.util; told = str(importlib.util.find_spec('yaml'))")
    assert told == "None"


def test_an_archive_in_the_models_directory(serve, bare):
    """An archive is unpacked once, and `$$TRITON_MODEL_DIRECTORY` stands for the model's directory."""
    (serve.repository / "m").mkdir()
    with tarfile.open(serve.repository / "m" / "env.tar.gz", "w:gz") as archive:
        archive.add(bare, ".")
    first = Path(served(serve, "$$TRITON_MODEL_DIRECTORY/env.tar.gz"))
    assert first.is_relative_to(Path(environment._cache_directory()))
    made = first.stat().st_mtime_ns
    assert Path(served(serve, "$$TRITON_MODEL_DIRECTORY/env.tar.gz")) == first
    assert first.stat().st_mtime_ns == made


def member(name, **attributes):
    """Describe a member of an archive."""
    described = tarfile.TarInfo(name)
    for attribute, value in attributes.items():
        setattr(described, attribute, value)
    return described


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([member("../escaped")], "its member '../escaped' would lie outside of the environment's directory"),
        ([member("{outside}/escaped")], "/escaped' would lie outside of the environment's directory"),
        (
            [member("way", type=tarfile.SYMTYPE, linkname="{outside}"), member("way/escaped")],
            "its member 'way/escaped' would lie outside of the environment's directory",
        ),
        (
            [member("link", type=tarfile.LNKTYPE, linkname="../../../secret")],
            "its member 'link' would lie outside of the environment's directory",
        ),
        ([member("pipe", type=tarfile.FIFOTYPE)], "its member 'pipe' is neither a file, a directory nor a link"),
    ],
    ids=["above", "absolute", "by a link", "hard link", "device"],
)
def test_an_archive_that_reaches_out(serve, tmp_path, members, reason):
    """An archive is unpacked into its directory, and nowhere else."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "secret").write_text("secret")
    archive = tmp_path / "env.tar"
    with tarfile.open(archive, "w") as content:
        for described in members:
            made = copy(described)
            made.name, made.linkname = (text.format(outside=outside) for text in (made.name, made.linkname))
            content.addfile(made)
    assert reason in serve.reason("", parameters={"EXECUTION_ENV_PATH": str(archive)})
    assert not list(tmp_path.rglob("escaped"))


def test_what_was_left_of_an_environment_is_made_anew(serve, bare, tmp_path):
    """What a server has left that was killed while it unpacked an archive is no part of the environment."""
    archive = tmp_path / "env.tar.gz"
    with tarfile.open(archive, "w:gz") as content:
        content.add(bare, ".")
    directory = Path(served(serve, archive))
    (directory / "left").touch()
    directory.with_suffix(".done").unlink()
    assert Path(served(serve, archive)) == directory
    assert not (directory / "left").exists()


def test_a_list_of_requirements(serve, tmp_path):
    """What it lists is installed where this model finds it, and the server does not."""
    wheel = tmp_path / "greeting_of_a_test-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as content:
        content.writestr("greeting_of_a_test.py", "TEXT = 'good day'\n")
        info = "greeting_of_a_test-1.0.dist-info"
        content.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting-of-a-test\nVersion: 1.0\n")
        content.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        content.writestr(f"{info}/RECORD", "")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"--no-index\n{wheel}\n")
    assert served(serve, requirements, "from greeting_of_a_test import TEXT as told") == "good day"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/nowhere.tar.gz", "Invalid argument: model 'm': EXECUTION_ENV_PATH is '/nowhere.tar.gz', and there is no"),
        ("env.tar.gz", "/env.tar.gz': in the model's directory it is '$$TRITON_MODEL_DIRECTORY/env.tar.gz'"),
        ("$$TRITON_MODEL_DIRECTORY/1", "and there is no 'bin/python' in it"),
        (
            "$$TRITON_MODEL_DIRECTORY/1/model.py",
            "expected a directory with bin/python, an archive of one (.tar.gz), or a",
        ),
        ("$$TRITON_MODEL_DIRECTORY/wrong.txt", "exited with status 1: "),
    ],
)
def test_what_is_no_environment(serve, path, expected):
    """The reason says what was found, and what was expected."""
    wrong = {"wrong.txt": "--no-index\nthere-is-no-such-thing==0\n"}
    assert expected in serve.reason("", files=wrong, parameters={"EXECUTION_ENV_PATH": path})


def test_an_unknown_mode(serve):
    """A misspelt mode is refused, with those that there are."""
    reason = serve.reason("", parameters={"EXECUTION_MODE": "fork"})
    assert (
        reason == "Invalid argument: parameter 'EXECUTION_MODE' of model 'm' is 'fork': expected one of thread, process"
    )


def test_misspelt_parameter_is_told_in_the_log(serve, caplog):
    """Parameters are the model's own to choose, so that none is refused; one that is nearly right is probably meant to be."""
    serve.write("m", "class TritonPythonModel:\n    pass\n", parameters={"EXECUTION_MOD": "process", "colour": "red"})
    serve.start()
    told = 'model "m": parameter "EXECUTION_MOD" is not known; did you mean "EXECUTION_MODE"?'
    assert [record.getMessage() for record in caplog.records if "not known" in record.getMessage()] == [told]
