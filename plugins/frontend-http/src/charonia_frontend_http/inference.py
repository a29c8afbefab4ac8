"""The endpoint `infer`: one request, one response."""

from __future__ import annotations

import asyncio
import time
import weakref
from typing import TYPE_CHECKING, TypeAlias

from charonia.classification import takes_long
from charonia.errors import InferenceError, UnsupportedError
from charonia.http_message import settled
from charonia.per_model import PerModel
from charonia.reply import Reply

from charonia_frontend_http.compression import CODINGS, accepted_coding, compress, decompress
from charonia_frontend_http.decoded import Decoded, Wanted
from charonia_frontend_http.event_stream import EVENT_STREAM, ResponseStream, event_response
from charonia_frontend_http.infer_request import decode_infer
from charonia_frontend_http.infer_response import ResponseEncoder
from charonia_frontend_http.json_size import HeaderLengthError, read_json_size
from charonia_frontend_http.known_requests import KnownRequests
from charonia_frontend_http.large_json import LARGE_JSON, read_beside
from charonia_frontend_http.media_type import accepted
from charonia_frontend_http.message import JSON, JSON_SIZE, PLAIN, error_response
from charonia_frontend_http.response_queue import ResponseQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from charonia.header_forwarding import HeaderForwarding
    from charonia.http_message import HttpAnswering, HttpRequest, HttpResponse
    from charonia.mailbox import Mailbox
    from charonia.model import Model
    from charonia.outbox import Outbox
    from charonia.request import InferenceResponse, ResponseSink
    from charonia.server import Server

    from charonia_frontend_http.routes import Route

__all__ = ["InferEndpoint", "InferPlan"]

_Answer: TypeAlias = "Callable[[Model, HttpRequest], HttpAnswering]"


class InferEndpoint:
    """What all infer requests share.

    Args:
        server: the server that has the models.
        mailbox: the way from instance threads into the loop.
        outbox: the way of requests to their models.
        max_input_size: the largest JSON document, or JSON or raw tensor, in bytes.
        forwarding: which header fields become parameters, or None for none.

    Attributes:
        encoders: what writes a model's responses.
        known: what a model was asked lately.
    """

    def __init__(
        self,
        server: Server,
        mailbox: Mailbox,
        outbox: Outbox,
        max_input_size: int,
        forwarding: HeaderForwarding | None = None,
    ) -> None:
        self.server = server
        self.mailbox = mailbox
        self.outbox = outbox
        self.max_input_size = max_input_size
        self.forwarding = forwarding
        self.encoders = PerModel(ResponseEncoder)
        self.known = PerModel(lambda _model: KnownRequests())


class InferPlan:
    """How infer requests of one head are answered: what the head says, and what is known of the model that it names.

    Args:
        endpoint: what all share.
        route: where they go.
        headers: the header fields of the head.
    """

    def __init__(self, endpoint: InferEndpoint, route: Route, headers: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._route = route
        coding = headers.get("Content-Encoding", "")
        self._coding = "" if coding == "identity" else coding
        self._takes_events = EVENT_STREAM in accepted(headers.get("Accept", ""))
        self._accept = headers.get("Accept-Encoding", "")
        self._json_size = headers.get(JSON_SIZE)
        self._takes_long = self._json_size is None or _is_large(self._json_size)  # if the body is large
        self._headers = headers
        self._model: Callable[[], Model | None] = _no_model
        self._encoder: ResponseEncoder
        self._known: KnownRequests

    def answer(self, request: HttpRequest) -> HttpAnswering:
        """Answer a request. Where what is given is cancelled, the inference is, too.

        Raises:
            InferenceError: the model cannot be asked, or failed; at once, or when what was given is awaited.
        """
        route = self._route
        model = self._endpoint.server.get(route.model, route.version)
        if model is not self._model():
            self._model = weakref.ref(model)
            self._encoder = self._endpoint.encoders[model]
            self._known = self._endpoint.known[model]
        if model.decoupled and not self._takes_events:
            raise UnsupportedError("HTTP end point doesn't support models with decoupled transaction policy")
        answer = self._stream if model.decoupled else self._one
        return self._unpacked(answer, model, request) if self._coding else answer(model, request)

    async def _unpacked(self, answer: _Answer, model: Model, request: HttpRequest) -> HttpResponse:
        """Answer a request whose body is compressed."""
        if self._coding not in CODINGS:
            return _refused_coding()
        request.body = await decompress(request.body, self._endpoint.max_input_size)
        return await settled(answer(model, request))

    def _one(self, model: Model, request: HttpRequest) -> HttpAnswering:
        """Answer with the one response of a model."""
        if self._takes_long and len(request.body) > LARGE_JSON:
            return self._one_beside(model, request)
        reply = Reply(self._endpoint.mailbox)
        try:
            decoded = self._decode(model, request, reply.sink)
        except HeaderLengthError:
            raise
        except InferenceError as error:
            return error_response(error, JSON)
        return self._ask(model, self._encoder, request, decoded, reply)

    async def _one_beside(self, model: Model, request: HttpRequest) -> HttpResponse:
        """Do as `_one`, and read much JSON beside the loop."""
        encoder = self._encoder
        reply = Reply(self._endpoint.mailbox)
        try:
            decoded = await read_beside(len(request.body), self._decode, model, request, reply.sink)
        except HeaderLengthError:
            raise
        except InferenceError as error:
            return error_response(error, JSON)
        return await settled(self._ask(model, encoder, request, decoded, reply))

    def _ask(
        self, model: Model, encoder: ResponseEncoder, request: HttpRequest, decoded: Decoded, reply: Reply
    ) -> HttpAnswering:
        self._endpoint.outbox.put(decoded.request, reply.refuse, model)
        if not reply.here:
            return self._wait(encoder, request, decoded, reply)
        try:
            response = reply.outcome()
        except InferenceError as error:  # refused: what fails later is told by the response
            return error_response(error, JSON)
        return self._tell(encoder, request, decoded, response)

    async def _wait(
        self, encoder: ResponseEncoder, request: HttpRequest, decoded: Decoded, reply: Reply
    ) -> HttpResponse:
        try:
            response = await reply
        except InferenceError as error:
            return error_response(error, JSON)
        except asyncio.CancelledError:
            decoded.request.cancel()
            raise
        return await settled(self._tell(encoder, request, decoded, response))

    def _tell(
        self, encoder: ResponseEncoder, request: HttpRequest, decoded: Decoded, response: InferenceResponse
    ) -> HttpAnswering:
        if response.error is not None:
            return error_response(response.error, PLAIN)
        if request.onlooker is not None:
            request.onlooker.answered_ns = time.monotonic_ns()
        if self._accept or decoded.wanted.classes:
            return _encode_as_wished(encoder, decoded, response, self._accept)
        return encoder.encode(decoded, response)

    def _decode(self, model: Model, request: HttpRequest, sink: ResponseSink) -> Decoded:
        decoded = decode_infer(
            model,
            self._route.version,
            request.body,
            self._json_size,
            self._endpoint.max_input_size,
            self._endpoint.server.shared_memory,
            sink,
            self._known,
        )
        forwarding = self._endpoint.forwarding
        if forwarding is not None:  # headers win: a proxy in front may vouch for them, and nobody for the body
            forwarded = forwarding.parameters(self._headers)
            decoded.request.parameters = {**decoded.request.parameters, **forwarded}
        if request.onlooker is not None:
            request.onlooker.carry(decoded.request)
        return decoded

    async def _stream(self, model: Model, request: HttpRequest) -> HttpResponse:
        """Answer with an event for each response of a decoupled model, where the client accepts that; the reference cannot."""
        responses = ResponseQueue(self._endpoint.mailbox, decoupled=True)
        encoder = self._encoder
        try:
            size = len(request.body) if self._takes_long else 0
            decoded = await read_beside(size, self._decode, model, request, responses.sink)
            binary = dict.fromkeys(decoded.wanted.binary, False)
            wanted = Wanted(binary, binary_default=False, classes=decoded.wanted.classes)
            in_json = Decoded(decoded.request, wanted)
            stream = ResponseStream(
                decoded.request, responses, lambda response: bytes(encoder.encode(in_json, response).body)
            )
            decoded.request.flow = responses.flow
            self._endpoint.outbox.put(decoded.request, responses.refuse)
            return await event_response(stream)
        except HeaderLengthError:
            raise
        except InferenceError as error:
            return error_response(error, JSON)


def _is_large(json_size: str) -> bool:
    """Tell whether a header field, which may be anything, says that there is much JSON."""
    try:
        return read_json_size(json_size) > LARGE_JSON
    except HeaderLengthError:
        return False


def _no_model() -> None:
    """Stand for a model that has not been looked up yet."""


async def _encode_as_wished(
    encoder: ResponseEncoder, decoded: Decoded, response: InferenceResponse, accept: str
) -> HttpResponse:
    """Write a response of which classes are wanted, or which may be compressed."""
    if decoded.wanted.classes and takes_long(response.outputs):
        encoded = await asyncio.to_thread(encoder.encode, decoded, response)
    else:
        encoded = encoder.encode(decoded, response)
    coding = accepted_coding(accept)
    return await compress(encoded, coding) if coding else encoded


def _refused_coding() -> HttpResponse:
    refusal = error_response(UnsupportedError("Unsupported compression type"), PLAIN)
    refusal.headers = {"Accept-Encoding": ", ".join(CODINGS)}
    return refusal
