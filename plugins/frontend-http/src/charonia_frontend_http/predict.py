"""The endpoint `predict`: the plain front door beside the protocol. Values in, values out, no names of datatypes or shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from charonia.errors import InvalidArgumentError, UnsupportedError

from charonia_frontend_http.compression import CODINGS, accepted_coding, compress, decompress
from charonia_frontend_http.large_json import read_beside
from charonia_frontend_http.media_type import NPY, accepted, media_type
from charonia_frontend_http.message import JSON, error_response
from charonia_frontend_http.predict_request import READABLE, PredictReader
from charonia_frontend_http.predict_response import write_prediction

if TYPE_CHECKING:
    from charonia.header_forwarding import HeaderForwarding
    from charonia.http_message import HttpRequest, HttpResponse
    from charonia.server import Server
    from charonia.signature import Signature

    from charonia_frontend_http.routes import Route

__all__ = ["PredictEndpoint"]


class PredictEndpoint:
    """Answers plain requests.

    Args:
        server: the server that has the models.
        max_input_size: the largest JSON text, and the largest body after its compression is undone, in bytes.
        forwarding: which header fields become parameters, or None for none.
    """

    def __init__(self, server: Server, max_input_size: int, forwarding: HeaderForwarding | None = None) -> None:
        self._server = server
        self._forwarding = forwarding
        self._max_input_size = max_input_size
        self._reader = PredictReader(max_input_size)

    async def answer(self, route: Route, request: HttpRequest) -> HttpResponse:
        """Answer a request. Where the caller's task is cancelled, the inference is, too.

        Raises:
            InferenceError: the model cannot be asked, the request does not fit it, or it failed.
        """
        model = self._server.get(route.model, route.version)
        if model.decoupled:
            raise UnsupportedError(
                f"model '{model.name}' is decoupled, so that a request may have any number of responses, but 'predict' "
                "gives one: ask it over a stream"
            )
        content_type = request.headers.get("Content-Type", "")
        refusal = self._refusal(content_type, request.headers.get("Content-Encoding", ""))
        if refusal is not None:
            return refusal
        outputs = _outputs(request.target)
        npy = _wants_npy(model.signature, outputs, content_type, request.headers.get("Accept", ""))
        body = await self._body(request)
        inputs = await read_beside(len(body), self._reader.read, model.signature, content_type, body)
        parameters = self._forwarding.parameters(request.headers) if self._forwarding is not None else {}
        handle = self._server.model(route.model, route.version)
        response = await handle.infer_async(inputs, outputs=outputs, parameters=parameters, onlooker=request.onlooker)
        # as with infer, an output that the configuration does not name is not told
        named = outputs or model.signature.outputs
        shown = {name: tensor for name, tensor in response.outputs.items() if name in named}
        written = write_prediction(shown, npy=npy)
        accept = request.headers.get("Accept-Encoding")
        coding = accepted_coding(accept) if accept else ""
        return await compress(written, coding) if coding else written

    def _refusal(self, content_type: str, coding: str) -> HttpResponse | None:
        """Refuse a body of a kind or in a coding that nobody here reads."""
        if coding not in {"", "identity", *CODINGS}:
            text = f"'predict' does not read the coding '{coding}', expected {', '.join(CODINGS)}"
        elif not self._reader.reads(content_type):
            text = f"'predict' does not read '{content_type}', expected {', '.join(READABLE)}"
        else:
            return None
        return error_response(InvalidArgumentError(text), JSON, 415)

    async def _body(self, request: HttpRequest) -> bytes:
        if request.headers.get("Content-Encoding") in CODINGS:
            return await decompress(request.body, self._max_input_size)
        return bytes(request.body)


def _outputs(target: str) -> tuple[str, ...]:
    """Read which outputs the query names, as `outputs=A,B`; none means all."""
    names = ",".join(parse_qs(target.partition("?")[2].partition("#")[0]).get("outputs", ()))
    return tuple(dict.fromkeys(name for name in names.split(",") if name))


def _wants_npy(signature: Signature, outputs: tuple[str, ...], content_type: str, accept: str) -> bool:
    """Tell the form of the answer: what Accept names, else that of the request where it can be."""
    count = len(outputs or signature.outputs)
    named = [kind for kind in accepted(accept) if kind in {JSON, NPY}]
    if not named:
        return count == 1 and media_type(content_type)[0] == NPY
    if named[0] == NPY and count != 1:
        raise InvalidArgumentError(
            f"{NPY} holds one output, but model '{signature.model}' gives {count} "
            f"({', '.join(outputs or signature.outputs)}): name one by the query, as '?outputs=NAME', or accept {JSON}"
        )
    return named[0] == NPY
