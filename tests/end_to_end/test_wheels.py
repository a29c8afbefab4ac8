"""Every distribution as its users get it: a wheel, installed outside of the workspace."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

HOUSE = Path(__file__).parents[2]
OURS = [HOUSE / "protos", HOUSE / "core", *sorted(path.parent for path in HOUSE.glob("plugins/*/pyproject.toml"))]
DISTRIBUTIONS = [*OURS, *sorted(path.parent for path in HOUSE.glob("examples/*/pyproject.toml"))]


def run(*command, cwd):
    """Run a command to its end, without the workspace on any path."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Build the wheel of every distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
    ]
    run(*pip, *map(str, DISTRIBUTIONS), cwd=folder)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheels, tmp_path_factory):
    """Install the wheels into an environment of their own, which shares only third parties' packages with this one."""
    folder = tmp_path_factory.mktemp("outside")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    target = run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, *map(str, wheels), cwd=folder)
    # A path named in a .pth file is searched, but the .pth files in it, which make the editable installs, are not read.
    (Path(target) / "third_parties.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_every_wheel_is_typed_and_has_its_readme(wheels):
    """A wheel carries the marker of its types and the text that an index shows."""
    assert len(wheels) == len(DISTRIBUTIONS)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            assert any(name.endswith("/py.typed") for name in names), wheel.name
            (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
            _, _, readme = archive.read(metadata).decode().partition("\n\n")
            assert len(readme) > 200, wheel.name
            assert not any("/tests/" in name and name.endswith(".py") for name in names)  # templates of tests are wares


def test_all_wheels_have_one_version(wheels):
    """The house has one version."""
    ours = [wheel for wheel in wheels if wheel.name.startswith("charonia")]
    assert len(ours) == len(OURS)
    assert {wheel.name.split("-")[1] for wheel in ours} == {(HOUSE / "VERSION").read_text().strip()}


def test_installed_command_knows_its_plugins(python, tmp_path):
    """The command that the wheel installs runs, and finds the plugins of the other wheels."""
    charonia = str(python.parent / "charonia")
    assert (HOUSE / "VERSION").read_text().strip() in run(charonia, "version", cwd=tmp_path)
    listed = run(charonia, "plugins", cwd=tmp_path)
    assert "onnxruntime" in listed
    assert "http" in listed
    assert "broken" not in listed


def test_installed_wheels_serve(python, tmp_path):
    """A model is served, in process, by what the wheels brought."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["X"], ["Y"])],
        "g",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [2])],
    )
    folder = tmp_path / "models" / "m" / "1"
    folder.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx"
    )
    program = (
        "import charonia\n"
        "with charonia.Server('models') as server:\n"
        "    print(server.model('m').infer({'X': [1.0, 2.0]})['Y'].tolist())\n"
        "print(charonia.__file__)"
    )
    answer, place = run(str(python), "-c", program, cwd=tmp_path).split("\n")[:2]
    assert answer == "[1.0, 2.0]"
    assert not Path(place).is_relative_to(HOUSE)
