"""The load generators: perf_analyzer where it can be had, else the benchmark's own. Each run is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Protocol

from benchmarks import HOUSE
from benchmarks.latency import Load, LoadError, summarise

__all__ = ["LoadGenerator", "OwnGenerator", "PerfAnalyzer"]

_WINDOWS = 3
"""The fewest windows that perf_analyzer takes for a result."""


class LoadGenerator(Protocol):
    """Sends requests over a number of connections, each of which waits for its answer before it sends the next."""

    name: str

    def run(self, port: int, model: str, concurrency: int, seconds: float) -> Load:
        """Load a server for some seconds.

        Args:
            port: where the server listens on 127.0.0.1.
            model: the model to ask.
            concurrency: the connections.
            seconds: how long.

        Raises:
            LoadError: a request failed.
        """
        ...


class OwnGenerator:
    """The program of load.py."""

    name = "own"

    def run(self, port: int, model: str, concurrency: int, seconds: float) -> Load:
        """Do as `LoadGenerator.run` says."""
        words = [f"--port={port}", f"--model={model}", f"--concurrency={concurrency}", f"--seconds={seconds}"]
        output = _output([sys.executable, "-m", "benchmarks.load", *words], seconds)
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

    def run(self, port: int, model: str, concurrency: int, seconds: float) -> Load:
        """Do as `LoadGenerator.run` says."""
        window = max(1, int(seconds * 1_000 / _WINDOWS))
        with tempfile.TemporaryDirectory() as folder:
            records = Path(folder, "records.json")
            words = ["-m", model, "-i", "http", "-u", f"127.0.0.1:{port}", "--concurrency-range", str(concurrency)]
            words += [
                "--measurement-interval",
                str(window),
                "--max-trials",
                str(_WINDOWS),
                "--stability-percentage",
                "999",
            ]
            _output([*self._command, *words, "--profile-export-file", str(records)], seconds)
            times = json.loads(records.read_bytes())["experiments"][0]["requests"]
        return summarise([time["timestamp"] for time in times], [time["response_timestamps"][0] for time in times])


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
