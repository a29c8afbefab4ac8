"""Responses to inference requests. Whoever has to do with both gets them from `charonia.request`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from charonia.errors import InferenceError
    from charonia.tensor import Tensor

__all__ = ["BATCH_REASON", "InferenceResponse", "Parameter", "ResponseSink"]

Parameter: TypeAlias = str | int | bool | float
"""The value of a request's or response's parameter."""

BATCH_REASON = "batch_reason"
"""The parameter by which a request asks, and a response tells, why its batch was closed."""


class InferenceResponse:
    """One response to a request: outputs, or an error. It is given to one request, and belongs to whoever gets it.

    Attributes:
        outputs: the tensors by name, in the order in which the model produced them.
        parameters: free key/values that the model attached.
        error: what went wrong, or None; also None once it was raised.
        final: whether the request gets no response after this one.
    """

    __slots__ = ("error", "final", "outputs", "parameters")

    def __init__(
        self,
        outputs: Mapping[str, Tensor] | None = None,
        *,
        parameters: Mapping[str, Parameter] | None = None,
        error: InferenceError | None = None,
        final: bool = True,
    ) -> None:
        self.outputs: Mapping[str, Tensor] = {} if outputs is None else outputs
        self.parameters: Mapping[str, Parameter] = {} if parameters is None else parameters
        self.error = error
        self.final = final

    def raise_error(self) -> None:
        """Raise its error, if it is one. It keeps that no longer.

        The error leads to the frames through which it goes, and these to the response, which would lead back to it: all of them,
        and the tensors that they have, would stay until garbage is collected.
        """
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    def __getitem__(self, name: str) -> Tensor:
        """The output called `name`."""
        return self.outputs[name]

    def __repr__(self) -> str:
        told = f"error={self.error!r}" if self.error else f"outputs={list(self.outputs)}"
        return f"InferenceResponse({told}, final={self.final})"


ResponseSink: TypeAlias = "Callable[[InferenceResponse], None]"
"""Takes each response of a request. Called on the thread that made the response: it must be quick and must not raise."""
