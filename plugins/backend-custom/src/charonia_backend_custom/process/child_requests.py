"""Requests as a model in a process of its own gets them, and the way of its senders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton_python_backend_utils as pb_utils

from charonia_backend_custom.process.link import LinkEndedError
from charonia_backend_custom.process.messages import IsCancelled, Send

if TYPE_CHECKING:
    from charonia_backend_custom.process.link import Link
    from charonia_backend_custom.process.messages import Plain

__all__ = ["RemoteRequest"]


class RemoteRequest(pb_utils.InferenceRequest):
    """A request that the server took.

    Args:
        data: what came over the line, with the fields of `RequestData`.
        link: the line.
        decoupled: whether a request may have any number of responses.
    """

    __slots__ = ("_decoupled", "_line", "_sender")

    def __init__(self, data: Plain, link: Link, *, decoupled: bool) -> None:
        # not by the constructor of requests that models make, which checks what comes, and looks for who calls
        (
            key,
            inputs,
            self._request_id,
            self._correlation_id,
            requested_outputs,
            self._model_name,
            self._model_version,
            self._flags,
            self._timeout,
            self._parameters,
            trace,
        ) = data
        unpack = link.saying.carrier.unpack
        self._inputs = [unpack(tensor) for tensor in inputs]
        self._requested_output_names = set(requested_outputs)
        self._trace = None if trace is None else pb_utils.InferenceTrace(trace)
        self._preferred_memory = None
        self._rescheduled = False
        self._line = _RemoteLine(link, key, ends_at_once=not decoupled)
        self._decoupled = decoupled
        self._sender: pb_utils.InferenceResponseSender | None = None

    @property
    def key(self) -> int:
        """What the server knows the request by."""
        return self._line.key

    @property
    def answered(self) -> bool:
        """Whether the request has its last response."""
        return self._line.ended

    def is_cancelled(self) -> bool:
        """Tell whether the caller has taken the request back: the server is asked."""
        return self._line.is_cancelled()

    def get_response_sender(self) -> pb_utils.InferenceResponseSender:
        """Give the sender of this request's responses; always the same one."""
        if self._sender is None:
            self._sender = pb_utils.InferenceResponseSender(self._line, decoupled=self._decoupled)
        return self._sender

    def _send(self, *, decoupled: bool) -> pb_utils.ResponseIterator:
        raise pb_utils.TritonModelException(
            "this request came from a client, and cannot be passed on as it is: make an InferenceRequest to call another model"
        )


class _RemoteLine:
    """From a sender to the server."""

    __slots__ = ("_ends_at_once", "_link", "ended", "key")

    def __init__(self, link: Link, key: int, *, ends_at_once: bool) -> None:
        self._link = link
        self.key = key
        self._ends_at_once = ends_at_once
        self.ended = False

    def send(self, response: pb_utils.InferenceResponse | None, *, final: bool) -> None:
        """Pass a response on."""
        packed = None if response is None else self._link.saying.carrier.pack_response(response)
        self.ended = self.ended or final or self._ends_at_once
        self._link.tell(Send(self.key, packed, final))

    def is_cancelled(self) -> bool:
        """Ask the server whether the caller has taken the request back; true, too, where nobody could get the answer."""
        try:
            return bool(self._link.ask(IsCancelled(self.key)))
        except LinkEndedError:
            return True
