"""What the reference's module has and this one not yet: each name is there, and says so when it is used."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from triton_python_backend_utils.errors import TritonModelException

__all__ = ["MetricFamily", "PreferredMemory", "is_model_ready", "load_model", "not_supported", "unload_model"]


def not_supported(what: str) -> NoReturn:
    """Refuse to do what does not exist yet.

    Raises:
        TritonModelException: always.
    """
    raise TritonModelException(f"{what} is not supported yet by this version of charonia-backend-custom")


class MetricFamily:
    """Metrics of a model's own. Not supported yet: making one raises TritonModelException."""

    COUNTER: ClassVar[int] = 0
    GAUGE: ClassVar[int] = 1
    HISTOGRAM: ClassVar[int] = 2

    def __init__(self, *args: Any, **options: Any) -> None:
        not_supported("MetricFamily")


class PreferredMemory:
    """Where the outputs of a call shall lie. Not supported yet: making one raises TritonModelException."""

    def __init__(self, *args: Any, **options: Any) -> None:
        not_supported("PreferredMemory")


def load_model(*_: Any, **__: Any) -> NoReturn:
    """Load another model. Not supported yet.

    Raises:
        TritonModelException: always.
    """
    not_supported("load_model")


def unload_model(*_: Any, **__: Any) -> NoReturn:
    """Unload another model. Not supported yet.

    Raises:
        TritonModelException: always.
    """
    not_supported("unload_model")


def is_model_ready(*_: Any, **__: Any) -> NoReturn:
    """Ask whether another model serves. Not supported yet.

    Raises:
        TritonModelException: always.
    """
    not_supported("is_model_ready")
