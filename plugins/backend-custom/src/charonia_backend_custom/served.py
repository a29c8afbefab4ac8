"""Requests and senders that a server is behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import triton_python_backend_utils as pb_utils
from charonia.request import InferenceResponse
from charonia.tensor import as_numpy
from triton_python_backend_utils.dlpack import CPU_DEVICES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.arrays import TensorLayout
    from charonia.request import InferenceRequest, Parameter
    from charonia.tensor import Array, Tensor

    from charonia_backend_custom.answers import Answers

__all__ = ["RequestMaker", "ServedRequest", "trace_context"]


class Input(pb_utils.Tensor):
    """An input, which may be written to, as in the reference."""

    __slots__ = ()

    def as_numpy(self) -> Array:
        """Give the numpy array, always the same one.

        It is uncopied, save where its memory is read-only: in shared memory, where another step of an ensemble has it, too, or
        where it is so small that it came together with the rest of its request.

        Raises:
            TritonModelException: the tensor is in the memory of a GPU.
        """
        array = super().as_numpy()
        if not array.flags.writeable:
            self._data = array = array.copy()
        return array


class ServedRequest(pb_utils.InferenceRequest):
    """A request that the server took, as the model sees it. Its parts are made when the model asks for them.

    Args:
        request: the core's request.
        maker: what all requests of an instance share.
    """

    __slots__ = ("_made_inputs", "_request", "_sender", "_shared")

    def __init__(self, request: InferenceRequest, maker: RequestMaker) -> None:
        self._request = request
        self._shared = maker
        self._made_inputs: list[pb_utils.Tensor] | None = None
        self._sender: pb_utils.InferenceResponseSender | None = None
        self._flags = request.flags
        self._rescheduled = False
        self._preferred_memory = None

    @property
    def core(self) -> InferenceRequest:
        """The core's request."""
        return self._request

    def inputs(self) -> list[pb_utils.Tensor]:
        """List the inputs that the request has."""
        if self._made_inputs is None:
            place = self._shared.place
            self._made_inputs = [Input.around(name, place(tensor)) for name, tensor in self.tensors().items()]
        return self._made_inputs

    def tensors(self) -> Mapping[str, Tensor]:
        """Give the inputs by name, without making objects for the model."""
        return self._shared.layout.gather([self._request])

    def request_id(self) -> str:
        """Give the caller's own name of the request, or ""."""
        return self._request.id

    def correlation_id(self) -> int | str:
        """Give the sequence to which the request belongs; 0 or "" for none."""
        return self._request.correlation_id

    def requested_output_names(self) -> set[str]:
        """Give the outputs wanted: all that the model has, where the caller named none."""
        return set(self.wanted)

    @property
    def wanted(self) -> Sequence[str]:
        """The outputs wanted."""
        return self._request.requested_outputs or self._shared.answers.outputs

    def timeout(self) -> int:
        """Give the time that the request may wait in a queue, in microseconds; 0 where not said."""
        return self._request.timeout_us

    def parameters(self) -> str:
        """Give the caller's free parameters as a JSON object."""
        return json.dumps(dict(self._request.parameters), separators=(",", ":"))

    def trace(self) -> pb_utils.InferenceTrace:
        """Give the trace to which the request belongs, with the context that its writer gives it, if any."""
        return pb_utils.InferenceTrace(trace_context(self._request))

    def parameter_values(self) -> Mapping[str, Parameter]:
        """Give the caller's free parameters."""
        return self._request.parameters

    @property
    def answered(self) -> bool:
        """Whether the request has its last response."""
        return self._request.done

    def model_name(self) -> str:
        """Tell the model that is asked."""
        return self._request.model_name

    def model_version(self) -> int:
        """Tell the version that is asked; -1 where the caller left it to the server."""
        return -1 if self._request.model_version is None else self._request.model_version

    def is_cancelled(self) -> bool:
        """Tell whether the caller has taken the request back."""
        return self._request.cancelled

    def get_response_sender(self) -> pb_utils.InferenceResponseSender:
        """Give the sender of this request's responses; always the same one."""
        if self._sender is None:
            line = _Line(self._request, self._shared)
            self._sender = pb_utils.InferenceResponseSender(line, decoupled=self._shared.decoupled)
        return self._sender

    def _send(self, *, decoupled: bool) -> NoReturn:
        raise pb_utils.TritonModelException(
            "this request came from a client, and cannot be passed on as it is: make an InferenceRequest to call another model"
        )


def trace_context(request: InferenceRequest) -> str | None:
    """Give the context of a request's trace as a model sees it; None where nobody traces."""
    fields = {} if request.trace is None else request.trace.context
    return json.dumps(dict(fields), separators=(",", ":")) if fields else None


def _on_cpu(tensor: Tensor) -> Tensor:
    if isinstance(tensor, np.ndarray) or int(tensor.__dlpack_device__()[0]) in CPU_DEVICES:
        return tensor
    return as_numpy(tensor)


def _where_it_is(tensor: Tensor) -> Tensor:
    return tensor


class RequestMaker:
    """Makes the requests that a model gets, and holds what they have in common.

    Attributes:
        layout: its reshapes.
        answers: makes its responses.
        decoupled: whether a request may have more or less than one response.
        place: gives an input where the model wants to find it.
    """

    __slots__ = ("answers", "decoupled", "layout", "place")

    def __init__(self, layout: TensorLayout, answers: Answers, *, decoupled: bool, on_cpu: bool = True) -> None:
        self.layout = layout
        self.answers = answers
        self.decoupled = decoupled
        self.place = _on_cpu if on_cpu else _where_it_is

    def of(self, request: InferenceRequest) -> ServedRequest:
        """Make the model's view of a request."""
        return ServedRequest(request, self)


class _Line:
    """From a sender to its request."""

    __slots__ = ("_maker", "_request")

    def __init__(self, request: InferenceRequest, maker: RequestMaker) -> None:
        self._request = request
        self._maker = maker

    def send(self, response: pb_utils.InferenceResponse | None, *, final: bool) -> None:
        """Pass a response on. The only one that a model which is not decoupled may send is the final one."""
        if response is None:
            self._request.respond(InferenceResponse())
            return
        final = final or not self._maker.decoupled
        self._request.respond(self._maker.answers.response(self._request, response, final=final))

    def is_cancelled(self) -> bool:
        """Tell whether the caller has taken the request back."""
        return self._request.cancelled
