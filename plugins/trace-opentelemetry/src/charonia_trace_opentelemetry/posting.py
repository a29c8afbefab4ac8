"""The way of messages to a collector over HTTP.

`requests` finds it: by proxies, certificates, ~/.netrc, and whatever else may be said about it. To have it found again for each
message costs several times what the message itself does. So the messages that follow go over the same connection, with the same
head, for as long as the collector keeps that open.
"""

from __future__ import annotations

import gzip
import io
import zlib
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy
from urllib3.util import is_connection_dropped

from charonia_trace_opentelemetry.options import without_login

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import urllib3.connection
    from requests.adapters import HTTPAdapter

__all__ = ["PostingSession"]

_CODINGS: Mapping[str, Callable[[bytes], bytes]] = {"identity": bytes, "gzip": gzip.compress, "deflate": zlib.compress}


class PostingSession(requests.Session):
    """What an exporter of the SDK posts with, whose own messages are empty.

    Attributes:
        message: what is sent in place of them. Headers, time-outs and compression are the exporter's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.headers["Accept-Encoding"] = "identity"
        self.message = b""
        self._way: _Way | None = None

    def request(self, method: str, url: str | bytes, *rest: Any, **named: Any) -> requests.Response:
        """Send the message.

        Raises:
            requests.RequestException: there was no answer, or one that leads elsewhere, which the exporter does not follow, and
                takes for a success.
        """
        if self._way is None or self._way.closed:
            self._way = None
            answer = self._explore(method, url, *rest, **named)
        else:
            answer = self._way.post(self.message, named["timeout"])
            if not answer.ok or answer.is_redirect:
                self._way = None
        if answer.is_redirect:
            place, other = without_login(str(url)), answer.headers["Location"]
            raise requests.TooManyRedirects(f"{place} leads to {other}: give that as the collector's url")
        return answer

    def close(self) -> None:
        """Close all connections."""
        super().close()
        if self._way is not None:
            self._way.close()

    def _explore(self, method: str, url: str | bytes, *rest: Any, **named: Any) -> requests.Response:
        """Send it as requests does, and keep the way that it goes, if it leads anywhere."""
        headers = CaseInsensitiveDict({**self.headers, **(named.get("headers") or {})})
        encode = _CODINGS[str(headers.get("Content-Encoding", "identity"))]
        response = super().request(method, url, *rest, **{**named, "data": encode(self.message), "stream": True})
        connection = response.raw.connection
        response.content  # noqa: B018 - the connection is free when that is read
        if response.ok and not response.is_redirect and not response.history and not is_connection_dropped(connection):
            self._way = _Way(connection, *self._head(response.request), encode)
        return response

    def _head(self, request: requests.PreparedRequest) -> tuple[str, Mapping[str, str]]:
        """Give the target and the header fields of a request as they were sent, but for the length of its body."""
        url = str(request.url)
        adapter = cast("HTTPAdapter", self.get_adapter(url))
        proxies = self.merge_environment_settings(url, {}, None, None, None)["proxies"]
        target = adapter.request_url(request, proxies)
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict(Host=urlsplit(url).netloc.rpartition("@")[2])
        headers.update((name, str(value)) for name, value in request.headers.items())
        del headers["Content-Length"]
        if target != request.path_url:  # it goes to a proxy as it is
            headers.update(adapter.proxy_headers(str(select_proxy(url, proxies))))
        return target, dict(headers.items())


class _Way:
    """A connection that is open.

    Args:
        connection: it.
        target: what is asked for over it.
        headers: what is told with each message.
        encode: what is done with each body.
    """

    def __init__(
        self,
        connection: urllib3.connection.HTTPConnection,
        target: str,
        headers: Mapping[str, str],
        encode: Callable[[bytes], bytes],
    ) -> None:
        self._connection = connection
        self._target = target
        self._headers = headers
        self._encode = encode

    @property
    def closed(self) -> bool:
        """Whether the collector, or an answer that went wrong, has closed it."""
        return is_connection_dropped(self._connection)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def post(self, message: bytes, timeout: float) -> requests.Response:
        """Send a message, and give the answer.

        Raises:
            requests.RequestException: there was none.
        """
        connection = self._connection
        try:
            connection.sock.settimeout(timeout)
            # past urllib3, whose own part of it costs as much again
            HTTPConnection.request(connection, "POST", self._target, self._encode(message), self._headers)
            raw = HTTPConnection.getresponse(connection)
            answer = requests.Response()
            answer.raw = io.BytesIO(raw.read())
        except (OSError, HTTPException) as error:
            self.close()
            lasting = isinstance(error, TimeoutError)
            raise (requests.ReadTimeout if lasting else requests.ConnectionError)(error) from error
        answer.status_code, answer.reason = raw.status, raw.reason
        answer.headers = CaseInsensitiveDict(raw.headers.items())
        return answer
