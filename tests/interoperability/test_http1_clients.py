"""Real clients of HTTP/1.1: curl in all its moods, wrk, perf_analyzer with large tensors, tritonclient, and nginx in front."""

from __future__ import annotations

import gzip
import json
import subprocess

import numpy as np
import pytest
import tritonclient.http
from programs import PATIENCE_SECONDS, haproxy, needs, nginx, perf_analyzer, run

INFER = "/v2/models/m/infer"
BODY = b'{"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}]}'
LARGE = 1_000_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A body of megabytes, as a file."""
    path = tmp_path_factory.mktemp("bodies") / "large"
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, LARGE], "data": [1.5] * LARGE}
    path.write_text(json.dumps({"inputs": [tensor]}))
    return path


@needs("curl", "curl")
class TestCurl:
    """curl over HTTP/1.1 and 1.0."""

    def test_one_connection_serves_many_urls(self, port):
        """The second request needs no new connection."""
        url = f"http://127.0.0.1:{port}/v2/health/ready"
        told = run("curl", "-sS", "--http1.1", "-w", "%{num_connects} %{http_code},", url, url)
        assert told == b"1 200,0 200,"

    @pytest.mark.parametrize("keep", [False, True])
    def test_http_1_0(self, port, keep):
        """The older version is answered in its own way, whether the connection is to stay or not."""
        url = f"http://127.0.0.1:{port}{INFER}"
        fields = ["-H", "Connection: keep-alive"] if keep else []
        told = run("curl", "-sS", "--http1.0", *fields, "-w", "%{num_connects} %{http_version},", "-d", BODY, url, url)
        assert told.count(b'"data":[1.0,2.5]') == 2
        assert told.endswith(b"0 1," if keep else b"1 1,")

    def test_expectation_is_met(self, port, large):
        """Where curl asks first whether a large body is welcome, it gets the word."""
        url = f"http://127.0.0.1:{port}{INFER}"
        command = ["curl", "-sSv", "-H", "Expect: 100-continue", "--data-binary", f"@{large}", url]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=True)
        assert b"< HTTP/1.1 100 Continue" in done.stderr
        assert done.stdout.count(b"1.5") == LARGE

    def test_upload_in_chunks(self, port, large):
        """A large body whose length nobody tells arrives whole."""
        url = f"http://127.0.0.1:{port}{INFER}"
        told = run("curl", "-sS", "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{large}", url)
        assert told.count(b"1.5") == LARGE

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    def test_compression_both_ways(self, port, large, tmp_path, coding):
        """A compressed body is read, and the answer is compressed where curl asks for it."""
        body = tmp_path / "body"
        body.write_bytes(gzip.compress(large.read_bytes()))
        fields = ["-H", "Content-Encoding: gzip", "-H", f"Accept-Encoding: {coding}"]
        url = f"http://127.0.0.1:{port}{INFER}"
        told = run("curl", "-sS", "--compressed", *fields, "-w", "%{size_download}", "--data-binary", f"@{body}", url)
        answer, _, size = told.rpartition(b"}")
        assert answer.count(b"1.5") == LARGE
        assert int(size) < LARGE

    def test_large_binary_tensors_over_tls(self, tls_port, certificate, tmp_path):
        """Megabytes of a binary tensor go and come, encrypted."""
        size = 4 * LARGE
        tensor = {"name": "X", "datatype": "FP32", "shape": [1, LARGE], "parameters": {"binary_data_size": size}}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        data = np.random.default_rng(1).random(LARGE, np.float32).tobytes()
        body = tmp_path / "body"
        body.write_bytes(head + data)
        fields = ["-H", f"Inference-Header-Content-Length: {len(head)}"]
        url = f"https://localhost:{tls_port}{INFER}"
        flags = ["--http1.1", "--cacert", certificate.certificate]
        told = run("curl", "-sS", *flags, *fields, "--data-binary", f"@{body}", url)
        assert told[-size:] == data


@needs("wrk", "wrk")
def test_wrk(port, tmp_path):
    """Many connections ask as fast as they can, and every answer is a good one."""
    script = tmp_path / "post.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.body = '{BODY.decode()}'\n")
    patient = ("--timeout", f"{PATIENCE_SECONDS}s")  # else it takes an answer that comes late for an error
    told = run("wrk", "-t", 1, "-c", 8, "-d", "1s", *patient, "-s", script, f"http://127.0.0.1:{port}{INFER}").decode()
    assert "requests in" in told
    assert "Non-2xx" not in told
    assert "Socket errors" not in told


@pytest.mark.timeout(300)
@pytest.mark.parametrize("elements", [262_144, 16_777_216], ids=["1 MiB", "64 MiB"])
def test_perf_analyzer_with_large_tensors(port, elements):
    """Triton's own load generator has nothing to complain about."""
    perf_analyzer(port, elements)


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_tritonclient_with_large_tensors(port, coding):
    """64 MiB go and come, as they are or compressed."""
    tensor = tritonclient.http.InferInput("X", [1, 16_777_216], "FP32")
    sent = np.zeros((1, 16_777_216), np.float32)
    sent[0, ::1000] = np.arange(16_778)
    tensor.set_data_from_numpy(sent)
    coded = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    with tritonclient.http.InferenceServerClient(f"127.0.0.1:{port}", network_timeout=PATIENCE_SECONDS) as client:
        np.testing.assert_array_equal(client.infer("m", [tensor], **coded).as_numpy("Y"), sent)


@needs("nginx", "nginx-light")
@needs("curl", "curl")
@pytest.mark.parametrize("prefix", ["", "/unbuffered"])
def test_behind_nginx(port, large, tmp_path, prefix):
    """A proxy that keeps its connections passes on small and large requests, in one piece, in chunks, and events as they come."""
    with nginx(tmp_path, port) as outside:
        ask_through(f"http://127.0.0.1:{outside}{prefix}{INFER}", large)


@needs("haproxy", "haproxy")
@needs("curl", "curl")
def test_behind_haproxy(port, large, tmp_path):
    """Another proxy does the same."""
    with haproxy(tmp_path, port) as outside:
        ask_through(f"http://127.0.0.1:{outside}{INFER}", large)


def ask_through(url, large):
    """Send small and large requests through a proxy, in one piece and in chunks, and have events come back."""
    for _ in range(2):
        assert b'"data":[1.0,2.5]' in run("curl", "-sS", "--retry-connrefused", "--retry", 5, "-d", BODY, url)
        assert run("curl", "-sS", "--data-binary", f"@{large}", url).count(b"1.5") == LARGE
        chunked = run("curl", "-sS", "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{large}", url)
        assert chunked.count(b"1.5") == LARGE
    events = url.replace("/m/", "/countdown/")
    body = BODY.replace(b"[1, 2]", b"[1]").replace(b"[1, 2.5]", b"[3]")
    assert run("curl", "-sS", "-H", "Accept: text/event-stream", "-d", body, events).count(b"data:") == 3
