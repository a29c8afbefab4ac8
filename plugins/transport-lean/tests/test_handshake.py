"""Clients that have yet to agree on TLS: they count, they have little time, and nothing of what they send early is lost."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import uvloop
from charonia_transport_lean import handshake as module
from charonia_transport_lean.handshake import Handshake
from charonia_transport_lean.transport import LeanTransport
from http1_side import LIMITS, Application, until


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def serve(request, certificate):
    """Serve over TLS on a loop of each kind while a coroutine uses the port and the door."""

    async def serving(use):
        transport = LeanTransport(Application().handle, LIMITS)
        port = await transport.listen("127.0.0.1", 0, reuse_port=False, tls=certificate)
        try:
            return await use(port, transport.door)
        finally:
            await transport.close(0)

    def start(use):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(serving(use))

    return start


async def gone(reader):
    """Wait until the server has closed a connection, in whatever way."""
    try:
        while await reader.read(65_536):
            pass
    except ConnectionError:
        pass


async def ask(port, certificate, protocols=("http/1.1",)):
    """Ask over TLS, and give the response."""
    context = ssl.create_default_context(cafile=certificate.certificate)
    if protocols:
        context.set_alpn_protocols(protocols)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    writer.write(b"GET /here HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    told = await reader.read()
    writer.close()
    return told


@pytest.mark.parametrize("protocols", [("http/1.1",), ()], ids=["agreed", "unsaid"])
def test_hello_before_the_server_has_begun_is_not_lost(serve, certificate, monkeypatch, protocols):
    """However early a client speaks, it is served."""
    begin = Handshake._begin

    def late(self):
        begin(self) if self._came else self._door.loop.call_soon(late, self)

    monkeypatch.setattr(Handshake, "_begin", late)

    async def use(port, _door):
        return await ask(port, certificate, protocols)

    assert serve(use).endswith(b"\r\n\r\n/here")


def test_crowd_that_never_agrees_keeps_nobody_out(serve, certificate):
    """One of them leaves for one that comes and agrees."""

    async def use(port, door):
        door._most = 3
        silent = []
        for count in range(1, 4):
            silent.append(await asyncio.open_connection("127.0.0.1", port))
            await until(lambda count=count: len(door.guests) == count)
        told = await ask(port, certificate)
        await until(lambda: len(door.guests) == 2)
        for _, writer in silent:
            writer.close()
        return told

    assert serve(use).endswith(b"/here")


def test_client_that_never_agrees_has_little_time(serve, monkeypatch):
    """It is let go, and forgotten."""
    monkeypatch.setattr(module, "_HANDSHAKE_SECONDS", 0.01)

    async def use(port, door):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await gone(reader)
        await until(lambda: not door.guests)
        writer.close()

    serve(use)


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02", b""], ids=["plain", "begun", "nothing"]
)
def test_client_that_breaks_off_is_forgotten(serve, sent):
    """Whether it speaks something else than TLS, or leaves amid the handshake."""

    async def use(port, door):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: door.guests)
        writer.write(sent)
        await asyncio.sleep(0)
        writer.close()
        await gone(reader)
        await until(lambda: not door.guests)

    serve(use)


def test_closing_waits_no_longer_than_its_grace(serve):
    """A client amid its handshake holds nothing up."""

    async def use(port, door):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: door.guests)
        await door.close(0)
        await gone(reader)
        writer.close()
        assert not door.guests

    serve(use)
