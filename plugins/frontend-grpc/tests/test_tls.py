"""TLS and mutual TLS with certificates made for the test."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from charonia.errors import CharoniaError


def options_of(files):
    """Name the server's files."""
    return {"grpc_server_key": files.key, "grpc_server_cert": files.certificate}


def credentials_of(server, files=None):
    """Trust a server, and show a certificate, or none."""
    shown = files and (Path(files.key).read_bytes(), Path(files.certificate).read_bytes())
    return grpc.ssl_channel_credentials(Path(server.certificate).read_bytes(), *(shown or ()))


def test_tls(serve, certificate, calls, infer_request):
    """A client that trusts the certificate is served, and one that speaks in plain text is not."""
    address = serve(grpc_use_ssl=True, **options_of(certificate))
    with grpc.secure_channel(address, credentials_of(certificate)) as channel:
        assert calls(channel, "ModelInfer")(infer_request(), timeout=30)
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        calls(channel, "ModelInfer")(infer_request(), timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls(serve, make_certificate, calls, infer_request):
    """A client must show a certificate that the server trusts."""
    server, client, stranger = (make_certificate(name) for name in ("server", "client", "stranger"))
    address = serve(grpc_use_ssl_mutual=True, grpc_root_cert=client.certificate, **options_of(server))
    with grpc.secure_channel(address, credentials_of(server, client)) as channel:
        assert calls(channel, "ModelInfer")(infer_request(), timeout=30)
    for credentials in (credentials_of(server, stranger), credentials_of(server)):
        with grpc.secure_channel(address, credentials) as channel, pytest.raises(grpc.RpcError) as caught:
            calls(channel, "ModelInfer")(infer_request(), timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls_wants_to_know_whom_to_trust(serve, certificate):
    """Asking clients for certificates needs those that vouch for them."""
    with pytest.raises(CharoniaError, match="--grpc-use-ssl-mutual needs --grpc-root-cert"):
        serve(grpc_use_ssl_mutual=True, **options_of(certificate))


def test_files_that_are_no_certificates_are_told(serve, certificate, make_certificate, tmp_path):
    """What TLS cannot use ends the start before anything listens, and the option is named."""
    path = tmp_path / "pem"
    path.write_text("nothing")
    for key, chain in ((path, path), (make_certificate("other").key, certificate.certificate)):
        with pytest.raises(CharoniaError, match=f"--grpc-server-cert={chain} and --grpc-server-key={key} are no"):
            serve(grpc_use_ssl=True, grpc_server_key=str(key), grpc_server_cert=str(chain))
    with pytest.raises(CharoniaError, match=f"--grpc-root-cert={path} has no certificates in PEM"):
        serve(grpc_use_ssl_mutual=True, grpc_root_cert=str(path), **options_of(certificate))


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
