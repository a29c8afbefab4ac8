"""Repositories: how long many models take to be ready, and what a load costs those who ask meanwhile."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from unittest import mock

import numpy as np

from benchmarks.models import INPUT, MODELS, ONE_THREAD, onnx_model
from benchmarks.process import ServerProcess, free_port
from benchmarks.tools.download import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from charonia import Server

__all__ = ["LoadGap", "StartTime", "measure_loads", "measure_starts"]

T = TypeVar("T")

_MODEL = MODELS["identity"]
_CLIENTS = 4
_BUCKET = "models"
_S3_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class StartTime:
    """How long a server in this process takes from its start until all of its models are ready.

    Attributes:
        place: where the models lie, and whether copies of them are here.
        models: how many there are.
        seconds: the median over the rounds.
    """

    place: str
    models: int
    seconds: float


@dataclass(frozen=True)
class LoadGap:
    """What clients notice of loads, while four of them ask without a pause.

    Attributes:
        what: what is loaded again and again.
        loads: how often.
        requests: how many were answered meanwhile.
        lost: how many were not.
        gap_ms: the longest time in which none was answered, in milliseconds.
        quiet_ms: the same, in as long a time without loads.
    """

    what: str
    loads: int
    requests: int
    lost: int
    gap_ms: float
    quiet_ms: float


def write_models(folder: Path, count: int) -> Path:
    """Write that many small models, each with one ONNX file."""
    import onnx

    content = onnx_model(_MODEL).SerializeToString()
    for number in range(count):
        version = folder / f"small-{number}" / "1"
        version.mkdir(parents=True)
        config = _MODEL.config("onnxruntime", ONE_THREAD).replace(f'name: "{_MODEL.name}"\n', "")
        (version.parent / "config.pbtxt").write_text(config)
        (version / "model.onnx").write_bytes(content)
    onnx.checker.check_model(content)
    return folder


def measure_starts(folder: Path, counts: Sequence[int], rounds: int, left_out: dict[str, str]) -> list[StartTime]:
    """Start servers on local repositories and on S3, there with copies on this machine and without.

    Args:
        folder: where models and copies are written; not there yet.
        counts: how many models.
        rounds: how often each start is measured.
        left_out: gets the reason if there can be no S3 server.
    """
    found = []
    local = {count: write_models(folder / f"local-{count}", count) for count in counts}
    _ready_seconds(str(local[counts[0]]))  # the framework is imported at the first use
    for count, repository in local.items():
        seconds = statistics.median(_ready_seconds(str(repository)) for _ in range(rounds))
        found.append(StartTime("local", count, seconds))
    try:
        with ExitStack() as opened:
            upload = opened.enter_context(_s3_server())
            for count, repository in local.items():
                found += _s3_starts(upload(repository), count, folder / "copies", rounds)
    except UnavailableError as error:
        left_out["starts on S3"] = str(error)
    return found


def _s3_starts(url: str, count: int, copies: Path, rounds: int) -> list[StartTime]:
    times = []
    for _ in range(rounds):
        shutil.rmtree(copies, ignore_errors=True)
        times.append((_ready_seconds(url, copies), _ready_seconds(url, copies)))
    cold, warm = (statistics.median(column) for column in zip(*times, strict=True))
    return [StartTime("S3, no copies here", count, cold), StartTime("S3, copies here", count, warm)]


def _ready_seconds(url: str, copies: Path | None = None) -> float:
    from charonia import Server, ServerOptions

    options = ServerOptions(model_cache_directory="" if copies is None else str(copies))
    begun = time.perf_counter()
    with Server(url, options=options) as server:
        seconds = time.perf_counter() - begun
        if not server.ready:
            raise AssertionError("a server that has started is ready")
    return seconds


@contextmanager
def _s3_server() -> Iterator[Callable[[Path], str]]:
    """Run an S3 server; gives what uploads a repository, and tells its URL."""
    try:
        import boto3  # type: ignore[import-untyped]  # it ships no types
        import charonia_repo_s3  # noqa: F401 - what reads from it
        import moto  # noqa: F401 - the server
    except ImportError as error:
        raise UnavailableError(f"an S3 server: {error}") from error
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = ServerProcess("the S3 server", command, port, "Running on")
    with ExitStack() as opened:
        opened.callback(process.stop)
        opened.enter_context(mock.patch.dict(os.environ, _S3_ENVIRONMENT))
        bucket = boto3.resource("s3", endpoint_url=f"http://127.0.0.1:{port}").Bucket(_BUCKET)
        opened.callback(bucket.meta.client.close)
        bucket.create()

        def upload(repository: Path) -> str:
            for path in repository.rglob("*"):
                if path.is_file():
                    bucket.upload_file(str(path), f"{repository.name}/{path.relative_to(repository)}")
            return f"s3://127.0.0.1:{port}/{_BUCKET}/{repository.name}"

        yield upload


def measure_loads(folder: Path, loads: int) -> list[LoadGap]:
    """Load a model again and again while clients ask it: with other files, and with another number of instances.

    Args:
        folder: where the model is written; not there yet.
        loads: how often.
    """
    from charonia import Server, ServerOptions

    directory = write_models(folder, 1) / "small-0"
    written = (directory / "config.pbtxt").read_text()

    def other_files(number: int) -> None:
        os.utime(directory / "1" / "model.onnx", ns=(number, number))

    def other_count(number: int) -> None:
        (directory / "config.pbtxt").write_text(written.replace("count: 1", f"count: {1 + (number + 1) % 2}"))

    options = ServerOptions(model_control_mode="explicit", load_model=["small-0"])
    with Server(folder, options=options) as server:
        return [
            _load_gap("the whole model", server, loads, other_files),
            _load_gap("the number of instances", server, loads, other_count),
        ]


def _load_gap(what: str, server: Server, loads: int, change: Callable[[int], None]) -> LoadGap:
    def load_all() -> float:
        begun = time.perf_counter()
        for number in range(loads):
            change(number)
            server.load("small-0")
        return time.perf_counter() - begun

    seconds, ends, lost = _while_asked(server, load_all)
    _, quiet, _ = _while_asked(server, lambda: threading.Event().wait(seconds))
    return LoadGap(what, loads, len(ends), lost, _longest_ms(ends), _longest_ms(quiet))


def _while_asked(server: Server, do: Callable[[], T]) -> tuple[T, list[float], int]:
    """Do something while clients ask; gives when they were answered, and how many were not."""
    stop = threading.Event()
    infer = server.model("small-0").infer
    inputs = {INPUT: np.zeros((1, _MODEL.inputs), np.float32)}

    def ask() -> tuple[list[float], int]:
        ends = []
        lost = 0
        while not stop.is_set():
            try:
                infer(inputs)
            except Exception:  # noqa: BLE001 - whatever it is, the client has no answer
                lost += 1
            else:
                ends.append(time.perf_counter())
        return ends, lost

    with ThreadPoolExecutor(_CLIENTS) as clients:
        asked = [clients.submit(ask) for _ in range(_CLIENTS)]
        try:
            done = do()
        finally:
            stop.set()
        answers = [client.result() for client in asked]
    return done, sorted(end for ends, _ in answers for end in ends), sum(lost for _, lost in answers)


def _longest_ms(ends: Sequence[float]) -> float:
    return 1000 * float(np.diff(ends).max(initial=0))
