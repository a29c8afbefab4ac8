"""A small client of the v2 protocol over HTTP, for the commands that ask a running server."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import click

from charonia.cli.exit_codes import RefusedError, UnreachableError
from charonia.datatypes import DataType
from charonia.tensor import encode_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.tensor import Array

__all__ = ["Client", "ServerAnswer", "infer_body", "timeout_option", "url_option"]

_HEADER_LENGTH = "Inference-Header-Content-Length"
_ERRORS_FROM = 400

url_option = click.option(
    "--url", default="http://127.0.0.1:8000", show_default=True, metavar="URL", help="Where the server listens."
)
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the server.",
)


@dataclass(frozen=True)
class ServerAnswer:
    """An answer that is no error.

    Attributes:
        document: the JSON document.
        binary: what follows it: binary tensors, or nothing.
    """

    document: Any
    binary: bytes


class Client:
    """Asks one server. A connection for each request.

    Args:
        url: where the server listens; without a scheme it is http.
        timeout_seconds: how long to wait for it.

    Raises:
        click.BadParameter: the URL is none of HTTP.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError as error:
            raise click.BadParameter(f"{url!r} has no valid port: {error}", param_hint="--url") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise click.BadParameter(
                f"{url!r} is no URL of an HTTP server, such as http://127.0.0.1:8000", param_hint="--url"
            )
        self._url = url
        self._timeout = timeout_seconds
        self._prefix = parts.path.rstrip("/")
        self._place = (parts.hostname, port)
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection

    def get(self, *path: str) -> ServerAnswer:
        """Ask for a document; `path` is its address below /v2, in parts that are escaped here."""
        return self._ask("GET", path, b"", {})

    def post(self, *path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> ServerAnswer:
        """Send a body. Otherwise as `get`."""
        return self._ask("POST", path, body, headers or {})

    def _ask(self, method: str, path: Sequence[str], body: bytes, headers: Mapping[str, str]) -> ServerAnswer:
        """Ask, and take the answer apart.

        Raises:
            UnreachableError: nobody answers there, or not in time.
            RefusedError: the answer is an error, or not of this protocol.
        """
        target = "/".join([f"{self._prefix}/v2", *(quote(part, safe="") for part in path)])
        connection = self._kind(*self._place, timeout=self._timeout)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            reason = f"no answer within {self._timeout:g} s" if isinstance(error, TimeoutError) else _word(error)
            raise UnreachableError(
                f"no server can be reached at {self._url}: {reason}. Is it running? --url says where it listens"
            ) from error
        finally:
            connection.close()
        return self._take(response, content)

    def _take(self, response: http.client.HTTPResponse, content: bytes) -> ServerAnswer:
        try:
            length = int(response.headers.get(_HEADER_LENGTH) or len(content))
            document = json.loads(content[:length])
        except ValueError as error:
            raise RefusedError(
                f"{self._url} answered {response.status} {response.reason} with what is no JSON: is it a server of the v2 "
                "inference protocol?"
            ) from error
        if response.status >= _ERRORS_FROM:
            text = document.get("error", document) if isinstance(document, dict) else document
            raise RefusedError(f"{self._url} answered {response.status} {response.reason}: {text}")
        return ServerAnswer(document, content[length:])


def _word(error: Exception) -> str:
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, OSError):
        return "what answers there speaks no HTTP: it may be the port for gRPC, or one that wants https://"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def infer_body(tensors: Mapping[str, Array], outputs: Sequence[str]) -> tuple[bytes, dict[str, str]]:
    """Write a request for inference, its tensors in binary. Gives the body and the headers.

    Args:
        tensors: the inputs by name, each of its datatype's dtype.
        outputs: the outputs that are wanted; all if empty.
    """
    inputs, blobs = [], []
    for name, array in tensors.items():
        datatype = DataType.of_dtype(array.dtype)
        little = array.astype(array.dtype.newbyteorder("<")) if array.dtype.kind in "iuf" else array
        blobs.append(encode_bytes(array) if datatype is DataType.BYTES else little.tobytes())
        parameters = {"binary_data_size": len(blobs[-1])}
        inputs.append({"name": name, "datatype": datatype.name, "shape": list(array.shape), "parameters": parameters})
    document: dict[str, Any] = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    if outputs:
        document["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    header = json.dumps(document).encode()
    return b"".join([header, *blobs]), {
        _HEADER_LENGTH: str(len(header)),
        "Content-Type": "application/octet-stream",
    }
