"""What the server does for a model that runs in it, or beside it: calls to other models, loading them, keeping metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from triton_python_backend_utils.responses import InferenceResponse

__all__ = ["Call", "Deliver", "MetricValues", "ModelHost"]

Deliver: TypeAlias = "Callable[[InferenceResponse, bool], None]"
"""Takes each response to a call, and whether it is the last one. Called on any thread; it must be quick and must not raise."""


Request_contra = TypeVar("Request_contra", contravariant=True)
"""What a model makes to call another one: an `InferenceRequest`."""


class Call(Protocol):
    """A request to another model that is on its way."""

    def waiting(self) -> AbstractContextManager[object]:
        """Stand around the time in which the caller waits for a response, so that a circle of waiting models is found."""

    def cancel(self) -> None:
        """Take the request back. It still gets its last response."""


class MetricValues(Protocol):
    """The values of the metrics that models make. Families of one name are one family; so are metrics of equal labels."""

    def declare(self, name: str, description: str, kind: int) -> None:
        """Make a family, or join in one. Raises TritonModelException: the name is wrong, or taken by another kind."""

    def add(self, name: str, labels: Mapping[str, str], buckets: Sequence[float]) -> None:
        """Make a metric of a family, or join in one. Raises TritonModelException: labels or buckets are wrong."""

    def apply(self, name: str, labels: Mapping[str, str], operation: str, value: float) -> None:
        """Do `increment`, `set` or `observe`. Raises TritonModelException: the kind of metric does not have that."""

    def value(self, name: str, labels: Mapping[str, str]) -> float:
        """Tell the value. Raises TritonModelException: it is a histogram, which has no single one."""

    def leave(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Leave a metric, or without labels a family. What nobody holds any more vanishes."""


class ModelHost(Protocol[Request_contra]):
    """What surrounds a model. Its methods may be called from any thread."""

    @property
    def metrics(self) -> MetricValues:
        """The metrics of the model."""

    def call(self, request: Request_contra, deliver: Deliver, *, decoupled: bool) -> Call:
        """Pass a request to its model. Does not block. What goes wrong is delivered as the last response.

        Raises:
            TritonModelException: the model is not executing: it is just being made, or leaves.
        """

    def load_model(self, name: str, config: str, files: Mapping[str, bytes]) -> None:
        """Load a model. Raises TritonModelException: it cannot be loaded, or nobody may load models."""

    def unload_model(self, name: str, *, unload_dependents: bool) -> None:
        """Unload a model. Raises TritonModelException: nobody may unload models."""

    def is_model_ready(self, name: str, version: str) -> bool:
        """Tell whether a model serves. Raises TritonModelException: the version is no number."""
