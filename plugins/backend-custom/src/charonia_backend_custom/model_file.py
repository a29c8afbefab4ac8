"""A model's file, imported, with the class TritonPythonModel in it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils
from charonia.errors import InternalError

from charonia_backend_custom.activity import Activity, busy_with
from charonia_backend_custom.failures import is_interruption, load_failure
from charonia_backend_custom.imports import ModelImports
from charonia_backend_custom.waiting_code import what_may_wait

if TYPE_CHECKING:
    from pathlib import Path

    from triton_python_backend_utils.place import ModelPlace

    from charonia_backend_custom.imports import ModelFinder

__all__ = ["ModelFile"]


class ModelFile:
    """A model's modules. `close` forgets them.

    Args:
        place: the model.
        file: the file that has the class.
        finder: finds the model's modules for Python's import system.

    Raises:
        InternalError: there is no such file, it cannot be imported, or has no class TritonPythonModel.

    Attributes:
        place: see above.
        file: see above.
        kind: the class.
    """

    def __init__(self, place: ModelPlace, file: Path, finder: ModelFinder) -> None:
        if not file.is_file():
            raise InternalError(f"Python model file not found in '{file}'")
        self.place = place
        self.file = file
        self._idle = Activity(place.name, place.name)
        self._imports = ModelImports(place, finder)
        try:
            self.kind: type[Any] = self._import_class()
        except BaseException:
            self._imports.close()
            raise

    def _import_class(self) -> type[Any]:
        try:
            with busy_with(self._idle):
                module = self._imports.load(self.file)
        except BaseException as error:  # the border of loading: what the file raises is the reason why it is not there
            if is_interruption(error):
                raise
            raise load_failure(error) from error
        kind: type[Any] | None = getattr(module, "TritonPythonModel", None)
        if kind is None:
            raise InternalError(
                f"AttributeError: module '{self.place.version}.{self.file.stem}' has no attribute 'TritonPythonModel': "
                f"{self.file} must define the model as a class of this name"
            )
        return kind

    def complete(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """Have `auto_complete_config` fill a configuration in, given in its JSON form. None if the model has no such method.

        Raises:
            InternalError: the method fails, or gives something else.
        """
        method = getattr(self.kind, "auto_complete_config", None)
        if method is None:
            return None
        try:
            with busy_with(self._idle):
                completed = method(pb_utils.ModelConfig(config))
        except BaseException as error:  # the border of loading
            if is_interruption(error):
                raise
            raise load_failure(error) from error
        if not isinstance(completed, pb_utils.ModelConfig):
            raise InternalError(
                f"auto_complete_config function in model '{self.place.name}' must return a valid pb.ModelConfig object."
            )
        return completed.as_dict()

    def what_may_wait(self) -> str:
        """Find something in the model's code that may wait; "" where its source shows nothing. See `waiting_code`."""
        return what_may_wait(self._imports.modules())

    def keep_added_paths(self) -> None:
        """Keep to this model what its code has added to `sys.path`."""
        self._imports.keep_added_paths()

    def close(self) -> None:
        """Forget the model's modules. What they held is free when this returns, however large: it does not wait for Python."""
        del self.kind
        self._imports.close()
        gc.collect()  # modules refer to their functions, and these to them
