"""Running programs that people have, against the server."""

from __future__ import annotations

import shutil
import signal
import subprocess
from contextlib import contextmanager

import pytest

from benchmarks.process import free_port
from benchmarks.tools.download import UnavailableError
from benchmarks.tools.perf_analyzer import install_perf_analyzer

PATIENCE_SECONDS = 60


def needs(program, package):
    """Skip where a program is not installed."""
    return pytest.mark.skipif(not shutil.which(program), reason=f"needs {program} (Debian's package {package})")


def run(*command, patience=PATIENCE_SECONDS):
    """Run a program, and give what it writes."""
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in command]
    done = subprocess.run(words, capture_output=True, timeout=patience, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout


def perf_analyzer(port, elements, *flags):
    """Have Triton's own load generator ask the model with so many elements; it may have nothing to complain about."""
    try:
        command = install_perf_analyzer()
    except UnavailableError as error:
        pytest.skip(str(error))
    few = ["--measurement-mode=count_windows", "--measurement-request-count=2"]
    short = [*few, "--max-trials=3", "--stability-percentage=99999", "--concurrency-range=1"]
    words = ["-m", "m", "-u", f"127.0.0.1:{port}", "--shape", f"X:{elements}", *short, *flags]
    told = run(*command, *words, patience=4 * PATIENCE_SECONDS).decode()
    assert "Throughput:" in told
    assert "rror" not in told


@contextmanager
def nginx(folder, port, *, http2=False):
    """Run nginx, which passes what it is asked over HTTP/1.1, or over HTTP/2, on to a port; gives its own."""
    number = free_port()
    (folder / "nginx.conf").write_text(
        f"""
        user root; daemon off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 64; }}
        http {{
          access_log off; client_body_temp_path {folder}/body; client_max_body_size 100m;
          proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          upstream behind {{ server 127.0.0.1:{port}; keepalive 4; }}
          server {{
            listen 127.0.0.1:{number}{" http2" if http2 else ""};
            location /inference.GRPCInferenceService {{ grpc_pass grpc://127.0.0.1:{port}; }}
            location / {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; }}
            location /unbuffered/ {{
              proxy_pass http://behind/; proxy_http_version 1.1; proxy_set_header Connection "";
              proxy_request_buffering off; proxy_buffering off;
            }}
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


@contextmanager
def haproxy(folder, port, *, http2=False):
    """Run HAProxy, which passes what it is asked over HTTP/1.1, or over HTTP/2, on to a port, and reuses its connections.

    Gives its own port.
    """
    number, protocol = free_port(), " proto h2" if http2 else ""
    (folder / "haproxy.cfg").write_text(
        f"""
        defaults
          mode http
          timeout connect 10s
          timeout client 60s
          timeout server 60s
          http-reuse always
        frontend outside
          bind 127.0.0.1:{number}{protocol}
          default_backend behind
        backend behind
          server charonia 127.0.0.1:{port}{protocol}
        """.rstrip()
        + "\n"  # without which it takes the last line for cut off
    )
    process = subprocess.Popen(["haproxy", "-db", "-f", folder / "haproxy.cfg"], stderr=subprocess.PIPE)
    try:
        yield number
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)
