"""A soak: mixed traffic for as long as one likes, with cancellations, time-outs, reloads and unloads.

    python tests/end_to_end/soak.py --seconds 600

Every request must be answered, with what belongs to it, and the memory must not grow.
"""

from __future__ import annotations

import argparse
import itertools
import queue
import random
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import charonia
import numpy as np
import psutil
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from charonia.errors import CancelledError, NotFoundError, UnavailableError
from charonia.request import InferenceRequest
from charonia.serving import serve_in_thread
from memory_growth import growth_bytes
from soak_models import MODELS, SEQUENCES, SHARED, SLOW, STREAMS, write_models
from tritonclient.utils import InferenceServerException

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SoakReport", "soak"]

_PATIENCE_SECONDS = 60.0
_SAMPLE_SECONDS = 0.25
_GONE = {"404", "503", "StatusCode.NOT_FOUND", "StatusCode.UNAVAILABLE"}
"""How a client hears that a model is not there."""

Ask: TypeAlias = "Callable[[random.Random], str]"
"""Makes one request, or one change, and says how it ended."""


class WrongAnswerError(Exception):
    """A request got what is not its own."""


@dataclass
class SoakReport:
    """What came of it.

    Attributes:
        ended: how many requests ended how, by kind of traffic.
        failures: what must not happen, each as a text.
        unanswered: requests that were in progress at the end, and did not end by themselves.
        rss_bytes: the process's memory, sampled at equal distances.
    """

    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    unanswered: int = 0
    rss_bytes: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [f"{kind:24} {how:12} {count:9}" for (kind, how), count in sorted(self.ended.items())]
        mebibyte = 2**20
        rows.append(
            f"memory {self.rss_bytes[-1] / mebibyte:.0f} MiB, grown by {growth_bytes(self.rss_bytes) / mebibyte:.1f} MiB"
        )
        return "\n".join([*rows, f"unanswered {self.unanswered}", f"failures {len(self.failures)}", *self.failures[:5]])


@dataclass(frozen=True)
class Place:
    """The server, and where it is reached."""

    server: charonia.Server
    http: str
    grpc: str


def _values(model: str, dice: random.Random) -> np.ndarray:
    """Make an input: few different ones where responses are cached."""
    rows = dice.randint(1, 4)
    first = dice.randint(0, 20) if model == "cached" else dice.randint(0, 10_000)
    return np.arange(first, first + 3 * rows, dtype=np.float32).reshape(rows, 3)


def _check(model: str, values: np.ndarray, answer: np.ndarray) -> str:
    expected = values * MODELS[model].factor
    if not np.array_equal(answer, expected):
        raise WrongAnswerError(f"model {model}: {values.tolist()} gave {answer.tolist()}")
    return "answered"


def _asking(ask: Callable[[str, np.ndarray], np.ndarray]) -> Ask:
    """Ask any of the models; one that goes at times may be away."""

    def one(dice: random.Random) -> str:
        model = dice.choice(list(MODELS))
        values = _values(model, dice)
        try:
            return _check(model, values, ask(model, values))
        except (NotFoundError, UnavailableError, InferenceServerException) as error:
            status = error.status() if isinstance(error, InferenceServerException) else "503"
            if MODELS[model].goes and status in _GONE:
                return "model away"
            raise

    return one


@contextmanager
def in_process(place: Place) -> Iterator[Ask]:
    """Ask without a network."""
    yield _asking(lambda model, values: place.server.model(model).infer({"X": values})["Y"])


@contextmanager
def over_http(place: Place) -> Iterator[Ask]:
    """Ask over HTTP."""
    with triton_http.InferenceServerClient(place.http, network_timeout=_PATIENCE_SECONDS) as client:
        yield _asking(lambda model, values: client.infer(model, _inputs(triton_http, values)).as_numpy("Y"))


@contextmanager
def over_grpc(place: Place) -> Iterator[Ask]:
    """Ask over gRPC."""
    with triton_grpc.InferenceServerClient(place.grpc) as client:
        yield _asking(lambda model, values: client.infer(model, _inputs(triton_grpc, values)).as_numpy("Y"))


def _inputs(kind, values):
    tensor = kind.InferInput("X", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    return [tensor]


@contextmanager
def cancelling(place: Place) -> Iterator[Ask]:
    """Take requests back at once; each still has one final response."""

    def one(dice: random.Random) -> str:
        model = dice.choice([*MODELS, SLOW, SLOW])
        values = _values(model, dice)
        answers: queue.SimpleQueue = queue.SimpleQueue()
        request = InferenceRequest(model, {"X": values}, answers.put)
        try:
            place.server.submit(request)
        except (NotFoundError, UnavailableError):
            if not MODELS[model].goes:
                raise
            return "model away"
        request.cancel()
        answer = answers.get(timeout=_PATIENCE_SECONDS)
        if answer.error is None:
            return _check(model, values, answer["Y"])
        if isinstance(answer.error, CancelledError):
            return "cancelled"
        raise answer.error

    yield one


@contextmanager
def out_of_time(place: Place) -> Iterator[Ask]:
    """Ask with deadlines that are too short: the client's own, and that of a queue."""
    with triton_grpc.InferenceServerClient(place.grpc) as client:

        def one(dice: random.Random) -> str:
            if dice.random() < 0.5:
                try:
                    client.infer(SLOW, _inputs(triton_grpc, _values(SLOW, dice)), client_timeout=0.005)
                except InferenceServerException as error:
                    if error.status() not in {"StatusCode.DEADLINE_EXCEEDED", *_GONE}:
                        raise
                    return "out of time"
                return "answered"
            values = _values("merged_script", dice)
            try:
                answer = place.server.model("merged_script").infer({"X": values}, timeout_us=dice.randint(1, 2000))
            except UnavailableError:
                return "out of time"
            return _check("merged_script", values, answer["Y"])

        yield one


@contextmanager
def streaming(place: Place) -> Iterator[Ask]:
    """Ask for several responses, in process and over gRPC, and leave early at times."""
    answers: queue.SimpleQueue = queue.SimpleQueue()
    with triton_grpc.InferenceServerClient(place.grpc) as client:
        client.start_stream(lambda result, error: answers.put(error or result.as_numpy("Y")))

        def one(dice: random.Random) -> str:
            model = dice.choice(STREAMS)
            values = _values(model, dice)[:1]
            if dice.random() < 0.5:
                client.async_stream_infer(model, _inputs(triton_grpc, values))
                got = [answers.get(timeout=_PATIENCE_SECONDS) for _ in range(4)]
            else:
                with closing(place.server.model(model).stream({"X": values})) as stream:
                    if dice.random() < 0.3:
                        next(stream)
                        return "left early"
                    got = [response["Y"] for response in stream if response.outputs]
            if not np.array_equal(got, [values + number for number in range(4)]):
                raise WrongAnswerError(f"model {model}: {values.tolist()} gave {got}")
            return "answered"

        try:
            yield one
        finally:
            client.stop_stream()


@contextmanager
def in_sequences(place: Place) -> Iterator[Ask]:
    """Have what a sequence brings added up, in process and over gRPC; leave a sequence without an end at times."""
    numbers = itertools.count(threading.get_ident() % 2**32 * 2**20 + 1)
    with triton_grpc.InferenceServerClient(place.grpc) as client:

        def over_grpc(model: str, values: np.ndarray, **place_in: int) -> np.ndarray:
            return client.infer(model, _inputs(triton_grpc, values), **place_in).as_numpy("Y")

        def here(model: str, values: np.ndarray, **place_in: int) -> np.ndarray:
            return place.server.model(model).infer({"X": values}, **place_in)["Y"]

        def one(dice: random.Random) -> str:
            model, ask = dice.choice(SEQUENCES), dice.choice([here, over_grpc])
            number, length, left = next(numbers), dice.randint(2, 6), dice.random() < 0.01
            total = np.zeros((1, 3), np.float32)
            for step in range(length):
                values = np.full((1, 3), dice.randint(0, 1000), np.float32)
                total += values
                last = step == length - 1 and not left
                answer = ask(model, values, sequence_id=number, sequence_start=step == 0, sequence_end=last)
                if not np.array_equal(answer, total):
                    raise WrongAnswerError(f"model {model}, sequence {number}: {answer.tolist()}, not {total.tolist()}")
            return "left open" if left else "answered"

        yield one


@contextmanager
def reloading(place: Place) -> Iterator[Ask]:
    """Load models anew while they serve, and unload those that may go, and load them again."""

    def one(dice: random.Random) -> str:
        model = dice.choice([*MODELS, *STREAMS])
        goes = model in MODELS and MODELS[model].goes and dice.random() < 0.5
        if goes:
            place.server.unload(model)
        threading.Event().wait(dice.random() / 10)
        place.server.load(model)
        return "unloaded" if goes else "reloaded"

    yield one
    for model in MODELS:  # all are there at the end
        place.server.load(model)


TRAFFIC = {
    "in process": in_process,
    "in process, too": in_process,
    "over HTTP": over_http,
    "over HTTP, too": over_http,
    "over gRPC": over_grpc,
    "over gRPC, too": over_grpc,
    "cancelled": cancelling,
    "out of time": out_of_time,
    "streamed": streaming,
    "streamed, too": streaming,
    "sequences": in_sequences,
    "sequences, too": in_sequences,
    "loads": reloading,
}
"""The kinds of traffic, each of which has a thread. Another one joins by a line."""


def soak(seconds: float, repository: Path) -> SoakReport:
    """Serve the models, let all traffic at them for so long, and tell what came of it."""
    write_models(repository)
    report = SoakReport()
    options = charonia.ServerOptions(
        cache_config={"local": {"size": str(2**16)}},
        rate_limit="execution_count",
        rate_limit_resource=[SHARED],
        warmup_batch_sizes=[1, 4],
    )
    over = threading.Event()
    with (
        charonia.Server(repository, options=options) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0, "allow-metrics": False}) as urls,
        ExitStack() as joined,
    ):
        addresses = dict(url.split("://") for url in urls)
        place = Place(server, addresses["http"], addresses["grpc"])
        for seed, (kind, traffic) in enumerate(TRAFFIC.items()):
            thread = threading.Thread(
                target=_drive, args=(kind, traffic, place, seed, over, report), name=f"soak-{kind}"
            )
            thread.start()
            joined.callback(thread.join)
        joined.callback(over.set)
        process = psutil.Process()
        for _ in range(int(seconds / _SAMPLE_SECONDS)):
            over.wait(_SAMPLE_SECONDS)
            report.rss_bytes.append(process.memory_info().rss)
        joined.close()
        report.unanswered = _unanswered(server)
    return report


def _unanswered(server: charonia.Server) -> int:
    """Count the requests in progress, once those whose clients have left early have had the time to end."""
    pause, end = threading.Event(), time.monotonic() + _PATIENCE_SECONDS
    while (count := sum(row.counters.in_flight for row in server.statistics())) and time.monotonic() < end:
        pause.wait(_SAMPLE_SECONDS)
    return count


def _drive(kind: str, traffic, place: Place, seed: int, over: threading.Event, report: SoakReport) -> None:
    """Keep one kind of traffic going. What must not happen is noted, and the traffic goes on."""
    dice = random.Random(seed)
    try:
        with traffic(place) as one:
            while not over.is_set():
                try:
                    report.ended[kind, one(dice)] += 1
                except Exception:  # noqa: BLE001 - whatever it is, the report tells it
                    report.failures.append(f"{kind}: {traceback.format_exc()}")
    except Exception:  # noqa: BLE001 - likewise
        report.failures.append(f"{kind}: {traceback.format_exc()}")


def main() -> int:
    """Soak, and print the report."""
    parser = argparse.ArgumentParser(description="Mixed traffic for as long as one likes.")
    parser.add_argument("--seconds", type=float, default=600, help="how long (600)")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = soak(told.seconds, Path(folder))
    print(report)  # noqa: T201 - a program that tells its result
    return 1 if report.failures or report.unanswered else 0


if __name__ == "__main__":
    sys.exit(main())
