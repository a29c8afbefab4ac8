"""The endpoint `infer`: one request, one response."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from charonia.classification import takes_long
from charonia.errors import InferenceError, UnsupportedError
from charonia.per_model import PerModel
from charonia.reply import Reply

from charonia_frontend_http.compression import CODINGS, accepted_coding, compress, decompress
from charonia_frontend_http.event_stream import EVENT_STREAM, ResponseStream, event_response
from charonia_frontend_http.infer_request import HeaderLengthError, decode_infer
from charonia_frontend_http.infer_response import ResponseEncoder
from charonia_frontend_http.known_requests import KnownRequests
from charonia_frontend_http.media_type import accepted
from charonia_frontend_http.message import JSON, JSON_SIZE, PLAIN, error_response
from charonia_frontend_http.response_queue import ResponseQueue

if TYPE_CHECKING:
    from charonia.header_forwarding import HeaderForwarding
    from charonia.http_message import HttpRequest, HttpResponse
    from charonia.mailbox import Mailbox
    from charonia.model import Model
    from charonia.outbox import Outbox
    from charonia.request import InferenceResponse, ResponseSink
    from charonia.server import Server

    from charonia_frontend_http.decoded import Decoded
    from charonia_frontend_http.routes import Route

__all__ = ["InferEndpoint"]


class InferEndpoint:
    """Answers infer requests.

    Args:
        server: the server that has the models.
        mailbox: the way from instance threads into the loop.
        outbox: the way of requests to their models.
        max_input_size: the largest JSON document, or JSON or raw tensor, in bytes.
        forwarding: which header fields become parameters, or None for none.
    """

    def __init__(
        self,
        server: Server,
        mailbox: Mailbox,
        outbox: Outbox,
        max_input_size: int,
        forwarding: HeaderForwarding | None = None,
    ) -> None:
        self._server = server
        self._mailbox = mailbox
        self._outbox = outbox
        self._max_input_size = max_input_size
        self._forwarding = forwarding
        self._encoders = PerModel(ResponseEncoder)
        self._known = PerModel(lambda _model: KnownRequests())

    async def answer(self, route: Route, request: HttpRequest) -> HttpResponse:
        """Answer a request. Where the caller's task is cancelled, the inference is, too.

        Raises:
            InferenceError: the model cannot be asked, or failed.
        """
        model = self._server.get(route.model, route.version)
        if model.decoupled and EVENT_STREAM not in accepted(request.headers.get("Accept", "")):
            raise UnsupportedError("HTTP end point doesn't support models with decoupled transaction policy")
        coding = request.headers.get("Content-Encoding")
        if coding and coding != "identity":
            if coding not in CODINGS:
                return _refused_coding()
            request.body = await decompress(request.body, self._max_input_size)
        if model.decoupled:
            return await self._stream(model, route, request)
        return await self._one(model, route, request)

    async def _one(self, model: Model, route: Route, request: HttpRequest) -> HttpResponse:
        """Answer with the one response of a model."""
        reply = Reply(self._mailbox)
        try:
            decoded = self._decode(model, route, request, reply.sink)
        except HeaderLengthError:
            raise
        except InferenceError as error:
            return error_response(error, JSON)
        self._outbox.put(decoded.request, reply.refuse)
        try:
            response = await reply
        except InferenceError as error:  # refused: what fails later is told by the response
            return error_response(error, JSON)
        except asyncio.CancelledError:
            decoded.request.cancel()
            raise
        if response.error is not None:
            return error_response(response.error, PLAIN)
        if request.passage is not None:
            request.passage.answer()
        encoder = self._encoders[model]
        accept = request.headers.get("Accept-Encoding")
        if accept or decoded.classes:
            return await _encode_as_wished(encoder, decoded, response, accept or "")
        return encoder.encode(decoded, response)

    def _decode(self, model: Model, route: Route, request: HttpRequest, sink: ResponseSink) -> Decoded:
        decoded = decode_infer(
            model,
            route.version,
            request.body,
            request.headers.get(JSON_SIZE),
            self._max_input_size,
            self._server.shared_memory,
            sink,
            self._known[model],
        )
        if self._forwarding is not None:  # headers win: a proxy in front may vouch for them, and nobody for the body
            forwarded = self._forwarding.parameters(request.headers.items())
            decoded.request.parameters = {**decoded.request.parameters, **forwarded}
        if request.passage is not None:
            request.passage.carry(decoded.request)
        return decoded

    async def _stream(self, model: Model, route: Route, request: HttpRequest) -> HttpResponse:
        """Answer with an event for each response of a decoupled model, where the client accepts that; the reference cannot."""
        responses = ResponseQueue(self._mailbox, decoupled=True)
        try:
            decoded = self._decode(model, route, request, responses.sink)
            in_json = replace(decoded, binary=dict.fromkeys(decoded.binary, False), binary_default=False)
            encoder = self._encoders[model]
            stream = ResponseStream(
                decoded.request, responses, lambda response: bytes(encoder.encode(in_json, response).body)
            )
            decoded.request.flow = responses.flow
            self._outbox.put(decoded.request, responses.refuse)
            return await event_response(stream)
        except HeaderLengthError:
            raise
        except InferenceError as error:
            return error_response(error, JSON)


async def _encode_as_wished(
    encoder: ResponseEncoder, decoded: Decoded, response: InferenceResponse, accept: str
) -> HttpResponse:
    """Write a response of which classes are wanted, or which may be compressed."""
    if decoded.classes and takes_long(response.outputs):
        encoded = await asyncio.to_thread(encoder.encode, decoded, response)
    else:
        encoded = encoder.encode(decoded, response)
    coding = accepted_coding(accept)
    return await compress(encoded, coding) if coding else encoded


def _refused_coding() -> HttpResponse:
    refusal = error_response(UnsupportedError("Unsupported compression type"), PLAIN)
    refusal.headers = {"Accept-Encoding": ", ".join(CODINGS)}
    return refusal
