"""Compressed bodies both ways, and what a hostile one can do."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest
from charonia.errors import InvalidArgumentError
from charonia.http_message import HttpRequest, RequestHead, settled
from charonia_frontend_http.application import HttpApplication
from charonia_frontend_http.compression import accepted_coding, decompress
from hypothesis import given
from hypothesis import strategies as st

LIMIT = 1 << 20
BODY = json.dumps({"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [7, 8]}]}).encode()
UNDO = {"gzip": gzip.decompress, "deflate": zlib.decompress}


@pytest.fixture
async def infer(running):
    """Send infer requests to an application on the test's loop."""
    application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), LIMIT)

    async def send(body, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await settled(application.handle(HttpRequest(RequestHead("POST", "/v2/models/m/infer", named), body)))

    return send


def inflate(body, limit=LIMIT):
    """Undo a coding outside of any event loop."""
    return asyncio.run(decompress(body, limit))


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("identity, gzip", ""),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip ; q=0.5 , identity;q=0.2", "gzip"),
        ("gzip;q=.5,identity", ""),
        ("*", ""),
        ("br", ""),
        ("GZIP", ""),
        ("gzip;q=0", ""),
        ("gzip;q=abc", ""),
        ("gzip;q=", ""),
        ("gzip;q=.", ""),
        ("gzip;q=nan", ""),
        ("gzip;q=inf", ""),
        ("", ""),
        (",;,", ""),
    ],
)
def test_accepted_coding_is_the_heaviest(accept, coding):
    """The coding with the greatest weight is taken, the first of equal ones, and none for what is not understood."""
    assert accepted_coding(accept) == coding


@given(st.text(max_size=40))
def test_any_wish_is_one_of_the_codings(accept):
    """Whatever a client accepts, it gets a coding that there is, or none."""
    assert accepted_coding(accept) in {"", "gzip", "deflate"}


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("size", [1, 100, LIMIT])
def test_what_was_compressed_comes_back(compress, size):
    """Both codings are undone, up to the limit."""
    assert inflate(compress(bytes(size))) == bytes(size)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_bomb_stops_at_the_limit(compress):
    """A body that would inflate beyond the limit is refused with the option that sets it."""
    with pytest.raises(InvalidArgumentError) as caught:
        inflate(compress(bytes(LIMIT + 1)))
    assert str(caught.value) == (
        f"Decompressed data size exceeds the maximum allowed value of {LIMIT} bytes. "
        "Use --http-max-input-size to increase the limit."
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "nothing to be decompressed"),
        (BODY, "corrupt: Error -3"),
        (gzip.compress(BODY)[:-1], "corrupt: it is cut off"),
        (gzip.compress(BODY)[:10], "corrupt: it is cut off"),
        (gzip.compress(BODY) * 2, "corrupt: something follows its end"),
        (gzip.compress(BODY)[:-8] + bytes(8), "corrupt: Error -3"),
    ],
)
async def test_corrupt_body_is_the_clients_mistake(infer, body, text):
    """A body that cannot be undone is refused, and nothing of it is read."""
    response = await infer(body, Content_Encoding="gzip")
    assert (response.status, response.content_type) == (400, "text/plain")
    assert text in json.loads(response.body)["error"]


@given(st.binary(max_size=60))
def test_any_bytes_are_undone_or_refused(body):
    """Arbitrary bytes never break anything else."""
    try:
        content = inflate(body)
    except InvalidArgumentError:
        return
    assert len(content) <= LIMIT


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
async def test_request_says_that_it_is_compressed(infer, coding, compress):
    """A body in either coding is inferred; the body itself tells which it is, as in the reference."""
    response = await infer(compress(BODY), Content_Encoding=coding)
    assert json.loads(response.body)["outputs"][0]["data"] == [7.0, 8.0]
    assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("count", [2, 10_000])
async def test_response_is_compressed_where_it_is_accepted(infer, coding, count):
    """A response of any size comes in the coding that the client prefers, and the length of its JSON is that before."""
    tensor = {"name": "X", "shape": [1, count], "datatype": "FP32", "data": list(range(count))}
    wish = {"name": "Y", "parameters": {"binary_data": True}}
    response = await infer(json.dumps({"inputs": [tensor], "outputs": [wish]}).encode(), Accept_Encoding=coding)
    assert response.headers["Content-Encoding"] == coding
    body = UNDO[coding](response.body)
    length = int(response.headers["Inference-Header-Content-Length"])
    assert json.loads(body[:length])["outputs"][0]["parameters"] == {"binary_data_size": 4 * count}
    assert len(body) == length + 4 * count


async def test_errors_are_not_compressed(infer):
    """An error can be read by whoever cannot read compressed bodies."""
    response = await infer(b"{}", Accept_Encoding="gzip")
    assert (response.status, "Content-Encoding" in response.headers) == (400, False)
    assert "error" in json.loads(response.body)


@pytest.mark.parametrize("coding", ["br", "GZIP", "gzip, deflate"])
async def test_other_codings_are_refused_with_those_that_there_are(infer, coding):
    """A body in a coding that cannot be undone is refused before anyone reads it, and the answer says what can."""
    response = await infer(b"", Content_Encoding=coding)
    assert (response.status, response.headers) == (501, {"Accept-Encoding": "gzip, deflate"})
    assert json.loads(response.body) == {"error": "Unsupported compression type"}
