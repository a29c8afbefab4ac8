"""Real clients of HTTP/2 and gRPC on one port: curl, nghttp, h2load, grpcio, and nginx in front."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from programs import PATIENCE_SECONDS, haproxy, needs, nginx, perf_analyzer, run

BODY = b'{"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}]}'


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
        told = run("curl", "-sS", flag, "--cacert", certificate.certificate, "-w", "%{http_version} %{http_code}", url)
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
    credentials = grpc.ssl_channel_credentials(Path(certificate.certificate).read_bytes())
    with tritonclient.grpc.InferenceServerClient(f"localhost:{tls_port}", creds=credentials) as client:
        infer(client)


@pytest.mark.parametrize("flags", [(), ("--async",), ("--streaming",), ("--grpc-compression-algorithm=gzip",)])
def test_perf_analyzer_with_large_tensors(port, flags):
    """Triton's own load generator has nothing to complain about, however it calls with 1 MiB."""
    perf_analyzer(port, 262_144, "-i", "grpc", *flags)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("flags", [(), ("--streaming",)], ids=["calls", "stream"])
def test_perf_analyzer_with_very_large_tensors(port, flags):
    """The same with 64 MiB, which it takes long to make and to look at."""
    perf_analyzer(port, 16_777_216, "-i", "grpc", *flags)


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_tritonclient_with_large_tensors(port, coding):
    """64 MiB go and come, as they are or compressed."""
    sent = zeros_and_numbers()
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{port}") as client:
        answer = client.infer("m", [tensor_of(sent)], compression_algorithm=coding, client_timeout=PATIENCE_SECONDS)
    np.testing.assert_array_equal(answer.as_numpy("Y"), sent)


async def test_tritonclient_in_coroutines_with_large_tensors(port):
    """The same from an event loop, by calls and on a stream."""
    sent = zeros_and_numbers()

    async def requests():
        yield {"model_name": "m", "inputs": [tensor_of(sent)]}

    async with tritonclient.grpc.aio.InferenceServerClient(f"127.0.0.1:{port}") as client:
        np.testing.assert_array_equal((await client.infer("m", [tensor_of(sent)])).as_numpy("Y"), sent)
        async for answer, error in client.stream_infer(requests()):
            assert error is None
            np.testing.assert_array_equal(answer.as_numpy("Y"), sent)


def zeros_and_numbers():
    """Make 64 MiB that can be compressed."""
    values = np.zeros((1, 16_777_216), np.float32)
    values[0, ::1000] = np.arange(16_778)
    return values


def tensor_of(values):
    """Make an input."""
    tensor = tritonclient.grpc.InferInput("X", values.shape, "FP32")
    tensor.set_data_from_numpy(values)
    return tensor


@needs("nginx", "nginx-light")
def test_behind_nginx(port, tmp_path):
    """Calls of both kinds pass through a proxy, small and large."""
    with nginx(tmp_path, port, http2=True) as outside:
        call_through(outside)


@needs("haproxy", "haproxy")
def test_behind_haproxy(port, tmp_path):
    """Another proxy, which puts many clients' calls on one connection of HTTP/2, does the same."""
    with haproxy(tmp_path, port, http2=True) as outside:
        call_through(outside)


def call_through(outside):
    """Make calls of both kinds through a proxy, small and large."""
    with grpc.insecure_channel(f"127.0.0.1:{outside}") as channel:
        grpc.channel_ready_future(channel).result(PATIENCE_SECONDS)
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{outside}") as client:
        for _ in range(20):
            infer(client)
        large = np.arange(300_000, dtype=np.float32).reshape(1, -1)
        np.testing.assert_array_equal(client.infer("m", [tensor_of(large)]).as_numpy("Y"), large)
        told = []
        client.start_stream(lambda result, error: told.append(error or result.as_numpy("Y").tolist()))
        client.async_stream_infer("countdown", [tensor_of(np.array([3], np.float32))])
        client.stop_stream()
        assert told == [[3.0], [2.0], [1.0]]
