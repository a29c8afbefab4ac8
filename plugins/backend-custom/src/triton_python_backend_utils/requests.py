"""A request, as a model gets it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from triton_python_backend_utils.errors import TritonModelException
from triton_python_backend_utils.later import not_supported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from triton_python_backend_utils.responses import InferenceResponseSender
    from triton_python_backend_utils.tensors import Tensor

__all__ = [
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_END",
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_START",
    "TRITONSERVER_REQUEST_RELEASE_ALL",
    "TRITONSERVER_REQUEST_RELEASE_RESCHEDULE",
    "InferenceRequest",
    "get_input_tensor_by_name",
]

TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
TRITONSERVER_REQUEST_RELEASE_ALL = 1
TRITONSERVER_REQUEST_RELEASE_RESCHEDULE = 2


class InferenceRequest:
    """The inputs of one request, and what else its caller said. The server makes those that `execute` gets.

    A model's tests make their own. Calling other models (`exec`, `async_exec`) is not supported yet.

    Args:
        request_id: the caller's own name of the request.
        correlation_id: the sequence to which the request belongs; 0 or "" for none.
        inputs: the tensors.
        requested_output_names: the outputs wanted.
        model_name: the model that is asked.
        model_version: its version; -1 leaves the choice to the server.
        flags: 1 where the request starts its sequence, 2 where it ends it, 3 for both.
        timeout: how long the request may wait in a queue, in microseconds; 0 means not said.
        parameters: free key/values of text, numbers and booleans.
    """

    __slots__ = (
        "_correlation_id",
        "_flags",
        "_inputs",
        "_parameters",
        "_request_id",
        "_requested_output_names",
        "_timeout",
    )

    def __init__(  # noqa: PLR0917 - the reference's arguments, in its order
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs: Sequence[Tensor] = (),
        requested_output_names: Sequence[str] = (),
        model_name: str = "",
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        parameters: Mapping[str, str | int | bool | float] | None = None,
    ) -> None:
        self._request_id = request_id
        self._correlation_id = correlation_id
        self._inputs = list(inputs)
        self._requested_output_names = list(requested_output_names)
        self._flags = flags
        self._timeout = timeout
        self._parameters = dict(parameters or {})

    def inputs(self) -> list[Tensor]:
        """List the inputs that the request has; optional ones may be missing."""
        return self._inputs

    def request_id(self) -> str:
        """Give the caller's own name of the request, or ""."""
        return self._request_id

    def correlation_id(self) -> int | str:
        """Give the sequence to which the request belongs; 0 or "" for none."""
        return self._correlation_id

    def requested_output_names(self) -> list[str]:
        """List the outputs wanted: all that the model has, where the caller named none."""
        return self._requested_output_names

    def flags(self) -> int:
        """Give the sequence flags: 1 start, 2 end."""
        return self._flags

    def set_flags(self, flags: int) -> None:
        """Set the sequence flags of a request that the model makes itself."""
        self._flags = flags

    def timeout(self) -> int:
        """Give the time that the request may wait in a queue, in microseconds; 0 where not said."""
        return self._timeout

    def parameters(self) -> str:
        """Give the caller's free parameters as a JSON object."""
        return json.dumps(self._parameters)

    def is_cancelled(self) -> bool:
        """Tell whether the caller has taken the request back. Always False for one that a test has made."""
        return False

    def get_response_sender(self) -> InferenceResponseSender:
        """Give the sender of this request's responses.

        Raises:
            TritonModelException: the request does not come from a server, so that there is nobody to answer.
        """
        raise TritonModelException(
            "this request does not come from a server, so that there is nobody to send responses to"
        )

    def preferred_memory(self) -> NoReturn:
        """Not supported yet."""
        not_supported("InferenceRequest.preferred_memory")

    def trace(self) -> NoReturn:
        """Not supported yet."""
        not_supported("InferenceRequest.trace")

    def set_release_flags(self, flags: int) -> None:
        """Say that the request is done with, which is what happens anyway.

        Raises:
            TritonModelException: the flag is another one; rescheduling a request is not supported yet.
        """
        if flags != TRITONSERVER_REQUEST_RELEASE_ALL:
            not_supported("TRITONSERVER_REQUEST_RELEASE_RESCHEDULE")

    def exec(self, *, decoupled: bool = False) -> NoReturn:
        """Not supported yet."""
        not_supported("InferenceRequest.exec")

    async def async_exec(self, *, decoupled: bool = False) -> NoReturn:
        """Not supported yet."""
        not_supported("InferenceRequest.async_exec")

    def __repr__(self) -> str:
        return f"InferenceRequest(request_id={self.request_id()!r}, inputs={self.inputs()})"


def get_input_tensor_by_name(inference_request: Any, name: str) -> Tensor | None:
    """Find an input of a request. None if there is none of that name."""
    tensor: Tensor
    for tensor in inference_request.inputs():
        if tensor.name() == name:
            return tensor
    return None
