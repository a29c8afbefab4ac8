"""TLS and mutual TLS with certificates made for the test."""

from __future__ import annotations

import subprocess

import grpc
import pytest
from charonia.errors import CharoniaError


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a key with a certificate that vouches for itself: `certificate("server")` gives the two paths."""
    folder = tmp_path_factory.mktemp("tls")

    def make(name):
        key, chain = folder / f"{name}.key", folder / f"{name}.pem"
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
        files = ["-keyout", str(key), "-out", str(chain)]
        subprocess.run(["openssl", "req", "-x509", *kind, *subject, *files], check=True, capture_output=True)
        return key, chain

    return make


def options_of(key, chain):
    """Name the server's files."""
    return {"grpc_server_key": str(key), "grpc_server_cert": str(chain)}


def test_tls(serve, certificate, calls, infer_request):
    """A client that trusts the certificate is served, and one that speaks in plain text is not."""
    key, chain = certificate("server")
    address = serve(grpc_use_ssl=True, **options_of(key, chain))
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(chain.read_bytes())) as channel:
        assert calls(channel, "ModelInfer")(infer_request(), timeout=30)
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        calls(channel, "ModelInfer")(infer_request(), timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls(serve, certificate, calls, infer_request):
    """A client must show a certificate that the server trusts."""
    server, client, stranger = certificate("server"), certificate("client"), certificate("stranger")
    address = serve(grpc_use_ssl_mutual=True, grpc_root_cert=str(client[1]), **options_of(*server))
    roots = server[1].read_bytes()
    known = grpc.ssl_channel_credentials(roots, client[0].read_bytes(), client[1].read_bytes())
    with grpc.secure_channel(address, known) as channel:
        assert calls(channel, "ModelInfer")(infer_request(), timeout=30)
    unknown = grpc.ssl_channel_credentials(roots, stranger[0].read_bytes(), stranger[1].read_bytes())
    for credentials in (unknown, grpc.ssl_channel_credentials(roots)):
        with grpc.secure_channel(address, credentials) as channel, pytest.raises(grpc.RpcError) as caught:
            calls(channel, "ModelInfer")(infer_request(), timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls_wants_to_know_whom_to_trust(serve, certificate):
    """Asking clients for certificates needs those that vouch for them."""
    with pytest.raises(CharoniaError, match="--grpc-use-ssl-mutual needs --grpc-root-cert"):
        serve(grpc_use_ssl_mutual=True, **options_of(*certificate("server")))


def test_files_that_are_no_certificates_are_told(serve, certificate, tmp_path):
    """What TLS cannot use ends the start before anything listens, and the option is named."""
    server, other = certificate("server"), certificate("other")
    path = tmp_path / "pem"
    path.write_text("nothing")
    for key, chain in ((path, path), (other[0], server[1])):
        with pytest.raises(CharoniaError, match=f"--grpc-server-cert={chain} and --grpc-server-key={key} are no"):
            serve(grpc_use_ssl=True, **options_of(key, chain))
    with pytest.raises(CharoniaError, match=f"--grpc-root-cert={path} has no certificates in PEM"):
        serve(grpc_use_ssl_mutual=True, grpc_root_cert=str(path), **options_of(*server))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"grpc_use_ssl": True}, "--grpc-use-ssl needs --grpc-server-cert: the path of a file in PEM"),
        (
            {"grpc_use_ssl_mutual": True, "grpc_server_cert": "nowhere.pem"},
            "--grpc-server-cert=nowhere.pem cannot be read: No such file or directory",
        ),
    ],
)
def test_files_that_are_missing_are_told(serve, options, text):
    """The error names the option, and what to do."""
    with pytest.raises(CharoniaError) as caught:
        serve(**options)
    assert str(caught.value) == text
