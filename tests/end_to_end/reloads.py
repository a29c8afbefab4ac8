"""A thousand loads and unloads of a model of each kind: what a load takes, its unload gives back.

    python tests/end_to_end/reloads.py --times 1000 exported saved_model

Each kind has a process of its own, so that its memory is that of its framework alone. After each load the model answers once.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import importlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import charonia
import numpy as np
import psutil
from memory_growth import growth_bytes
from small_nets import Dense, Net

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FORMS", "Usage", "reload_often"]

_MEBIBYTE = 2**20
_OUTPUTS = 250_000
"""As many as make the weights of the net five megabytes, so that a load that is kept shows."""

_PYTHON = """from pathlib import Path

import numpy as np
import triton_python_backend_utils as utils


class TritonPythonModel:
    def initialize(self, args):
        kept = np.load(Path(__file__).with_name("weights.npz"))
        self.weights, self.bias = kept["weights"], kept["bias"]
        self.itself = self

    def execute(self, requests):
        inputs = [utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [utils.InferenceResponse([utils.Tensor("Y", x @ self.weights + self.bias)]) for x in inputs]
"""


def _net() -> Net:
    dice = np.random.default_rng(5)
    weights, bias = (dice.normal(size=shape).astype(np.float32) for shape in ((4, _OUTPUTS), _OUTPUTS))
    return Net("wide", (4,), _OUTPUTS, (Dense(weights, bias, last=True),))


def _write_python(more: str) -> Callable[[Net, Path], None]:
    def write(net: Net, directory: Path) -> None:
        (directory / "1").mkdir(parents=True)
        (layer,) = net.layers
        np.savez(directory / "1" / "weights.npz", weights=layer.weights, bias=layer.bias)
        (directory / "1" / "model.py").write_text(_PYTHON)
        (directory / "config.pbtxt").write_text(
            f'backend: "python" max_batch_size: 4 {more} input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 4 ] }} ] '
            f'output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ {net.outputs} ] }} ]'
        )

    return write


def _written_by(module: str, function: str) -> Callable[[Net, Path], None]:
    """Give a writer whose framework is imported when it writes."""

    def write(net: Net, directory: Path) -> None:
        getattr(importlib.import_module(module), function)(net, directory)

    return write


FORMS = {
    "onnx": _written_by("nets_in_onnx", "write_onnx"),
    "python": _write_python(""),
    "python_process": _write_python('parameters { key: "EXECUTION_MODE" value { string_value: "process" } }'),
    "torchscript": _written_by("nets_in_pytorch", "write_torchscript"),
    "exported": _written_by("nets_in_pytorch", "write_exported"),
    "saved_model": _written_by("nets_in_tensorflow", "write_saved_model"),
    "graph_def": _written_by("nets_in_tensorflow", "write_graph_def"),
}
"""What writes a net into a model's directory, by the name of its form."""


@dataclass(frozen=True)
class Usage:
    """What the process had after each load.

    Attributes:
        rss_bytes: of memory.
        held: open files, threads and child processes, together.
    """

    rss_bytes: Sequence[int]
    held: Sequence[int]

    @property
    def more_held(self) -> int:
        """How many more files, threads and processes than in the second third there always were in the last.

        What belongs to the load before may still be on its way out.
        """
        third = len(self.held) // 3
        return min(self.held[-third:]) - min(self.held[third:-third])

    def __str__(self) -> str:
        third = len(self.rss_bytes) // 3
        memory = " ".join(f"{self.rss_bytes[index] / _MEBIBYTE:.0f}" for index in (0, third, 2 * third, -1))
        return (
            f"{len(self.rss_bytes)} loads: memory {memory} MiB, grown by {growth_bytes(self.rss_bytes) / _MEBIBYTE:.1f} MiB in the last third; "
            f"{self.more_held} more files, threads and processes"
        )


def _free_memory_back() -> Callable[[], object]:
    """Give a function that hands memory which nobody uses back to the system; glibc would keep it, in pieces, for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda: None) if trim is None else functools.partial(trim, 0)


def reload_often(form: str, times: int, repository: Path) -> Usage:
    """Load a model in a form, ask it, and unload it, so many times."""
    net = _net()
    FORMS[form](net, repository / "m")
    x = np.array([[1, -2, 3, 0.5]], np.float32)
    expected = net.answer(x)
    process = psutil.Process()
    give_back_free_memory = _free_memory_back()
    rss, held = [], []
    with charonia.Server(repository, options=charonia.ServerOptions(model_control_mode="explicit")) as server:
        for _ in range(times):
            server.load("m")
            np.testing.assert_allclose(server.model("m").infer({"X": x})["Y"], expected, rtol=1e-4, atol=1e-4)
            give_back_free_memory()
            rss.append(process.memory_info().rss)
            held.append(process.num_fds() + process.num_threads() + len(process.children(recursive=True)))
            server.unload("m")
    return Usage(rss, held)


def _reload_one(form: str, times: int, limit_bytes: float) -> int:
    """Do it in this process, tell what came of it, and give the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        usage = reload_often(form, times, Path(folder))
    print(f"{form:15} {usage}", flush=True)  # noqa: T201 - a program that tells its result
    return int(growth_bytes(usage.rss_bytes) > limit_bytes or usage.more_held > 0)


def main() -> int:
    """Go through the forms."""
    parser = argparse.ArgumentParser(description="Load and unload a model of each kind, over and over.")
    parser.add_argument("forms", nargs="*", default=[*FORMS], metavar="FORM", help=f"of {', '.join(FORMS)} (all)")
    parser.add_argument("--times", type=int, default=1000, help="how often (1000)")
    parser.add_argument("--limit-mib", type=float, default=8, help="how much the last third may add (8)")
    told = parser.parse_args()
    if len(told.forms) == 1:
        return _reload_one(told.forms[0], told.times, told.limit_mib * _MEBIBYTE)
    options = ["--times", str(told.times), "--limit-mib", str(told.limit_mib)]
    return max(
        subprocess.run([sys.executable, __file__, form, *options], check=False).returncode for form in told.forms
    )


if __name__ == "__main__":
    sys.exit(main())
