"""The load generators: perf_analyzer where it can be had, else the benchmark's own; and h2load. Each is a process of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks import HOUSE
from benchmarks.grpc_wire import MODEL_INFER, grpc_request
from benchmarks.latency import Load, LoadError, summarise
from benchmarks.models import MODELS

if TYPE_CHECKING:
    from benchmarks.ways import Way

__all__ = ["H2Load", "LoadGenerator", "OwnGenerator", "PerfAnalyzer", "sender"]

_WINDOWS = 3
"""The fewest windows that perf_analyzer takes for a result."""


class LoadGenerator(Protocol):
    """Sends requests over a number of connections, each of which waits for its answer before it sends the next."""

    name: str

    def can(self, way: Way) -> bool:
        """Tell whether it can send requests this way."""
        ...

    def run(self, way: Way, port: int, model: str, concurrency: int, seconds: float) -> Load:
        """Load a server for some seconds.

        Args:
            way: how the requests are sent.
            port: where the server listens on 127.0.0.1.
            model: the model to ask.
            concurrency: the connections.
            seconds: how long.

        Raises:
            LoadError: a request failed.
        """
        ...


class OwnGenerator:
    """The programs of http_load.py and grpc_load.py."""

    name = "own"

    def can(self, way: Way) -> bool:
        """Do as `LoadGenerator.can` says: there is no shared memory here."""
        return not way.shared_memory

    def run(self, way: Way, port: int, model: str, concurrency: int, seconds: float) -> Load:
        """Do as `LoadGenerator.run` says."""
        words = [f"--port={port}", f"--model={model}", f"--concurrency={concurrency}", f"--seconds={seconds}"]
        if way.streaming:
            words.append("--streaming")
        output = _output([sys.executable, "-m", f"benchmarks.{way.protocol}_load", *words], seconds)
        return Load(**json.loads(output))


class PerfAnalyzer:
    """Triton's program.

    It measures in three windows, and is told to be content with them however much they differ. Told a number of requests
    instead, it waits for ever at the end of most runs with many connections. The figures come from the times of
    the single requests, which it records without a gap.

    Args:
        command: the command that runs it.
    """

    name = "perf_analyzer"

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def can(self, way: Way) -> bool:
        """Do as `LoadGenerator.can` says: it knows all of them."""
        return True

    def run(self, way: Way, port: int, model: str, concurrency: int, seconds: float) -> Load:
        """Do as `LoadGenerator.run` says."""
        window = max(1, int(seconds * 1_000 / _WINDOWS))
        place = ["-m", model, "-i", way.protocol, "-u", f"127.0.0.1:{port}", "--concurrency-range", str(concurrency)]
        if way.streaming:
            place.append("--streaming")
        if way.shared_memory:
            place += ["--shared-memory", "system"]
        windows = ["--measurement-interval", str(window), "--max-trials", str(_WINDOWS)]
        with tempfile.TemporaryDirectory() as folder:
            records = Path(folder, "records.json")
            export = ["--stability-percentage", "99999", "--profile-export-file", str(records)]
            _output([*self._command, *place, *windows, *export], seconds)
            times = json.loads(records.read_bytes())["experiments"][0]["requests"]
        return summarise([time["timestamp"] for time in times], [time["response_timestamps"][0] for time in times])


class H2Load:
    """The program of nghttp2, which leaves the most of the machine to the server: it sends one request again and again.

    It reads no answer, so that it is seen by how much has come that none was refused. It cuts tensors into frames of 16 KiB.

    Args:
        program: its name, or where it is.
    """

    name = "h2load"

    def __init__(self, program: str = "h2load") -> None:
        self._program = program

    @property
    def installed(self) -> bool:
        """Whether it can be had; distributions have it in the package nghttp2-client, or nghttp2."""
        return shutil.which(self._program) is not None

    def can(self, way: Way) -> bool:
        """Do as `LoadGenerator.can` says: what is left to it."""
        return way.h2load and self.installed

    def run(self, way: Way, port: int, model: str, concurrency: int, seconds: float) -> Load:
        """Do as `LoadGenerator.run` says."""
        message = grpc_request(model)
        clients = [f"--clients={concurrency}", "--max-concurrent-streams=1", f"--duration={round(seconds * 1000)}ms"]
        kind = ["--header=content-type: application/grpc", "--header=te: trailers"]
        with tempfile.TemporaryDirectory() as folder:
            body, records = Path(folder, "body"), Path(folder, "records")
            body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
            files = [f"--data={body}", f"--log-file={records}"]
            url = f"http://127.0.0.1:{port}{MODEL_INFER}"
            told = _output([self._program, *clients, *kind, *files, url], seconds)
            times = [tuple(map(int, line.split())) for line in records.read_text().splitlines()]
        came = re.search(r"\((\d+)\) data", told)
        if came is None or int(came[1]) < len(times) * MODELS[model].answer_size:
            raise LoadError(f"the server refused requests of h2load, whose answers are too small: {told[-500:]}")
        return summarise([start * 1_000 for start, _, _ in times], [(start + took) * 1_000 for start, _, took in times])


def sender(way: Way, model: str, chosen: LoadGenerator) -> LoadGenerator | None:
    """Give what sends the requests of a way to a model, or None where nothing can.

    That is the chosen generator, unless the way is h2load's, or the tensors are large: perf_analyzer records each of them.
    """
    generator = H2Load() if way.h2load else OwnGenerator() if MODELS[model].large else chosen
    return generator if generator.can(way) else None


def _output(command: list[str], seconds: float) -> str:
    """Run a generator to its end, and give what it printed."""
    limit = 60 + 10 * seconds
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit, cwd=HOUSE)
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{command[0]} was not done after {limit:g} s: is the server still answering?") from error
    except subprocess.CalledProcessError as error:
        told = (error.stderr or error.stdout).strip()
        raise LoadError(f"{' '.join(command)} failed: {told[-2000:] or f'exit status {error.returncode}'}") from error
    return done.stdout
