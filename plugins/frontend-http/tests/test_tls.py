"""TLS with a certificate made for the test, over real sockets."""

from __future__ import annotations

import ssl
import subprocess
import urllib.request
from urllib.error import URLError

import pytest
from charonia.errors import CharoniaError
from charonia.serving import serve_in_thread

PATIENCE_SECONDS = 30


@pytest.fixture
def tls(certificate):
    """Give the frontend's options."""
    return {"http-use-ssl": True, "http-server-cert": certificate.certificate, "http-server-key": certificate.key}


def read(url, trusted=None):
    """Get a page as a client that trusts one certificate."""
    context = ssl.create_default_context(cafile=trusted)
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS, context=context) as response:
        return response.read()


def test_a_client_that_trusts_the_certificate_is_served(running, tls):
    """The URL says https, and the protocol is the same behind it."""
    with serve_in_thread(running, {"http-port": 0, **tls}) as (url,):
        assert url.startswith("https://127.0.0.1:")
        assert b'"charonia"' in read(f"{url}/v2", tls["http-server-cert"])


def test_nobody_else_is(running, tls, connect):
    """A client that does not trust the certificate turns away, and one that speaks in plain text is not understood."""
    with serve_in_thread(running, {"http-port": 0, **tls}) as (url,):
        with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
            read(f"{url}/v2")
        connection = connect(int(url.rpartition(":")[2]))
        connection.send(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.ended()
        assert read(f"{url}/v2/health/live", tls["http-server-cert"]) == b""


def test_large_bodies_pass_both_ways(running, tls):
    """A body of many TLS records arrives whole, and so does its answer."""
    body = b'{"X": [[' + b"1.5," * 500_000 + b"1.5]]}"
    with serve_in_thread(running, {"http-port": 0, **tls}) as (url,):
        request = urllib.request.Request(f"{url}/v2/models/m/predict", body)
        answer = read(request, tls["http-server-cert"])
    assert answer == body.replace(b'"X": ', b'"Y":')


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"http-server-cert": ""}, "--http-use-ssl needs --http-server-cert: the path of a file in PEM"),
        ({"http-server-key": ""}, "--http-use-ssl needs --http-server-key: the path of a file in PEM"),
        ({"http-server-key": "/nowhere"}, "--http-server-key=/nowhere cannot be read: No such file or directory"),
        ({"http-server-cert": __file__}, "are no certificate chain with its unencrypted key, in PEM"),
    ],
)
def test_files_that_are_not_there_or_wrong_end_the_start(running, tls, options, text):
    """What is missing, unreadable or something else is named, before anything listens."""
    with pytest.raises(CharoniaError, match=text), serve_in_thread(running, {"http-port": 0, **tls, **options}):
        pass


def test_an_encrypted_key_is_refused(running, tls, tmp_path):
    """Nobody is asked for a password on the terminal of a server."""
    key = tmp_path / "encrypted.key"
    command = ["openssl", "pkcs8", "-topk8", "-passout", "pass:secret", "-in", tls["http-server-key"]]
    subprocess.run([*command, "-out", str(key)], check=True, capture_output=True)
    options = {"http-port": 0, **tls, "http-server-key": str(key)}
    with pytest.raises(CharoniaError, match="the key is encrypted"), serve_in_thread(running, options):
        pass
