"""Which model is calling: what a function of this module needs to know, without being told."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from triton_python_backend_utils.errors import TritonModelException

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from triton_python_backend_utils.host import ModelHost

__all__ = ["MARK", "ModelPlace", "calling_host", "calling_model", "get_model_dir"]

MARK = "__charonia_model__"
"""The name under which the server leaves a `ModelPlace` in each module of a model."""


@dataclass(frozen=True)
class ModelPlace:
    """A model that is loaded from files.

    Attributes:
        name: the model's name.
        version: the version.
        directory: the directory of the version.
        host: what the model's server does for it.
    """

    name: str
    version: int
    directory: Path
    host: ModelHost[Any]


def calling_model() -> ModelPlace | None:
    """Find the model whose code is nearest among the callers, on whichever thread. None outside of a server."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to the caller
    while frame is not None:
        place = frame.f_globals.get(MARK)
        if isinstance(place, ModelPlace):
            return place
        frame = frame.f_back
    return None


def calling_host(wish: str) -> ModelHost[Any]:
    """Give the host of the calling model.

    Args:
        wish: what it is wanted for, for the error's text.

    Raises:
        TritonModelException: the caller is not a model that a server has loaded.
    """
    place = calling_model()
    if place is None:
        raise TritonModelException(
            f"{wish} needs a server, and the caller is not a model that one has loaded: the fixture `python_model` of "
            "charonia.testing loads a model for a test, and answers its calls"
        )
    return place.host


def get_model_dir() -> str:
    """Give the directory of the calling model's version.

    Raises:
        RuntimeError: the caller is not a model that a server has loaded.
    """
    place = calling_model()
    if place is None:
        raise RuntimeError("get_model_dir() was called outside of a model that a server has loaded")
    return str(place.directory)
