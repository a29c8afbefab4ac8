"""The endpoints `generate` and `generate_stream`: a plain JSON object in, one out, or a stream of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError
from charonia.http_message import HttpResponse
from charonia.per_model import PerModel

from charonia_frontend_http.event_stream import ResponseStream, event_response
from charonia_frontend_http.generate_request import decode_generate
from charonia_frontend_http.generate_response import GenerateEncoder
from charonia_frontend_http.large_json import read_beside
from charonia_frontend_http.message import JSON, error_body
from charonia_frontend_http.response_queue import ResponseQueue

if TYPE_CHECKING:
    from charonia.http_message import HttpRequest
    from charonia.mailbox import Mailbox
    from charonia.outbox import Outbox
    from charonia.server import Server

    from charonia_frontend_http.routes import Route

__all__ = ["GenerateEndpoints"]

_NOT_ONE = error_body(
    "generate expects model to produce exactly 1 response, use generate stream for model that generates various number of "
    "responses"
)


class GenerateEndpoints:
    """Answers generate requests, of decoupled models and of others.

    Args:
        server: the server that has the models.
        mailbox: the way from instance threads into the loop.
        outbox: the way of requests to their models.
        max_input_size: the largest body, in bytes.
    """

    def __init__(self, server: Server, mailbox: Mailbox, outbox: Outbox, max_input_size: int) -> None:
        self._server = server
        self._mailbox = mailbox
        self._outbox = outbox
        self._max_input_size = max_input_size
        self._encoders = PerModel(GenerateEncoder)

    async def whole(self, route: Route, request: HttpRequest) -> HttpResponse:
        """Answer with the one response. As in the reference, none or several are an error with the status 200.

        Raises:
            InferenceError: the model cannot be asked, refuses the request, or failed.
        """
        generation = await self._begin(route, request)
        try:
            first = response = await generation.next()
            count = 0
            while response is not None:
                count += 1
                response = await generation.next()
        finally:
            generation.close()
        if first is not None:
            first.raise_error()
        if first is None or count != 1:
            return HttpResponse(200, _NOT_ONE, JSON)
        return HttpResponse(200, generation.document(first), JSON)

    async def stream(self, route: Route, request: HttpRequest) -> HttpResponse:
        """Answer with an event for each response. The first one decides about the status; later errors are events like others.

        Raises:
            InferenceError: the model cannot be asked, or refuses the request.
        """
        return await event_response(await self._begin(route, request))

    async def _begin(self, route: Route, request: HttpRequest) -> ResponseStream:
        model = self._server.get(route.model, route.version)
        if request.headers.get("Content-Encoding", "identity") not in {"", "identity"}:
            raise InvalidArgumentError("Unsupported content-encoding, only 'identity' is supported.")
        responses = ResponseQueue(self._mailbox, decoupled=model.decoupled)
        body = request.body
        decoded = await read_beside(
            len(body), decode_generate, model, route.version, body, self._max_input_size, responses.sink
        )
        encoder = self._encoders[model]
        decoded.flow = responses.flow
        if request.onlooker is not None:
            request.onlooker.carry(decoded)
        self._outbox.put(decoded, responses.refuse)
        return ResponseStream(decoded, responses, lambda response: encoder.encode(decoded.id, response))
