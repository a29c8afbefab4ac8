"""TensorRT itself: the two libraries that have its interface, their logs, and the plugins that they load."""

from __future__ import annotations

import ctypes
import enum
import functools
import importlib
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError, PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Library"]

_log = logging.getLogger("charonia.backend_tensorrt.library")

_CREATORS = ("getCreators", "getPluginCreators")
"""What a library of plugins exports if it is to be registered; older ones register themselves when they are loaded."""

_complaints = threading.local()
"""`lines`: what a library said was wrong, in this thread, since somebody began to listen."""


class Library(enum.Enum):
    """A library that makes and runs plans. Its module is imported at its first use; the log is one for each process.

    The members' values are (the name for people, the module, the extra of this package that installs it).
    """

    TENSORRT = ("TensorRT", "tensorrt", "tensorrt")
    RTX = ("TensorRT for RTX", "tensorrt_rtx", "rtx")

    def __str__(self) -> str:
        return self.value[0]

    @staticmethod
    def by_extra(extra: str) -> Library:
        """Give the library that an extra of this package installs."""
        return next(library for library in Library if library.value[2] == extra)

    @staticmethod
    def installed() -> Library:
        """Give the library that is installed, TensorRT where both are.

        Raises:
            PluginError: neither is.
        """
        try:
            Library.TENSORRT.version  # noqa: B018 - asking imports it
        except PluginError:
            Library.RTX.version  # noqa: B018 - likewise
            return Library.RTX
        return Library.TENSORRT

    @property
    def module(self) -> Any:
        """The module of its Python interface.

        Raises:
            PluginError: it is not installed, or does not work.
        """
        return _import(self)

    @property
    def version(self) -> str:
        """Its version. Raises as `module` does."""
        version: str = self.module.__version__
        return version

    @property
    def logger(self) -> Any:
        """What all of its objects are made with. Raises as `module` does."""
        return _make_logger(self)

    @contextmanager
    def complaints(self) -> Iterator[list[str]]:
        """Collect what it says is wrong in this thread, instead of having it logged: it becomes the text of an error."""
        lines: list[str] = []
        _complaints.lines = lines
        try:
            yield lines
        finally:
            del _complaints.lines

    def load_plugins(self, path: Path | str) -> None:
        """Load a shared library of plugins. It stays loaded as long as the process lives.

        Raises:
            InvalidArgumentError: it cannot be loaded.
        """
        _load_plugins(self, str(path))


@functools.cache
def _import(library: Library) -> Any:
    name, module_name, extra = library.value
    try:
        module = importlib.import_module(module_name)
        module.__version__, module.Runtime, module.ICudaEngine.num_io_tensors  # noqa: B018 - what is there since TensorRT 10
    except Exception as error:  # the border of importing: a library of CUDA that is missing raises what it likes
        raise PluginError(
            f'{name} cannot be imported ({error}): pip install "charonia-backend-tensorrt[{extra}]"'
        ) from error
    return module


@functools.cache
def _make_logger(library: Library) -> Any:
    module = library.module
    severity = module.ILogger.Severity
    levels = {severity.INTERNAL_ERROR: logging.ERROR, severity.ERROR: logging.ERROR, severity.WARNING: logging.WARNING}

    class PythonLogger(module.ILogger):  # type: ignore[misc, name-defined]  # a class of a module without types
        """Leads the library's log into Python's."""

        def __init__(self) -> None:
            module.ILogger.__init__(self)  # as the library asks for, instead of super()

        def log(self, severity: Any, message: str) -> None:
            """Take a line."""
            level = levels.get(severity, logging.DEBUG)
            line = " ".join(message.split())
            heard = getattr(_complaints, "lines", None)
            if level == logging.ERROR and heard is not None:
                heard.append(line)
            else:
                _log.log(level, "%s: %s", library, line)

    logger = PythonLogger()
    module.init_libnvinfer_plugins(logger, "")  # its own plugins, which plans may use
    return logger


@functools.cache
def _load_plugins(library: Library, path: str) -> None:
    with library.complaints() as complaints:
        try:
            registry, loaded = library.module.get_plugin_registry(), ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
            done = not any(hasattr(loaded, name) for name in _CREATORS) or registry.load_library(path) is not None
        except OSError as error:
            complaints.append(str(error))
            done = False
    if not done:
        told = "; ".join(complaints) or "it registers none"
        raise InvalidArgumentError(
            f"'{path}' cannot be loaded as a library of plugins of {library} {library.version} ({told}): "
            "name a shared library that was made for this version"
        )
