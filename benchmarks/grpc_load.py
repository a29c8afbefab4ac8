"""The benchmark's own load generator over gRPC, a program of its own: clients that each wait for their answer.

`python -m benchmarks.grpc_load --port=PORT --model=identity --concurrency=16 --seconds=3 [--streaming]` prints the fields of
`Load` as JSON. Each client has a connection of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.event_loop import run
from benchmarks.grpc_wire import MODEL_INFER, MODEL_STREAM_INFER, grpc_request
from benchmarks.latency import LoadError, summarise
from benchmarks.load_options import load_parser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__: list[str] = []

_ERROR_MESSAGE = 0x0A  # how a stream's response begins that is an error instead of an inference


class _Clock:
    """When the requests of all clients began and ended, and when there shall be no more."""

    def __init__(self, seconds: float) -> None:
        self.starts_ns: list[int] = []
        self.ends_ns: list[int] = []
        self._end_ns = time.time_ns() + int(seconds * 1e9)

    def count(self, start_ns: int) -> bool:
        """Record a request that has just been answered. Tells whether another is wanted."""
        now_ns = time.time_ns()
        self.starts_ns.append(start_ns)
        self.ends_ns.append(now_ns)
        return now_ns < self._end_ns


async def _call(channel: Any, body: bytes, clock: _Clock) -> None:
    """Make one call after the other."""
    infer = channel.unary_unary(MODEL_INFER)
    going = True
    while going:
        start_ns = time.time_ns()
        await infer(body)
        going = clock.count(start_ns)


async def _stream(channel: Any, body: bytes, clock: _Clock) -> None:
    """Send one request after the other on a stream."""
    answered = asyncio.Queue[bool]()

    async def requests() -> AsyncIterator[bytes]:
        going = True
        while going:
            starts_ns.append(time.time_ns())
            yield body
            going = await answered.get()

    starts_ns: list[int] = []
    async for answer in channel.stream_stream(MODEL_STREAM_INFER)(requests()):
        if answer[:1] == bytes((_ERROR_MESSAGE,)):
            raise LoadError(f"the server answered {answer[2:300]!r}")
        answered.put_nowait(clock.count(starts_ns[-1]))


async def _generate(port: int, model: str, concurrency: int, seconds: float, *, streaming: bool) -> _Clock:
    import grpc

    body = grpc_request(model)
    own_connection = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", own_connection) for _ in range(concurrency)]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        clock = _Clock(seconds)
        client = _stream if streaming else _call
        await asyncio.gather(*(client(channel, body, clock) for channel in channels))
    except grpc.aio.AioRpcError as error:
        raise LoadError(f"the server answered {error.code().name}: {error.details()}") from error
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    return clock


def main() -> None:
    """Generate the load that the command line describes, and print what came of it."""
    parser = load_parser(__doc__)
    parser.add_argument("--streaming", action="store_true")
    options = parser.parse_args()
    try:
        clock = run(
            _generate(options.port, options.model, options.concurrency, options.seconds, streaming=options.streaming)
        )
        print(json.dumps(asdict(summarise(clock.starts_ns, clock.ends_ns))))
    except (LoadError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
