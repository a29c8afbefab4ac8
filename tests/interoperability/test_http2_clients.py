"""Real clients of HTTP/2 and gRPC on one port: curl, nghttp, h2load, grpcio, and nginx in front."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager

import charonia_frontend_grpc
import charonia_frontend_http
import charonia_transport_lean
import grpc
import numpy as np
import pytest
import tritonclient.grpc
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin

PLUGINS = [ArithmeticPlugin(), charonia_frontend_http, charonia_frontend_grpc, charonia_transport_lean]
BODY = b'{"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}]}'
PATIENCE_SECONDS = 60


def needs(program, package):
    """Skip where a program is not installed."""
    return pytest.mark.skipif(not shutil.which(program), reason=f"needs {program} (Debian's package {package})")


def run(*command, **settings):
    """Run a program, and give what it writes."""
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in command]
    done = subprocess.run(words, capture_output=True, timeout=PATIENCE_SECONDS, check=False, **settings)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout


def free_port():
    """Find a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return door.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Start a server with a model that gives back its rows, and one that gives back each row as often as it says."""
    repository = tmp_path_factory.mktemp("models")
    for name, decoupled in (("m", False), ("countdown", True)):
        config = model_config(
            name,
            inputs=[("X", "FP32", [-1])],
            outputs=[("Y", "FP32", [-1])],
            max_batch_size=0 if decoupled else 8,
            decoupled=decoupled,
        )
        write_model(repository, config)
    plugins = Plugins(entry_points=(), extra=PLUGINS)
    with Server(repository, options=ServerOptions(transport="lean"), plugins=plugins) as started:
        yield started


@pytest.fixture(autouse=True)
def _no_surviving_threads():
    """Let the models' threads live from test to test; they end with the server of all."""


@pytest.fixture(scope="module")
def port(server):
    """Serve HTTP and gRPC in plain text on one port."""
    number = free_port()
    with serve_in_thread(server, {"http-port": number, "grpc-port": number}):
        yield number


@pytest.fixture(scope="module")
def tls_port(server, certificate):
    """The same over TLS."""
    number, (key, chain) = free_port(), certificate
    files = {"server-key": str(key), "server-cert": str(chain), "use-ssl": True}
    options = {f"{prefix}-{name}": value for prefix in ("http", "grpc") for name, value in files.items()}
    with serve_in_thread(server, {"http-port": number, "grpc-port": number, **options}):
        yield number


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a key, and a certificate that vouches for itself."""
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "server.key", folder / "server.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    run("openssl", "req", "-x509", *kind, *subject, "-keyout", key, "-out", chain)
    return key, chain


def infer(client):
    """Ask the model over gRPC, and check its answer."""
    tensor = tritonclient.grpc.InferInput("X", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.array([[1, 2, 3]], np.float32))
    assert client.infer("m", [tensor], client_timeout=PATIENCE_SECONDS).as_numpy("Y").tolist() == [[1, 2, 3]]


@needs("curl", "curl")
class TestCurl:
    """curl, with the protocol that it is told to speak."""

    @pytest.mark.parametrize("flag", ["--http2-prior-knowledge", "--http1.1"])
    def test_plain_text(self, port, flag):
        """Both protocols on the same port, with the same answers."""
        told = run(
            "curl",
            "-sS",
            flag,
            "-w",
            "\n%{http_version} %{http_code}",
            "-d",
            BODY,
            f"http://127.0.0.1:{port}/v2/models/m/infer",
        )
        answer, _, last = told.rpartition(b"\n")
        assert b'"data":[1.0,2.5]' in answer
        assert last == (b"2 200" if "2" in flag else b"1.1 200")

    @pytest.mark.parametrize(("flag", "version"), [("--http2", b"2"), ("--http1.1", b"1.1")])
    def test_tls(self, tls_port, certificate, flag, version):
        """Over TLS they agree on the protocol by ALPN."""
        url = f"https://localhost:{tls_port}/v2/health/ready"
        told = run("curl", "-sS", flag, "--cacert", certificate[1], "-w", "%{http_version} %{http_code}", url)
        assert told == version + b" 200"

    def test_large_bodies(self, port, tmp_path):
        """Megabytes go and come."""
        row = ", ".join(["1.5"] * 1_000_000)
        body = tmp_path / "body"
        body.write_text(f'{{"X": [[{row}]]}}')
        url = f"http://127.0.0.1:{port}/v2/models/m/predict"
        told = run("curl", "-sS", "--http2-prior-knowledge", "--data-binary", f"@{body}", url)
        assert told.count(b"1.5") == 1_000_000

    def test_events(self, port):
        """A decoupled model's responses come as they are made."""
        body = BODY.replace(b"[1, 2]", b"[1]").replace(b"[1, 2.5]", b"[3]")
        url = f"http://127.0.0.1:{port}/v2/models/countdown/infer"
        told = run("curl", "-sS", "--http2-prior-knowledge", "-H", "Accept: text/event-stream", "-d", body, url)
        assert told.count(b"data:") == 3


@needs("nghttp", "nghttp2-client")
def test_nghttp(port, tmp_path):
    """Many requests on one connection, with and without bodies, padded, continued, and with small windows."""
    body = tmp_path / "body"
    body.write_bytes(BODY)
    url = f"http://127.0.0.1:{port}/v2/models/m/infer"
    told = run("nghttp", "-v", "-m", 20, "-b", 5, "-d", body, "-H", f"x-long: {'x' * 5000}", "--continuation", url)
    assert told.count(b'"data":[1.0,2.5]') == 20
    assert b"GOAWAY frame <length=8, flags=0x00, stream_id=0>\n          (last_stream_id=0, error_code=NO_ERROR" in told
    small = run("nghttp", "-w", 4, "-W", 4, f"http://127.0.0.1:{port}/v2/models/m/config")
    assert b'"name":"m"' in small


@needs("h2load", "nghttp2-client")
@pytest.mark.parametrize("flags", [(), ("-w", "10", "-W", "12"), ("--h1",)])
def test_h2load(port, tmp_path, flags):
    """Thousands of requests from many clients at once, all answered well."""
    body = tmp_path / "body"
    body.write_bytes(BODY)
    streams = () if "--h1" in flags else ("-m", 32)
    told = run(
        "h2load", "-n", 4000, "-c", 8, *streams, *flags, "-d", body, f"http://127.0.0.1:{port}/v2/models/m/infer"
    )
    assert re.search(rb"4000 succeeded, 0 failed, 0 errored, 0 timeout", told)
    assert re.search(rb"status codes: 4000 2xx", told)


def test_grpcio(port, tls_port, certificate):
    """In plain text and over TLS, on the port of HTTP."""
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{port}") as client:
        infer(client)
    credentials = grpc.ssl_channel_credentials(certificate[1].read_bytes())
    with tritonclient.grpc.InferenceServerClient(f"localhost:{tls_port}", creds=credentials) as client:
        infer(client)


@contextmanager
def nginx(folder, port):
    """Run nginx, which passes calls on to a port; gives its own."""
    number = free_port()
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 64; }}
        http {{
          access_log off; client_body_temp_path {folder}/body; client_max_body_size 100m;
          proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          server {{
            listen 127.0.0.1:{number} http2;
            location /inference.GRPCInferenceService {{ grpc_pass grpc://127.0.0.1:{port}; }}
            location / {{ proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1; }}
          }}
        }}
        """
    )
    process = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.PIPE)
    try:
        yield number
    finally:
        process.send_signal(signal.SIGQUIT)
        process.communicate(timeout=PATIENCE_SECONDS)


@needs("nginx", "nginx-light")
def test_behind_nginx(port, tmp_path):
    """Calls of both kinds pass through a proxy, small and large."""
    with nginx(tmp_path, port) as outside:
        with grpc.insecure_channel(f"127.0.0.1:{outside}") as channel:
            grpc.channel_ready_future(channel).result(PATIENCE_SECONDS)
        with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{outside}") as client:
            for _ in range(20):
                infer(client)
            large = np.arange(300_000, dtype=np.float32).reshape(1, -1)
            tensor = tritonclient.grpc.InferInput("X", large.shape, "FP32")
            tensor.set_data_from_numpy(large)
            np.testing.assert_array_equal(client.infer("m", [tensor]).as_numpy("Y"), large)
            told = []
            client.start_stream(lambda result, error: told.append(error or result.as_numpy("Y").tolist()))
            tensor = tritonclient.grpc.InferInput("X", [1], "FP32")
            tensor.set_data_from_numpy(np.array([3], np.float32))
            client.async_stream_infer("countdown", [tensor])
            client.stop_stream()
            assert told == [[3.0], [2.0], [1.0]]
