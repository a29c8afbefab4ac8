"""Large bodies over real sockets, on both event loops: in without a copy, out from where they lie, and paid for by who sends them."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path

import numpy as np
import pytest
import uvloop
from charonia.byte_parts import ByteParts
from charonia.http_message import HttpResponse
from charonia.transport import HttpLimits
from charonia_transport_lean.transport import LeanTransport
from http1_side import answer, connections

LIMITS = HttpLimits(line=4096, body=2_147_483_648)
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine on a loop of each kind."""

    def start(coroutine):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(coroutine)

    return start


class Echo:
    """Answers with the request's own body, in parts that are views of it."""

    def __init__(self):
        self.bodies = []

    async def handle(self, request):
        self.bodies.append(request.body)
        if isinstance(request.body, bytes):
            return HttpResponse(200, request.body)
        return HttpResponse(200, ByteParts((b"<", request.body[:1000], request.body[1000:], b">")))


@pytest.fixture(params=["plain", "TLS"])
def tls(request):
    """Give the files for TLS, or None."""
    return request.getfixturevalue("certificate") if request.param == "TLS" else None


async def serving(application, use, tls=None):
    """Serve an application, and give what `use` makes of its port."""
    transport = LeanTransport(application.handle, LIMITS)
    port = await transport.listen("127.0.0.1", 0, reuse_port=False, tls=tls)
    try:
        return await use(port, transport)
    finally:
        await transport.close(0)


def head(size):
    return b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % size


@pytest.mark.parametrize("size", [65_536, 1_048_576, 10_000_001])
def test_bodies_pass_both_ways(run, tls, size):
    """Large and small ones in turn, their heads known or new: each is answered with itself, and the large ones are aligned views."""
    body = np.random.default_rng(1).bytes(size)
    application = Echo()

    async def use(port, _transport):
        trust = (
            {"ssl": ssl.create_default_context(cafile=tls.certificate), "server_hostname": "localhost"} if tls else {}
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20, **trust)
        received = []
        for _ in range(3):
            writer.write(head(size) + body + head(5) + b"small" + head(size))
            received += [await answer(reader), await answer(reader)]
            writer.write(body)
            received.append(await answer(reader))
        writer.close()
        return received

    assert run(serving(application, use, tls)) == [b"<" + body + b">", b"small", b"<" + body + b">"] * 3
    large = [view for view in application.bodies if isinstance(view, memoryview)]
    assert len(large) == 6
    ends = [np.frombuffer(view, np.uint8).ctypes.data + size for view in large]
    assert [end % 64 for end in ends] == [0] * 6


def test_client_that_asks_first_gets_the_word(run):
    """`Expect: 100-continue` before a large body is answered before the body comes."""

    async def use(port, _transport):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(100_000).replace(b"Host", b"Expect: 100-continue\r\nHost"))
        word = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"x" * 100_000)
        received = await answer(reader)
        writer.close()
        return word, len(received)

    assert run(serving(Echo(), use)) == (b"HTTP/1.1 100 Continue\r\n\r\n", 100_002)


def test_client_that_leaves_amid_a_body_is_forgotten(run):
    """The connection ends with its client, and nothing is answered."""
    application = Echo()

    async def use(port, transport):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(1_000_000) + b"x" * 500_000)
        while not any(connection._reader.large for connection in connections(transport)):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        writer.close()
        while connections(transport):  # noqa: ASYNC110 - the same
            await asyncio.sleep(0)

    run(serving(application, use))
    assert application.bodies == []


def resident():
    """Tell how much memory this process holds, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the system has no /proc that tells a process's memory"
)
def test_promises_of_bodies_take_no_memory(run):
    """Forty gigabytes that are announced, and of which little comes, take little more than what has come."""

    async def use(port, transport):
        before = resident()
        writers = []
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head(2_147_483_648) + b"x" * 300_000)
            writers.append(writer)
        while sum(_received(connection) >= 300_000 for connection in connections(transport)) < 20:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0)
        grown = resident() - before
        for writer in writers:
            writer.close()
        return grown

    assert run(serving(Echo(), use)) < 20 * 4_194_304


def _received(connection):
    return connection._reader.large._received if connection._reader.large else 0
