"""Serve the sample, ask it one question, and go on serving until Ctrl-C: what `make serve` runs.

The server is `charonia serve` in a process of its own, as anybody would start it. Its output is passed on.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ask import MODEL, AskError, ask, body
from prepare import DOWNLOAD, HERE, LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

USUAL_PORT = 8000
QUESTIONS = (HERE / "README.md", HERE / "features.py", HERE / "model_repository" / "file_types" / "1" / "model.onnx")
REQUEST = DOWNLOAD / "request.json"
"""One question as it goes over the wire, for whoever likes to send it by hand."""


def choose_port() -> int:
    """Take the usual port, or another one if somebody has it, and say so."""
    for port in (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
        if not port:
            print(f"port {USUAL_PORT} is taken; this server takes {free}", flush=True)
        return free
    raise OSError("no port is free on 127.0.0.1")


@contextmanager
def serving(port: int) -> Iterator[subprocess.Popen[str]]:
    """Run the server. SIGINT and SIGTERM are passed on to it, so that it ends in its own good order."""
    program = Path(sys.executable).with_name("charonia")
    server = subprocess.Popen(
        [
            program,
            "serve",
            f"--model-repository={HERE / 'model_repository'}",
            f"--http-port={port}",
            "--allow-grpc=false",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C comes to us alone, and we pass it on once
    )
    # a handler in Python would not run before a read that has just begun gets something; the wake-up is written at once
    told, wake_up = socket.socketpair()
    wake_up.settimeout(0)  # as it has to be
    signal.set_wakeup_fd(wake_up.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    threading.Thread(target=pass_signals_on, args=(told, server), daemon=True).start()
    try:
        yield server
    finally:
        server.terminate()
        server.wait()
        signal.set_wakeup_fd(-1)
        wake_up.close()


def pass_signals_on(told: socket.socket, server: subprocess.Popen[str]) -> None:
    """End the server whenever a signal is told."""
    while told.recv(1):
        server.terminate()
    told.close()


def pass_on(output: IO[str], until: str | None = None) -> bool:
    """Print the server's lines as they come. True at the line that contains `until`, False when the server has ended."""
    for line in output:
        print(line, end="", flush=True)
        if until is not None and until in line:
            return True
    return False


def show_answers(url: str) -> None:
    """Ask about the sample's own files, and tell the answers and where to go from here."""
    contents = [question.read_bytes() for question in QUESTIONS]
    print("\nAsking it, over HTTP, what some of the sample's own files are:")
    for question, answer in zip(QUESTIONS, ask(url, contents), strict=True):
        print(f"  {question.name} is: {answer}")
    REQUEST.write_bytes(body(contents[:1]))
    print(
        "\nGo on from here:"
        f"\n  {url}/v2/models/{MODEL}          what goes in, what comes out"
        f"\n  {url}/v2/models/{MODEL}/config   its configuration"
        f"\n  {near(Path(sys.executable))} {near(HERE / 'ask.py')} --url {url} FILE…   ask about files of yours"
        f"\n  curl -s {url}/v2/models/{MODEL}/infer -d @{near(REQUEST)}   the same question by hand",
        flush=True,
    )


def near(path: Path) -> Path:
    """Write a path as it is seen from the current folder, if it lies below that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, ask, and go on serving."""
    parser = argparse.ArgumentParser(description="Serve the file-type model and ask it one question.")
    parser.add_argument("--once", action="store_true", help="stop after the answer")
    parser.add_argument("--port", type=int, help=f"the port (default: {USUAL_PORT}, or a free one if that is taken)")
    told = parser.parse_args(arguments)
    if not LABELS.exists():
        print(f"demo: the model is not here yet: run {HERE / 'prepare.py'} first", file=sys.stderr)
        return 1
    port = told.port or choose_port()
    with serving(port) as server:
        assert server.stdout is not None
        if not pass_on(server.stdout, until="Ctrl-C"):
            return server.wait() or 1
        try:
            show_answers(f"http://127.0.0.1:{port}")
        except AskError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        if told.once:
            server.terminate()
        pass_on(server.stdout)
        return server.wait()


if __name__ == "__main__":
    sys.exit(main())
