"""A request: as a model gets it, and as it makes one to call another model."""

# ruff: noqa: FBT001, FBT002 - the signatures are the reference's

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from triton_python_backend_utils.errors import TritonModelException
from triton_python_backend_utils.place import calling_host, calling_model
from triton_python_backend_utils.response_iterator import ResponseIterator
from triton_python_backend_utils.trace import InferenceTrace

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from triton_python_backend_utils.memory import PreferredMemory
    from triton_python_backend_utils.responses import InferenceResponse, InferenceResponseSender
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

    A model makes one to call another model, with `exec` or `async_exec`:

        request = InferenceRequest(model_name="other", inputs=[Tensor("X", array)], requested_output_names=["Y"])
        response = request.exec()

    Such a request inherits nothing but cancellation from the one that the model is busy with. A model's tests make their own.

    Args:
        request_id: the caller's own name of the request.
        correlation_id: the sequence to which the request belongs; 0 or "" for none.
        inputs: the tensors.
        requested_output_names: the outputs wanted.
        model_name: the model that is asked.
        model_version: its version; -1 leaves the choice to the server.
        flags: 1 where the request starts its sequence, 2 where it ends it, 3 for both.
        timeout: how long the request may wait in a queue, in microseconds; 0 means not said.
        preferred_memory: where the outputs shall lie.
        trace: the trace to which the request belongs, as `trace()` of the one that caused it gives it.
        parameters: free key/values of text, numbers and booleans.

    Raises:
        TritonModelException: a parameter has a value of another type.
    """

    __slots__ = (
        "_correlation_id",
        "_flags",
        "_inputs",
        "_maker",
        "_model_name",
        "_model_version",
        "_parameters",
        "_preferred_memory",
        "_request_id",
        "_requested_output_names",
        "_rescheduled",
        "_timeout",
        "_trace",
    )

    def __init__(  # noqa: PLR0917 - the reference's arguments, in its order
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs: Sequence[Tensor] = (),
        requested_output_names: Collection[str] = (),
        model_name: str = "",
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        preferred_memory: PreferredMemory | None = None,
        trace: InferenceTrace | None = None,
        parameters: Mapping[str, str | int | bool | float] | None = None,
    ) -> None:
        self._request_id = request_id
        self._correlation_id = correlation_id
        self._inputs = list(inputs)
        self._requested_output_names = set(requested_output_names)
        self._model_name = model_name
        self._model_version = model_version
        self._flags = flags
        self._rescheduled = False
        self._timeout = timeout
        self._preferred_memory = preferred_memory
        self._trace = trace
        self._parameters = dict(parameters or {})
        self._maker = calling_model()
        for value in self._parameters.values():
            if not isinstance(value, str | int | bool | float):
                raise TritonModelException(
                    f"Expect parameters values to have type bool/int/str, found type {type(value)}"
                )

    def inputs(self) -> list[Tensor]:
        """List the inputs that the request has; optional ones may be missing."""
        return self._inputs

    def request_id(self) -> str:
        """Give the caller's own name of the request, or ""."""
        return self._request_id

    def correlation_id(self) -> int | str:
        """Give the sequence to which the request belongs; 0 or "" for none."""
        return self._correlation_id

    def requested_output_names(self) -> set[str]:
        """Give the outputs wanted: all that the model has, where the caller named none."""
        return self._requested_output_names

    def model_name(self) -> str:
        """Tell the model that is asked. Charonia's own, as `model_version`; the reference does not tell them."""
        return self._model_name

    def model_version(self) -> int:
        """Tell the version that is asked; -1 leaves the choice to the server."""
        return self._model_version

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
        return json.dumps(self._parameters, separators=(",", ":"))

    def parameter_values(self) -> Mapping[str, str | int | bool | float]:
        """Give the parameters as values. Charonia's own, as `answered`."""
        return self._parameters

    @property
    def answered(self) -> bool:
        """Whether the request has its last response. Always False for one that the model or a test has made."""
        return False

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

    def preferred_memory(self) -> PreferredMemory | None:
        """Tell where the outputs shall lie. None where the caller did not say."""
        return self._preferred_memory

    def trace(self) -> InferenceTrace:
        """Give the trace to which the request belongs, so that it can be handed to calls."""
        return self._trace or InferenceTrace()

    def set_release_flags(self, flags: int) -> None:
        """Say what becomes of the request when `execute` has returned. The last call counts.

        TRITONSERVER_REQUEST_RELEASE_ALL is what happens anyway: it is done with. TRITONSERVER_REQUEST_RELEASE_RESCHEDULE has it
        executed once more, with the same inputs, where the model's configuration has `iterative_sequence`. Then `execute` answers
        it with None, or, where the model is decoupled, its sender sends anything but the final flag.

        Raises:
            TritonModelException: the flags are none of these two.
        """
        known = (TRITONSERVER_REQUEST_RELEASE_ALL, TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
        if flags not in known:
            raise TritonModelException(
                f"the release flags are {flags!r}: expected TRITONSERVER_REQUEST_RELEASE_ALL or "
                "TRITONSERVER_REQUEST_RELEASE_RESCHEDULE"
            )
        self._rescheduled = flags == TRITONSERVER_REQUEST_RELEASE_RESCHEDULE

    @property
    def rescheduled(self) -> bool:
        """Whether the request is to be executed once more. Charonia's own, as `answered`."""
        return self._rescheduled

    @overload
    def exec(self, decoupled: Literal[False] = False) -> InferenceResponse: ...
    @overload
    def exec(self, decoupled: Literal[True]) -> ResponseIterator: ...
    def exec(self, decoupled: bool = False) -> InferenceResponse | ResponseIterator:
        """Ask the other model, and wait for its response.

        Args:
            decoupled: whether the model may have any number of responses.

        Returns:
            The response, also where it is an error; with `decoupled` an iterator of responses, at once.

        Raises:
            TritonModelException: the model that calls is not executing; or it is not loaded by a server.
        """
        iterator = self._send(decoupled=decoupled)
        return iterator if decoupled else iterator.result()

    @overload
    def async_exec(self, decoupled: Literal[False] = False) -> asyncio.Future[InferenceResponse]: ...
    @overload
    def async_exec(self, decoupled: Literal[True]) -> asyncio.Future[ResponseIterator]: ...
    def async_exec(self, decoupled: bool = False) -> asyncio.Future[Any]:
        """Ask the other model, from a coroutine. The request is sent at the call; the rest is as in `exec`.

        Returns:
            A future of what `exec` gives; the iterator is for `async for`, too. Cancelling it takes the request back.

        Raises:
            RuntimeError: no event loop runs.
            TritonModelException: as in `exec`.
        """
        loop = asyncio.get_running_loop()
        iterator = self._send(decoupled=decoupled)
        if not decoupled:
            return loop.create_task(iterator.result_async())
        started = loop.create_future()
        started.set_result(iterator)
        return started

    def _send(self, *, decoupled: bool) -> ResponseIterator:
        host = calling_host("a call of another model") if self._maker is None else self._maker.host
        return ResponseIterator(partial(host.call, self, decoupled=decoupled))

    def __repr__(self) -> str:
        return f"InferenceRequest(request_id={self.request_id()!r}, inputs={self.inputs()})"


def get_input_tensor_by_name(inference_request: Any, name: str) -> Tensor | None:
    """Find an input of a request. None if there is none of that name."""
    tensor: Tensor
    for tensor in inference_request.inputs():
        if tensor.name() == name:
            return tensor
    return None
