"""Pages of other origins: nobody's unless the option says so, and then those that it names."""

from __future__ import annotations

import pytest
from charonia.errors import CharoniaError
from charonia.http_message import HttpRequest, HttpResponse, RequestHead, settled
from charonia_frontend_http.cross_origin import CrossOrigin, read_origins

ALLOWED = "https://app.example"
PREFLIGHT = {
    "origin": ALLOWED,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type, inference-header-content-length",
}


def request_of(connection, method, target, **headers):
    """Send a request, and give the status and header fields of its answer."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection.send(f"{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())
    start, answered, _ = connection.response()
    return int(start.split()[1]), answered


def permissions(headers):
    """The header fields that browsers look at."""
    return {name: value for name, value in headers.items() if name.startswith("access-control-") or name == "vary"}


def test_without_the_option_nobody_is_allowed(serve, connect):
    """No answer has a mark, and a preflight request is one of a method that is not there."""
    connection = connect(serve())
    status, headers = request_of(connection, "GET", "/v2", origin=ALLOWED)
    assert (status, permissions(headers)) == (200, {})
    status, headers = request_of(connection, "OPTIONS", "/v2/models/m/infer", **PREFLIGHT)
    assert (status, permissions(headers)) == (405, {})


def test_named_origins_are_allowed(serve, connect):
    """Their pages may read answers, errors too; others get the answer without the mark, and caches keep the two apart."""
    connection = connect(serve(http_cors_allow_origin=f"https://other.example, {ALLOWED}"))
    mark = {"access-control-allow-origin": ALLOWED, "vary": "Origin"}
    readable = {"access-control-expose-headers": "Inference-Header-Content-Length, Content-Encoding"}
    status, headers = request_of(connection, "GET", "/v2", origin=ALLOWED)
    assert (status, permissions(headers)) == (200, mark | readable)
    status, headers = request_of(connection, "GET", "/nowhere", origin=ALLOWED)
    assert (status, permissions(headers)) == (404, mark | readable)
    for others in ({"origin": "https://evil.example"}, {"origin": "null"}, {}):
        status, headers = request_of(connection, "GET", "/v2", **others)
        assert (status, permissions(headers)) == (200, {"vary": "Origin"})


def test_preflight_is_answered(serve, connect):
    """A browser that asks first learns what it may send; the request itself is not handled."""
    connection = connect(serve(http_cors_allow_origin=ALLOWED))
    status, headers = request_of(connection, "OPTIONS", "/v2/models/m/infer", **PREFLIGHT)
    assert (status, permissions(headers)) == (
        200,
        {
            "access-control-allow-origin": ALLOWED,
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": "content-type, inference-header-content-length",
            "access-control-max-age": "600",
            "vary": "Origin",
        },
    )
    status, headers = request_of(
        connection, "OPTIONS", "/v2/models/m/infer", **{**PREFLIGHT, "origin": "https://evil.example"}
    )
    assert (status, permissions(headers)) == (405, {"vary": "Origin"})
    status, _ = request_of(connection, "OPTIONS", "/v2/models/m/infer", origin=ALLOWED)
    assert status == 405  # no preflight


def test_every_origin_may_be_allowed(serve, connect):
    """With `*` all pages may read, and answers do not depend on the origin."""
    connection = connect(serve(http_cors_allow_origin="*"))
    _, headers = request_of(connection, "GET", "/v2", origin="null")
    assert permissions(headers)["access-control-allow-origin"] == "*"
    assert "vary" not in headers
    _, headers = request_of(connection, "GET", "/v2")
    assert permissions(headers) == {}


async def test_marks_are_added_to_what_is_there():
    """A response that is made once for all keeps its header fields, and stays as it is."""
    shared = HttpResponse(200, b"", headers={"Vary": "Accept", "A": "b"})

    async def answer(request):
        return shared

    application = CrossOrigin(answer, {ALLOWED})
    response = await settled(application.handle(HttpRequest(RequestHead("GET", "/", {"Origin": ALLOWED.upper()}), b"")))
    assert response.headers["Vary"] == "Accept, Origin"
    assert response.headers["A"] == "b"
    assert response.headers["Access-Control-Allow-Origin"] == ALLOWED.upper()
    assert shared.headers == {"Vary": "Accept", "A": "b"}


@pytest.mark.parametrize("text", ["", " , "])
def test_no_origins_are_none(text):
    """An empty option allows nobody."""
    assert read_origins(text) == frozenset()


@pytest.mark.parametrize("text", ["app.example", "https://app.example/", "https://", "//x", "https://a b/c"])
def test_what_is_no_origin_is_refused(text):
    """A value that no browser would ever send is a mistake, told at the start."""
    with pytest.raises(CharoniaError, match="is no origin; expected such as"):
        read_origins(text)
