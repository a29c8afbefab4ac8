"""The load generators: perf_analyzer where it can be had, else the benchmark's own. Each run is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Protocol

from benchmarks.latency import Load, LoadError, summarise

__all__ = ["LoadGenerator", "OwnGenerator", "PerfAnalyzer"]

_FEWEST_REQUESTS = 20  # for each connection


class LoadGenerator(Protocol):
    """Sends requests over a number of connections, each of which waits for its answer before it sends the next."""

    name: str

    def run(self, port: int, model: str, concurrency: int, seconds: float, expected: Load | None) -> Load:
        """Load a server for some seconds.

        Args:
            port: where the server listens on 127.0.0.1.
            model: the model to ask.
            concurrency: the connections.
            seconds: how long.
            expected: what an earlier run with these settings saw, if there was one.

        Raises:
            LoadError: a request failed.
        """
        ...


class OwnGenerator:
    """The program of load.py."""

    name = "own"

    def run(self, port: int, model: str, concurrency: int, seconds: float, expected: Load | None) -> Load:
        """Do as `LoadGenerator.run` says."""
        words = [f"--port={port}", f"--model={model}", f"--concurrency={concurrency}", f"--seconds={seconds}"]
        output = _output([sys.executable, "-m", "benchmarks.load", *words], seconds)
        return Load(**json.loads(output))


class PerfAnalyzer:
    """Triton's program.

    It is told a number of requests instead of a time, since only then does it end after one window. The throughput that
    it prints then counts its own start and end; here the figures come from the times of the single requests.

    Args:
        command: the command that runs it.
    """

    name = "perf_analyzer"

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def run(self, port: int, model: str, concurrency: int, seconds: float, expected: Load | None) -> Load:
        """Do as `LoadGenerator.run` says; `expected` is needed, to know how many requests fill the time."""
        assert expected is not None
        rate = concurrency / (expected.mean_us / 1e6)
        requests = max(int(rate * seconds), _FEWEST_REQUESTS * concurrency)
        with tempfile.TemporaryDirectory() as folder:
            records = Path(folder, "records.json")
            words = ["-m", model, "-i", "http", "-u", f"127.0.0.1:{port}", "--request-count", str(requests)]
            words += ["--concurrency-range", str(concurrency), "--profile-export-file", str(records)]
            _output([*self._command, *words], seconds)
            times = json.loads(records.read_bytes())["experiments"][0]["requests"]
        return summarise([time["timestamp"] for time in times], [time["response_timestamps"][0] for time in times])


def _output(command: list[str], seconds: float) -> str:
    """Run a generator to its end, and give what it printed."""
    limit = 60 + 10 * seconds
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{command[0]} was not done after {limit:g} s: is the server still answering?") from error
    except subprocess.CalledProcessError as error:
        told = (error.stderr or error.stdout).strip()
        raise LoadError(f"{' '.join(command)} failed: {told[-2000:] or f'exit status {error.returncode}'}") from error
    return done.stdout
