"""A model's answer to a request, and the sender that carries it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar, Protocol

from triton_python_backend_utils.errors import TritonError, TritonModelException
from triton_python_backend_utils.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "TRITONSERVER_RESPONSE_COMPLETE_FINAL",
    "InferenceResponse",
    "InferenceResponseSender",
    "get_output_tensor_by_name",
]

TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
"""The flag of a sender's last call."""


class InferenceResponse:
    """Outputs, or an error.

    Args:
        output_tensors: in the order in which clients see them.
        error: if it is given, the outputs are not sent. Text, or another exception, is an INTERNAL error.
        parameters: free key/values of text, numbers and booleans.

    Raises:
        TypeError: something among `output_tensors` is no Tensor.
        TritonModelException: a parameter has a value of another type.
    """

    __slots__ = ("_error", "_output_tensors", "_parameters")

    def __init__(
        self,
        output_tensors: Sequence[Tensor] = (),
        error: TritonError | str | Exception | None = None,
        parameters: Mapping[str, str | int | bool | float] | None = None,
    ) -> None:
        for tensor in output_tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"output_tensors of an InferenceResponse holds Tensor objects, not {type(tensor).__name__}"
                )
        self._output_tensors = list(output_tensors)
        self._error = error if error is None or isinstance(error, TritonError) else TritonError(str(error))
        self._parameters: Mapping[str, str | int | bool | float] = dict(parameters) if parameters else {}
        for name, value in self._parameters.items():
            if not isinstance(value, str | int | bool | float):
                raise TritonModelException(
                    f"the response parameter {name!r} is a {type(value).__name__}: expected text, a number or a boolean"
                )

    @classmethod
    def around(
        cls,
        output_tensors: list[Tensor],
        error: TritonError | None,
        parameters: Mapping[str, str | int | bool | float],
    ) -> InferenceResponse:
        """Make a response of what is known to be right, unchecked. Charonia's own; the reference has no such method."""
        made = cls.__new__(cls)
        made._output_tensors = output_tensors  # noqa: SLF001 - the class's own
        made._error = error  # noqa: SLF001 - the class's own
        made._parameters = parameters  # noqa: SLF001 - the class's own
        return made

    def output_tensors(self) -> list[Tensor]:
        """List the outputs."""
        return self._output_tensors

    def has_error(self) -> bool:
        """Tell whether this is an error."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """Give the error."""
        return self._error

    def parameters(self) -> str:
        """Give the parameters as a JSON object."""
        return json.dumps(dict(self._parameters), separators=(",", ":"))

    def parameter_values(self) -> Mapping[str, str | int | bool | float]:
        """Give the parameters as values. Charonia's own; the reference has no such method."""
        return self._parameters

    def __repr__(self) -> str:
        return (
            f"InferenceResponse(error={self._error!r})" if self._error else f"InferenceResponse({self._output_tensors})"
        )


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """Find an output of a response. None if there is none of that name."""
    for tensor in inference_response.output_tensors():
        if tensor.name() == name:
            return tensor
    return None


class _Line(Protocol):
    """Where a sender's responses go."""

    def send(self, response: InferenceResponse | None, *, final: bool) -> None:
        """Pass a response on; None where only the end is told."""

    def is_cancelled(self) -> bool:
        """Tell whether the caller has taken the request back."""


class InferenceResponseSender:
    """Sends the responses of one request: any number, from any thread, also after `execute` has returned.

    `InferenceRequest.get_response_sender` gives it. The last call carries TRITONSERVER_RESPONSE_COMPLETE_FINAL, with a response
    or without one. An error does not end a request.

    Args:
        line: where the responses go.
        decoupled: whether a request may have more or less than one response.
    """

    UNSUPPORTED_FLAG: ClassVar[str] = "Unable to send response. Unsupported flag provided."

    def __init__(self, line: _Line, *, decoupled: bool) -> None:
        self._line = line
        self._decoupled = decoupled
        self._closed = False
        self._sent = 0

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Send a response, or end the request, or both.

        Raises:
            TritonModelException: as in the reference, by the text: the flag is unknown; there is neither a response nor the
                final flag; the request has ended; a model that is not decoupled sends a second response, or the final flag
                before the first.
        """
        if flags not in (0, TRITONSERVER_RESPONSE_COMPLETE_FINAL):
            raise TritonModelException(self.UNSUPPORTED_FLAG)
        final = flags == TRITONSERVER_RESPONSE_COMPLETE_FINAL
        if response is not None and not isinstance(response, InferenceResponse):
            raise TypeError(f"a sender sends InferenceResponse objects, not {type(response).__name__}")
        if response is None and not final:
            raise TritonModelException(
                "Inference Response object must be provided when the response flags is set to zero."
            )
        if self._closed:
            raise TritonModelException("Unable to send response. Response sender has been closed.")
        if not self._decoupled:
            self._check_single(response)
        self._closed = final
        if response is not None:
            self._sent += 1
        self._line.send(response, final=final)

    def _check_single(self, response: InferenceResponse | None) -> None:
        if response is not None and self._sent:
            raise TritonModelException(
                "Unable to send response. Non-decoupled model cannot send more than one response."
            )
        if response is None and not self._sent:
            raise TritonModelException(
                "Unable to send response. Non-decoupled model cannot send complete final before sending a response."
            )

    def is_cancelled(self) -> bool:
        """Tell whether the caller has taken the request back, so that the rest need not be computed."""
        return self._line.is_cancelled()
