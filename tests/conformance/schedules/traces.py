"""Traces of requests: what is asked when, how a server is asked, and what became of it.

A server is asked over gRPC. The model itself tells which requests were executed together (see `recorder.py`), so that any server
can be observed from outside.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tritonclient.grpc

RECORDER = Path(__file__).with_name("recorder.py")
PATIENCE_SECONDS = 60.0

_PARTS = """
name: "{name}"
backend: "python"
max_batch_size: {most}
input [ {{ name: "HOLD" data_type: TYPE_INT32 dims: [ 1 ] }} ]
output [ {{ name: "RUN" data_type: TYPE_INT32 dims: [ 3 ] }} ]
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
"""


@dataclass(frozen=True)
class Ask:
    """A request of a trace.

    Attributes:
        at: when it is sent, in milliseconds after the trace's beginning.
        hold: how long the execution that it is in takes at least, in milliseconds.
        batch: its batch size.
        width: the size of its input X; None leaves the input out.
        options: what else it says, as `InferenceServerClient.async_infer` takes it: `priority`, `timeout`, `sequence_id`, …
    """

    at: int
    hold: int = 0
    batch: int = 1
    width: int | None = None
    options: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """A configuration and a trace.

    Attributes:
        name: what it shows; also the model's name, with underscores.
        config: what the model's configuration says beside its tensors and instances.
        asks: the trace.
        executions: which requests are executed together, by their places in the trace; None is a place of the batch without a
            request. In the order of the executions where the model has one instance, else sorted.
        errors: by place, what requests are answered that are not executed.
        most: the model's max_batch_size.
        instances: how many the model has.
    """

    name: str
    config: str
    asks: list[Ask]
    executions: list[list[int | None]]
    errors: dict[int, str] = field(default_factory=dict)
    most: int = 8
    instances: int = 1

    @property
    def model(self) -> str:
        """The model's name."""
        return self.name.replace(" ", "_")

    def write_model(self, repository: Path) -> None:
        """Write the model into a repository."""
        version = repository / self.model / "1"
        version.mkdir(parents=True)
        parts = _PARTS.format(name=self.model, most=self.most, instances=self.instances)
        (version.parent / "config.pbtxt").write_text(parts + self.config)
        (version / "model.py").write_text(RECORDER.read_text())

    def play(self, address: str) -> tuple[list[list[int | None]], dict[int, str]]:
        """Send the requests to a server at their times, and give its executions and errors, as they are declared above."""
        answers: queue.SimpleQueue[tuple[int, object, object]] = queue.SimpleQueue()
        pause = threading.Event()
        with tritonclient.grpc.InferenceServerClient(address) as client:
            begun = time.monotonic()
            for place, ask in enumerate(self.asks):
                pause.wait(max(0.0, begun + ask.at / 1000 - time.monotonic()))
                client.async_infer(
                    self.model,
                    self._inputs(ask),
                    lambda result, error, place=place: answers.put((place, result, error)),
                    client_timeout=PATIENCE_SECONDS,
                    **ask.options,
                )
            return _outcome([answers.get(timeout=PATIENCE_SECONDS) for _ in self.asks])

    def _inputs(self, ask: Ask) -> list[tritonclient.grpc.InferInput]:
        lead = [ask.batch] if self.most else []
        inputs = [_input("HOLD", np.full([*lead, 1], ask.hold, np.int32))]
        if ask.width is not None:
            inputs.append(_input("X", np.zeros([*lead, ask.width], np.int32)))
        return inputs


def _input(name: str, array: np.ndarray) -> tritonclient.grpc.InferInput:
    tensor = tritonclient.grpc.InferInput(name, array.shape, "INT32")
    tensor.set_data_from_numpy(array)
    return tensor


def _outcome(answers: list[tuple[int, object, object]]) -> tuple[list[list[int | None]], dict[int, str]]:
    runs: dict[tuple[int, int], dict[int, int]] = {}
    errors = {}
    for place, result, error in answers:
        if error is not None:
            errors[place] = error.message()
            continue
        instance, number, position = result.as_numpy("RUN").reshape(-1, 3)[0].tolist()
        runs.setdefault((instance, number), {})[position] = place
    executions = [[run.get(position) for position in range(max(run) + 1)] for _, run in sorted(runs.items())]
    several = len({instance for instance, _ in runs}) > 1
    in_order = sorted(executions, key=lambda run: min(place for place in run if place is not None))
    return in_order if several else executions, dict(sorted(errors.items()))
