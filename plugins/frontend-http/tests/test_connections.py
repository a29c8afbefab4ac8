"""Connections over a raw socket: what stays open, what closes, what is too large, and who goes away."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from charonia.testing.fakes import Gate

BODY = json.dumps({"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}).encode()


def infer(body=BODY, *, model="m", fields=(), version="HTTP/1.1", length=True):
    """Write an infer request."""
    lines = [f"POST /v2/models/{model}/infer {version}", "Host: here", *fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*chunks):
    """Write an infer request in chunks."""
    coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return infer(coded, fields=["Transfer-Encoding: chunked"], length=False)


def assert_answered(connection, *, start="HTTP/1.1 200 OK"):
    """Expect the model's answer to `BODY`."""
    line, headers, body = connection.response()
    assert line == start
    assert json.loads(body)["outputs"][0]["data"] == [1.0, 2.0]
    return headers


def refused(connection):
    """Read a refusal as (status and reason, header fields, text)."""
    line, headers, body = connection.response()
    return line.partition(" ")[2], headers, json.loads(body)["error"]


def test_connection_is_kept(serve, connect):
    """One connection serves many requests, and requests that arrive together are answered in their order."""
    connection = connect(serve())
    connection.send(infer() + b"GET /v2/nothing HTTP/1.1\r\nHost: here\r\n\r\n" + infer())
    assert "connection" not in assert_answered(connection)
    assert refused(connection)[0] == "404 Not Found"
    assert_answered(connection)


def test_request_may_arrive_in_pieces(serve, connect):
    """It does not matter how the bytes of a request are cut."""
    connection = connect(serve())
    request = infer()
    for start in range(0, len(request), 7):
        connection.send(request[start : start + 7])
    assert_answered(connection)


def test_client_can_ask_to_close(serve, connect):
    """`Connection: close` is honoured and told."""
    connection = connect(serve())
    connection.send(infer(fields=["Connection: close"]))
    assert assert_answered(connection)["connection"] == "close"
    assert connection.ended()


def test_http_1_0(serve, connect):
    """HTTP/1.0 is answered with HTTP/1.0; the connection is kept only where the client asks for it."""
    connection = connect(serve())
    connection.send(infer(version="HTTP/1.0", fields=["Connection: keep-alive"]))
    assert assert_answered(connection, start="HTTP/1.0 200 OK")["connection"] == "keep-alive"
    connection.send(infer(version="HTTP/1.0"))
    assert_answered(connection, start="HTTP/1.0 200 OK")
    assert connection.ended()


def test_chunked_body(serve, connect):
    """A body may come in chunks, and the connection goes on after it."""
    connection = connect(serve())
    connection.send(chunked(BODY[:10], BODY[10:]) + infer())
    assert_answered(connection)
    assert_answered(connection)


def test_client_can_wait_for_the_word(serve, connect):
    """`Expect: 100-continue` gets the word before the body is sent."""
    connection = connect(serve())
    head, _, body = infer(fields=["Expect: 100-continue"]).partition(b"\r\n\r\n")
    connection.send(head + b"\r\n\r\n")
    assert connection.line() == "HTTP/1.1 100 Continue"
    assert connection.line() == ""
    connection.send(body)
    assert_answered(connection)


def test_head_request_gets_no_body(serve, connect):
    """HEAD is no method of any endpoint; its refusal tells the length of a body that does not come."""
    connection = connect(serve())
    connection.send(b"HEAD /v2 HTTP/1.1\r\nHost: here\r\n\r\n" + infer())
    line, headers, _ = connection.response(has_body=False)
    assert line == "HTTP/1.1 405 Not Allowed"
    assert int(headers["content-length"]) > 0
    assert_answered(connection)


def test_empty_success_tells_its_length(serve, connect):
    """A success without a body says that it has none."""
    connection = connect(serve())
    connection.send(b"GET /v2/health/ready HTTP/1.1\r\nHost: here\r\n\r\n")
    line, headers, body = connection.response()
    assert line == "HTTP/1.1 200 OK"
    assert headers["content-length"] == "0"
    assert headers["content-type"] == "text/plain"
    assert body == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        infer(b"not json"),
        infer(model="ghost"),
        infer(fields=["Content-Encoding: gzip"]),
        infer(fields=["Inference-Header-Content-Length: x"]),
        b"POST /nowhere HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhello",
        b"PUT /v2 HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["syntax", "model", "coding", "header length", "path", "method"],
)
def test_connection_survives_a_refusal(serve, connect, request_bytes):
    """After a request that was refused for what it says, the next one on the connection is answered."""
    connection = connect(serve())
    connection.send(request_bytes)
    assert refused(connection)[0][0] in "45"
    connection.send(infer())
    assert_answered(connection)


@pytest.mark.parametrize(
    "request_bytes",
    [infer(b"x" * 5000), infer(b"x" * 3_000_000), chunked(b"x" * 5000), chunked(*[b"x" * 1000] * 200)],
    ids=["length", "long", "chunk", "chunks"],
)
def test_body_is_limited(serve, connect, request_bytes):
    """A body above --http-max-body-size is refused whole, however it is sent, and the connection closes."""
    connection = connect(serve(http_max_body_size=2000))
    connection.send(request_bytes)
    status, headers, text = refused(connection)
    assert status == "413 Content Too Large"
    assert headers["connection"] == "close"
    assert text == "request body exceeds the maximum of 2000 bytes. Use --http-max-body-size to increase the limit."
    assert connection.ended()


def test_body_that_waits_for_the_word_is_limited(serve, connect):
    """A client that asks before it sends too large a body is spared the sending."""
    connection = connect(serve(http_max_body_size=2000))
    connection.send(infer(b"", fields=["Expect: 100-continue", "Content-Length: 5000"], length=False))
    assert refused(connection)[0] == "413 Content Too Large"


@pytest.mark.parametrize(
    "request_bytes",
    [infer(fields=["X: " + "a" * 5000]), b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: here\r\n\r\n"],
    ids=["field", "target"],
)
def test_head_is_limited(serve, connect, request_bytes):
    """A line above --http-max-header-size is refused with the flag's name, and the connection closes."""
    connection = connect(serve(http_max_header_size=4096))
    connection.send(request_bytes)
    status, headers, text = refused(connection)
    assert status == "431 Request Header Fields Too Large"
    assert headers["connection"] == "close"
    assert "--http-max-header-size" in text
    assert connection.ended()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"hello\r\n\r\n", "405 Not Allowed"),
        (b"FETCH /v2 HTTP/1.1\r\nHost: here\r\n\r\n", "405 Not Allowed"),
        (b"GET /v2 HTTP/1.1\r\nHost: here\r\nContent-Length: x\r\n\r\n", "400 Bad Request"),
        (b"GET /v2 HTTP/1.1\r\nno field\r\n\r\n", "400 Bad Request"),
        (infer(b"zz\r\n", fields=["Transfer-Encoding: chunked"], length=False), "400 Bad Request"),
        (infer(fields=["Transfer-Encoding: chunked"]), "400 Bad Request"),
    ],
    ids=["no http", "unknown verb", "length", "field", "chunk size", "two lengths"],
)
def test_what_is_no_http_closes(serve, connect, request_bytes, status):
    """Where nobody can know where the next request starts, the refusal is the last response."""
    connection = connect(serve())
    connection.send(request_bytes)
    found, headers, text = refused(connection)
    assert found == status
    assert headers["connection"] == "close"
    assert text
    assert connection.ended()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /v2 HTTP/1.1\r\n\r\n",
        infer(fields=["Host: elsewhere"]),
        infer(fields=["Content-Type: application/json", "Content-Type: application/octet-stream"]),
        infer(fields=[f"Content-Length: {len(BODY) - 1}"]),
        infer(fields=[f"Content-Length: {len(BODY)}"]),
        infer(fields=["User-Agent: a", "User-Agent: b"]),
    ],
    ids=["no host", "two hosts", "two types", "two lengths", "one length twice", "two agents"],
)
def test_requests_that_others_may_read_otherwise_close(serve, connect, request_bytes):
    """A request that does not say where it goes, or says two things about itself, is refused, and nothing behind it is read."""
    connection = connect(serve())
    connection.send(request_bytes + infer())
    status, headers, text = refused(connection)
    assert status == "400 Bad Request"
    assert headers["connection"] == "close"
    assert text
    assert connection.ended()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Inference-Header-Content-Length: 1", f"Inference-Header-Content-Length: {len(BODY)}"], "400 Bad Request"),
        ([f"Inference-Header-Content-Length: {len(BODY)}"] * 2, "400 Bad Request"),
        (["Content-Encoding: identity", "Content-Encoding: gzip"], "501 Not Implemented"),
        (["Content-Encoding: gzip"] * 2, "501 Not Implemented"),
        (["akey: wrong", "akey: right"], "403 Forbidden"),
        (["akey: right", "akey: wrong"], "403 Forbidden"),
    ],
)
def test_fields_of_one_name_are_a_list(serve, connect, fields, status):
    """A list is no number, no key, and more than one coding, whatever stands first; the connection goes on after the refusal."""
    connection = connect(serve(http_restricted_api="inference:akey=right"))
    kept = ["akey: right"] if status != "403 Forbidden" else []
    connection.send(infer(fields=[*kept, *fields]) + infer(fields=["akey: right", "Accept: a", "Accept: b"]))
    assert refused(connection)[0] == status
    assert_answered(connection)


def test_client_that_goes_away_takes_its_request_back(serve, connect, running):
    """A request whose client has gone is cancelled, and counted as failed."""
    port = serve()
    with Gate("slow") as gate:
        leaving = connect(port)
        leaving.send(infer(model="slow"))
        gate.wait_entered()
        leaving.close()
        connection = connect(port)
        connection.send(infer())  # the loop has seen the other one's end when this is answered
        assert_answered(connection)
        gate.open()
        connection.send(infer(model="slow"))
        assert_answered(connection)
    (statistics,) = running.statistics("slow")
    assert statistics.counters.fail.count == 1
    assert statistics.counters.success.count == 1


def test_stop_finishes_what_has_begun(stoppable, running, connect):
    """Idle connections close at once; requests that execute, or are still arriving, are answered before the end."""
    with Gate("slow") as gate, stoppable(running, {"http-port": 0}) as (url, stop):
        port = urlsplit(url).port
        idle, fresh, busy, arriving = (connect(port) for _ in range(4))
        idle.send(infer())
        assert_answered(idle)
        request = infer()
        arriving.send(request[:-5])
        busy.send(infer(model="slow"))
        gate.wait_entered()
        stopped = stop()
        assert idle.ended()
        assert fresh.ended()
        arriving.send(request[-5:])
        assert assert_answered(arriving)["connection"] == "close"
        assert arriving.ended()
        assert not stopped.done()
        gate.open()
        assert assert_answered(busy)["connection"] == "close"
        assert busy.ended()
        stopped.result(30)
        with pytest.raises(ConnectionRefusedError):
            connect(port)


def test_stop_ends_after_its_grace(running, connect):
    """A request that does not end in time is cut off and taken back."""
    from charonia_frontend_http import OPTIONS
    from charonia_frontend_http.frontend import HttpFrontend

    options = {option.name: option.default for option in OPTIONS} | {"http-port": 0}

    async def serve_shortly():
        frontend = HttpFrontend(running, options)
        (url,) = await frontend.start()
        connection = await asyncio.to_thread(connect, urlsplit(url).port)
        await asyncio.to_thread(connection.send, infer(model="slow"))
        await asyncio.to_thread(gate.wait_entered)
        await frontend.stop(0)
        await frontend.stop(0)
        return connection

    with Gate("slow") as gate:
        connection = asyncio.run(serve_shortly())
        assert connection.ended()
