"""Models that are a class: a `torch.nn.Module` in `model.py`, with its weights beside it. The reference's PyTorch runtime."""

from __future__ import annotations

import gc
import inspect
import itertools
import logging
import sys
import typing
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError

from charonia_backend_pytorch.interface import Interface, Kind, Place
from charonia_backend_pytorch.program import Program, State
from charonia_backend_pytorch.runtime import torch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

__all__ = ["PythonClass"]

_log = logging.getLogger("charonia.backend_pytorch.python_class")
_numbers = itertools.count(1)


class PythonClass(Program):
    """An object of the class, made without arguments, with the weights of `model.pt` where that file is beside `model.py`.

    What the class does is not known: its inputs are its own, and so is what it gives until that is copied.

    Args:
        file: the file with the class.
        device: where its weights shall be; None to leave them where the class puts them.
        options: those of `torch.compile`; None to run the class as it is.

    Raises:
        InvalidArgumentError: there is no such class, or the weights are not those of this one.
        Exception: whatever the file raises.
    """

    state = State.UNKNOWN
    writes_inputs = True

    def __init__(self, file: Path, device: Any, options: Mapping[str, Any] | None) -> None:
        self._source = _run(file)
        try:
            module = _class_of(self._source, file)()
            self.device = _device_of(module) if device is None else device
            _load_weights(module, file.with_suffix(".pt"), self.device)
            module = module.eval() if device is None else module.to(device).eval()
            self.interface = _interface(module.forward)
            self._module = module if options is None else torch().compile(module, **options)
        except BaseException:
            self._forget()
            raise

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Call the object."""
        if self.interface.dictionary:
            return self._module(dict(arguments))
        if self.interface.arguments is None:
            return self._module(*arguments.values())
        return self._module(**arguments)

    def close(self) -> None:
        """Let the object go, and forget the file."""
        del self._module
        self._forget()
        gc.collect()  # the file's functions refer to it, and what was compiled to the module: they would keep weights for long

    def _forget(self) -> None:
        sys.modules.pop(self._source.__name__, None)


class _Source(SourceFileLoader):
    """Runs a file from its source: no compiled form is read, or written beside the model's files."""

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _run(file: Path) -> ModuleType:
    name = f"charonia_pytorch_model_{next(_numbers)}"  # two models, and two versions, are modules of their own
    spec = spec_from_loader(name, _Source(name, str(file)))
    assert spec is not None  # noqa: S101 - it is only None where there is no loader
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]  # it is the one above
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _class_of(source: ModuleType, file: Path) -> Any:
    """Find the model's class: the file's own before imported ones, and the first by name, as in the reference."""
    base = torch().nn.Module
    found = {
        name: value
        for name, value in sorted(vars(source).items())
        if isinstance(value, type) and issubclass(value, base) and value is not base
    }
    own = {name: value for name, value in found.items() if value.__module__ == source.__name__}
    candidates = own or found
    if not candidates:
        raise InvalidArgumentError(f"'{file}' has no subclass of torch.nn.Module: define the model's class there")
    chosen = next(iter(candidates))
    if len(candidates) > 1:
        _log.warning(
            "'%s' has the classes %s: the first by name, %s, is the model", file, ", ".join(candidates), chosen
        )
    return candidates[chosen]


def _device_of(module: Any) -> Any:
    """Give the device on which the class has put its first weight; the CPU if it has none."""
    parameter = next(iter(module.parameters()), None)
    return torch().device("cpu") if parameter is None else parameter.device


def _load_weights(module: Any, file: Path, device: Any) -> None:
    if not file.is_file():
        return
    try:
        module.load_state_dict(torch().load(file, map_location=device))
    except Exception as error:
        raise InvalidArgumentError(
            f"'{file}' does not hold the weights of {type(module).__name__}: {error}: write it by "
            "torch.save(model.state_dict(), …)"
        ) from error


def _interface(forward: Any) -> Interface:
    parameters = list(inspect.signature(forward).parameters.values())
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return Interface(None)
    hints = _hints(forward)
    if len(parameters) == 1 and typing.get_origin(hints.get(parameters[0].name)) is dict:
        return Interface((), dictionary=True)
    return Interface(
        [
            Place(
                parameter.name,
                _kind(hints.get(parameter.name)),
                required=parameter.default is parameter.empty,
            )
            for parameter in parameters
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
    )


def _kind(hint: Any) -> Kind:
    if hint in (int, float, bool):
        return Kind.NUMBER
    return Kind.STRINGS if typing.get_args(hint) == (str,) else Kind.ANY


def _hints(forward: Any) -> dict[str, Any]:
    """Give the types of the arguments as far as they can be found out."""
    try:
        return typing.get_type_hints(forward)
    except (NameError, TypeError):  # a name that is only there for a type checker
        return {}
