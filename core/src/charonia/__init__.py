"""Charonia: an inference server in Python, a minimal core plus plugins.

    import charonia

    with charonia.Server("models") as server:
        answer = server.model("resnet").infer({"image": image})

The names below are imported when they are first used, so that `import charonia` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia.datatypes import DataType
    from charonia.errors import CharoniaError, InferenceError
    from charonia.handle import ModelHandle
    from charonia.options import ServerOptions
    from charonia.request import InferenceRequest
    from charonia.response import InferenceResponse
    from charonia.server import Server

_HOME = {
    "CharoniaError": "errors",
    "DataType": "datatypes",
    "InferenceError": "errors",
    "InferenceRequest": "request",
    "InferenceResponse": "response",
    "ModelHandle": "handle",
    "Server": "server",
    "ServerOptions": "options",
}

__all__ = [
    "CharoniaError",
    "DataType",
    "InferenceError",
    "InferenceRequest",
    "InferenceResponse",
    "ModelHandle",
    "Server",
    "ServerOptions",
    "__version__",
]

__version__: str


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("charonia")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'charonia' has no attribute {name!r}")
    return getattr(import_module(f"charonia.{home}"), name)


def __dir__() -> list[str]:
    return __all__
