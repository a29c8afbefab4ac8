"""From a model's files to a program: which file, what kind of file, and loading it."""

from __future__ import annotations

import enum
import zipfile
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError, NotFoundError

from charonia_backend_pytorch.exported import ExportedProgram, read_interface
from charonia_backend_pytorch.failures import load_failure
from charonia_backend_pytorch.inductor import InductorPackage
from charonia_backend_pytorch.parameters import compile_options
from charonia_backend_pytorch.python_class import PythonClass
from charonia_backend_pytorch.torchscript import TorchScript

if TYPE_CHECKING:
    from pathlib import Path

    from charonia.backend import ModelContext
    from charonia.graph import Graph

    from charonia_backend_pytorch.program import Program

__all__ = ["load_program", "model_file", "read_graph"]

_RUNTIMES = ("", "libtriton_pytorch.so", "model.py")
_CLASS_FILE = "model.py"
_TORCHSCRIPT_FILE = "model.pt"


class _Form(enum.Enum):
    """The kinds of files, and a file that only this kind has in its archive."""

    TORCHSCRIPT = "constants.pkl"
    PACKAGE = "data/aotinductor/"
    EXPORTED = "models/"
    EXPORTED_BEFORE = "serialized_exported_program.json"
    CHECKPOINT = "data.pkl"


def model_file(context: ModelContext) -> Path:
    """Find the model's file: the one that `default_model_filename` names, or the class of the runtime `model.py`.

    As in the reference, that runtime looks for `model.py` and `model.pt`; then the latter, beside the former, holds its weights.

    Raises:
        InvalidArgumentError: the configuration asks for another runtime.
        NotFoundError: the file is not there.
    """
    runtime = context.config.runtime
    if runtime not in _RUNTIMES:
        raise InvalidArgumentError(
            f"model '{context.name}' asks for the runtime '{runtime}': expected 'model.py', for a class in Python, or none"
        )
    file = context.model_path
    if runtime == _CLASS_FILE and file.name == _TORCHSCRIPT_FILE and file.with_name(_CLASS_FILE).is_file():
        file = file.with_name(_CLASS_FILE)
    if not file.is_file():
        raise NotFoundError(
            f"unable to find '{file}' for model instance '{context.name}': put the file there, or name it by "
            "default_model_filename"
        )
    return file


def load_program(context: ModelContext, device: Any) -> Program:
    """Load the model's file onto a device. The caller closes the program.

    Args:
        context: the model.
        device: PyTorch's; None where the model itself decides.

    Raises:
        InferenceError: the file is missing, damaged, of another kind, or beyond this PyTorch.
    """
    file = model_file(context)
    try:
        if file.suffix == ".py":
            return PythonClass(file, device, compile_options(context.config))
        form = _form_of(file)
        if form is _Form.TORCHSCRIPT:
            return TorchScript(file, device)
        return InductorPackage(file, device) if form is _Form.PACKAGE else ExportedProgram(file, device)
    except Exception as error:  # the border of loading: PyTorch's exceptions have no base of their own
        raise load_failure(file, error) from error


def read_graph(context: ModelContext) -> tuple[Graph, int | None] | None:
    """Read what the model's file tells of its inputs and outputs, and the greatest batch; None where it tells too little.

    Raises:
        InferenceError: as in `load_program`.
    """
    file = model_file(context)
    if file.suffix == ".py" or _form_of(file) not in {_Form.EXPORTED, _Form.EXPORTED_BEFORE}:
        return None
    try:
        interface = read_interface(file)
    except Exception as error:  # the same border
        raise load_failure(file, error) from error
    graph = interface.graph()
    return None if graph is None else (graph, interface.most_batched)


def _form_of(file: Path) -> _Form:
    """Tell what kind of file it is by what is in it, whatever its name.

    Raises:
        InvalidArgumentError: it is none of those that can be served.
    """
    names = zipfile.ZipFile(file).namelist() if zipfile.is_zipfile(file) else []
    inside = [name.partition("/")[2] if "/" in name else name for name in names]  # below the archive's one directory
    form = next((form for form in _Form if any(name.startswith(form.value) for name in inside)), None)
    if form is None:
        raise InvalidArgumentError(
            f"'{file}' is damaged, or no model: expected TorchScript, written by torch.jit.save, or an exported program, by "
            "torch.export.save"
        )
    if form is _Form.CHECKPOINT:
        raise InvalidArgumentError(
            f"'{file}' was written by torch.save and has weights, or a pickled object, but no program: save TorchScript or an "
            'exported program there; or put the class beside it into model.py, and write runtime: "model.py"'
        )
    return form
