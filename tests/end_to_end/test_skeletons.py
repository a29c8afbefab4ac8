"""What `charonia new` writes works as it is, and `charonia run` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from charonia.cli.exit_codes import ExitCode
from charonia.cli.group import group
from click.testing import CliRunner

PATIENCE_SECONDS = 100
EXAMPLE = Path(__file__).parents[2] / "examples" / "backend-sklearn"


@pytest.fixture
def charonia(tmp_path, monkeypatch):
    """Run the command line in process, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(group, [str(word) for word in words], prog_name="charonia")


def run_pytest(directory, **environment):
    """Run the tests of a directory as its author does; gives what they print."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_new_model_passes_its_test_and_runs(charonia, tmp_path):
    """The skeleton of a model answers in its own test, on the command line by its directory, and by its file."""
    told = charonia("new", "model", "twice-as-much")
    assert told.stdout.splitlines() == [
        "models/twice-as-much/1/model.py",
        "models/twice-as-much/test_twice_as_much.py",
    ]
    assert "1 passed" in run_pytest(tmp_path / "models")
    np.save("x.npy", np.array([[1, 2], [3, 4]], np.float32))
    for model in ("models/twice-as-much", "models/twice-as-much/1/model.py"):
        told = charonia("run", model, "--input", "INPUT0=x.npy")
        assert told.stdout == "OUTPUT0  FP32 [2, 2]\n[[2., 4.],\n [6., 8.]]\n"
    told = charonia("run", "models/twice-as-much", "--input", "INPUT0=[5]", "--json")
    assert told.stdout == '{"outputs": [{"name": "OUTPUT0", "datatype": "FP32", "shape": [1, 1], "data": [10.0]}]}\n'


def test_a_new_backend_passes_its_test(charonia, tmp_path):
    """The skeleton of a backend, installed, passes the suite."""
    told = charonia("new", "backend", "try_out")
    assert told.exit_code == ExitCode.OK
    package = tmp_path / "charonia-try-out"
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site), str(package)],
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert " passed" in run_pytest(package, PYTHONPATH=str(site))


def test_the_example_of_scikit_learn_began_so(charonia, tmp_path):
    """An author who begins with the skeleton has a backend for a real framework after fewer than sixty lines of code."""
    charonia("new", "backend", "sklearn", "--package", "acme_charonia_sklearn")
    skeleton = tmp_path / "acme-charonia-sklearn"
    files = {file.relative_to(skeleton) for file in skeleton.rglob("*") if file.is_file()}
    assert {file for file in files if not (EXAMPLE / file).is_file()} == set()
    source = {file for file in files if file.suffix == ".py" and file.parts[0] == "src"}
    assert {file.relative_to(EXAMPLE) for file in (EXAMPLE / "src").rglob("*.py")} == source
    written = [line for file in source for line in (EXAMPLE / file).read_text().splitlines() if line.strip()]
    begun = {line for file in source for line in (skeleton / file).read_text().splitlines()}
    assert 0 < len([line for line in written if line not in begun]) < len(written) < 60


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("new", "model", "7up"), "The name '7up' does not do"),
        (("new", "backend", "Big"), "The name 'Big' does not do"),
        (("new", "backend", "small", "--package", "a-b"), "The package's name 'a-b' is none in Python."),
        (("run", "nothing.py"), "Path 'nothing.py' does not exist"),
    ],
)
def test_what_is_wrong_is_said(charonia, words, told):
    """Names that do not do, and files that are not there."""
    done = charonia(*words)
    assert done.exit_code == ExitCode.USAGE
    assert told in done.stderr


def test_nothing_is_overwritten(charonia):
    """A model that is there stays as it is."""
    charonia("new", "model", "double")
    told = charonia("new", "model", "double")
    assert told.exit_code == ExitCode.FAILED
    assert "models/double is there already" in told.stderr


def test_running_a_file_that_lies_anywhere(charonia, tmp_path):
    """A file alone is enough if it tells its inputs and outputs; a stream is printed response by response, an error told."""
    (tmp_path / "count.py").write_text(
        "import numpy as np\n"
        "import triton_python_backend_utils as pb\n"
        "class TritonPythonModel:\n"
        "    @staticmethod\n"
        "    def auto_complete_config(config):\n"
        "        config.add_input({'name': 'N', 'data_type': 'TYPE_INT32', 'dims': [1]})\n"
        "        config.add_output({'name': 'I', 'data_type': 'TYPE_INT32', 'dims': [1]})\n"
        "        config.set_model_transaction_policy({'decoupled': True})\n"
        "        return config\n"
        "    def execute(self, requests):\n"
        "        for request in requests:\n"
        "            sender = request.get_response_sender()\n"
        "            for i in range(pb.get_input_tensor_by_name(request, 'N').as_numpy()[0]):\n"
        "                sender.send(pb.InferenceResponse([pb.Tensor('I', np.array([i], np.int32))]))\n"
        "            error = pb.InferenceResponse(error=pb.TritonError('no more'))\n"
        "            sender.send(error, pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)\n"
    )
    told = charonia("run", "count.py", "N=2")
    assert told.stdout == "I  INT32 [1]\n[0]\nI  INT32 [1]\n[1]\n"
    assert told.exit_code == ExitCode.FAILED
    assert told.stderr == "charonia: no more\n"
    assert "The model 'count' has no input 'M'. " in charonia("run", "count.py", "--input", "M=2").stderr


def test_running_a_file_that_tells_nothing(charonia, tmp_path):
    """Nothing could be asked of it, so that it is told what is missing, and where it goes."""
    (tmp_path / "mute.py").write_text("class TritonPythonModel:\n    def execute(self, requests):\n        return []\n")
    told = charonia("run", "mute.py", "--input", "X=1")
    assert told.exit_code == ExitCode.USAGE
    assert "The model 'mute' tells no outputs. Write them, and its inputs, into auto_complete_config" in told.stderr


def test_running_a_model_without_inputs(charonia, tmp_path):
    """It needs no more than its name, and takes nothing else."""
    (tmp_path / "now.py").write_text(
        "import numpy as np\n"
        "import triton_python_backend_utils as pb\n"
        "class TritonPythonModel:\n"
        "    @staticmethod\n"
        "    def auto_complete_config(config):\n"
        "        config.add_output({'name': 'Y', 'data_type': 'TYPE_INT32', 'dims': [1]})\n"
        "        return config\n"
        "    def execute(self, requests):\n"
        "        return [pb.InferenceResponse([pb.Tensor('Y', np.array([7], np.int32))]) for _ in requests]\n"
    )
    assert charonia("run", "now.py").stdout == "Y  INT32 [1]\n[7]\n"
    assert "has no input 'X'. now takes no inputs." in charonia("run", "now.py", "X=1").stderr
