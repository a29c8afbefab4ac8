"""The benchmark's own load generator over HTTP, a program of its own: keep-alive connections that each wait for their answer.

`python -m benchmarks.http_load --port=PORT --model=identity --concurrency=16 --seconds=3` prints the fields
of `Load` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict

from benchmarks.event_loop import run
from benchmarks.latency import LoadError, summarise
from benchmarks.load_options import load_parser
from benchmarks.models import MODELS
from benchmarks.wire import http_request, is_whole

__all__: list[str] = []


class _Record:
    """When the requests of all connections began and ended, and how the run ends."""

    def __init__(self, finished: asyncio.Future[None]) -> None:
        self.starts_ns: list[int] = []
        self.ends_ns: list[int] = []
        self.finished = finished
        self.stopping = False
        self.open = 0

    def fail(self, text: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(LoadError(text))


class _Connection(asyncio.Protocol):
    """One client: sends the request, reads the response, and begins again."""

    def __init__(self, request: bytes, record: _Record) -> None:
        self._request = request
        self._record = record
        self._received = bytearray()
        self._start_ns = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # create_connection gives a Transport
        self._record.open += 1
        self._send()

    def _send(self) -> None:
        self._start_ns = time.time_ns()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        received: bytes | bytearray = data
        if self._received:
            self._received += data
            received = self._received
        if not is_whole(received):
            self._received = bytearray(data) if received is data else self._received
            return
        ended_ns = time.time_ns()
        self._received = bytearray()
        record = self._record
        if not received.startswith(b"HTTP/1.1 200"):
            record.fail(f"the server answered {received[:300]!r}")
            return
        record.starts_ns.append(self._start_ns)
        record.ends_ns.append(ended_ns)
        if record.stopping:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        record = self._record
        record.open -= 1
        if not record.stopping:
            record.fail(f"the server closed a connection: {exc or 'without an error'}")
        elif not record.open and not record.finished.done():
            record.finished.set_result(None)


async def _generate(port: int, model: str, concurrency: int, seconds: float) -> _Record:
    loop = asyncio.get_running_loop()
    record = _Record(loop.create_future())
    request = http_request(MODELS[model])
    for _ in range(concurrency):
        await loop.create_connection(lambda: _Connection(request, record), "127.0.0.1", port)

    def stop() -> None:
        record.stopping = True

    loop.call_later(seconds, stop)
    await record.finished
    return record


def main() -> None:
    """Generate the load that the command line describes, and print what came of it."""
    options = load_parser(__doc__).parse_args()
    try:
        record = run(_generate(options.port, options.model, options.concurrency, options.seconds))
        print(json.dumps(asdict(summarise(record.starts_ns, record.ends_ns))))
    except (LoadError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
