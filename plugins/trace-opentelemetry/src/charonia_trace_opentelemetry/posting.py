"""The way of messages to a collector over HTTP.

`requests` finds it: by proxies, certificates, ~/.netrc, and whatever else may be said about it. To have it found again for each
message costs more than to send that. So the messages that follow are handed to the same pool of connections, with the same head.
"""

from __future__ import annotations

import gzip
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["PostingSession"]

_CODINGS: Mapping[str, Callable[[bytes], bytes]] = {"identity": bytes, "gzip": gzip.compress, "deflate": zlib.compress}


class PostingSession(requests.Session):
    """What an exporter of the SDK posts with, whose own messages are empty.

    Attributes:
        message: what is sent in place of them. Headers, time-outs and compression are the exporter's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.message = b""
        self._adapter = _Adapter()
        self.mount("http://", self._adapter)
        self.mount("https://", self._adapter)
        self._encode: Callable[[bytes], bytes] = bytes
        self._send: Callable[..., urllib3.BaseHTTPResponse] | None = None

    def request(self, method: str, url: str | bytes, *rest: Any, **named: Any) -> requests.Response:
        """Send the message.

        Raises:
            requests.RequestException: there was no answer.
        """
        if self._send is not None:
            return self._follow(self._send, named["timeout"])
        headers = CaseInsensitiveDict({**self.headers, **(named.get("headers") or {})})
        self._encode = _CODINGS[str(headers.get("Content-Encoding", "identity"))]
        response = super().request(method, url, *rest, **{**named, "data": self._encode(self.message)})
        if response.ok and not response.history:
            self._send = self._adapter.way(response.request)
        return response

    def _follow(self, send: Callable[..., urllib3.BaseHTTPResponse], timeout: float) -> requests.Response:
        """Send it by the way of the one before. After a failure, or an answer that is one, `requests` is asked again."""
        answer = requests.Response()
        try:
            answer.raw = send(body=self._encode(self.message), timeout=urllib3.Timeout(timeout))
            answer.content  # noqa: B018 - the connection is free when that is read
        except (urllib3.exceptions.HTTPError, requests.RequestException) as error:
            self._send = None
            lasting = isinstance(error, urllib3.exceptions.TimeoutError | requests.Timeout)
            raise (requests.Timeout if lasting else requests.ConnectionError)(error) from error
        answer.status_code, answer.reason = answer.raw.status, answer.raw.reason
        answer.headers = CaseInsensitiveDict(answer.raw.headers)
        if not answer.ok or answer.is_redirect:
            self._send = None
        return answer


class _Adapter(HTTPAdapter):
    """Notes which way a request goes."""

    _pool: urllib3.HTTPConnectionPool | None = None
    _target = ""

    def get_connection_with_tls_context(self, *rest: Any, **named: Any) -> urllib3.HTTPConnectionPool:
        self._pool = super().get_connection_with_tls_context(*rest, **named)
        return self._pool

    def request_url(self, *rest: Any, **named: Any) -> str:
        self._target = super().request_url(*rest, **named)
        return self._target

    def close(self) -> None:
        super().close()
        if self._pool is not None:  # which is closed only when nobody has it any more
            self._pool.close()

    def way(self, request: requests.PreparedRequest) -> Callable[..., urllib3.BaseHTTPResponse]:
        """Give what sends a body as the one of a request that has just been sent."""
        assert self._pool is not None  # noqa: S101 - it has sent the request
        headers = {name: str(value) for name, value in request.headers.items() if name != "Content-Length"}
        return partial(
            self._pool.urlopen,
            str(request.method),
            self._target,
            headers=headers,
            redirect=False,
            retries=False,
            assert_same_host=False,  # the target is a whole URL where a proxy is asked
            preload_content=False,
            decode_content=False,
        )
