"""Traces of requests: what is asked when, how a server is asked, and what became of it.

A server is asked over gRPC. The model itself tells which requests were executed together (see `recorder.py`), so that any server
can be observed from outside.
"""

from __future__ import annotations

import queue
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tritonclient.grpc
from steady_clock import sleep_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.clock import Clock

RECORDER = Path(__file__).with_name("recorder.py")
PATIENCE_SECONDS = 60.0

_PARTS = """
name: "{name}"
backend: "python"
max_batch_size: {most}
input [ {{ name: "HOLD" data_type: TYPE_INT32 dims: [ 1 ] }} ]
output [ {{ name: "RUN" data_type: TYPE_INT32 dims: [ -1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
model_transaction_policy {{ decoupled: {decoupled} }}
"""

_ENSEMBLE = """
name: "{name}"
platform: "ensemble"
max_batch_size: {most}
input [ {{ name: "HOLD" data_type: TYPE_INT32 dims: [ 1 ] }} ]
output [ {{ name: "RUN" data_type: TYPE_INT32 dims: [ -1 ] }} ]
ensemble_scheduling {{
  step [
    {{
      model_name: "{step}"
      model_version: -1
      input_map {{ key: "HOLD" value: "HOLD" }}
      output_map {{ key: "RUN" value: "RUN" }}
    }}
  ]
}}
"""


@dataclass(frozen=True)
class Ask:
    """A request of a trace.

    Attributes:
        at: when it is sent, in milliseconds after the trace's beginning.
        hold: how long the execution that it is in takes at least, in milliseconds; the first one, if there are several.
        batch: its batch size.
        width: the size of its input X; None leaves the input out.
        turns: in how many executions it wants to be, where its model has iterative sequences; None leaves the input out.
        options: what else it says, as `InferenceServerClient.async_infer` takes it: `priority`, `timeout`, `sequence_id`, …
    """

    at: int
    hold: int = 0
    batch: int = 1
    width: int | None = None
    options: dict[str, object] = field(default_factory=dict)
    turns: int | None = None


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
        decoupled: whether each turn of a request is told by itself.
        ensemble: whether the model is the step of an ensemble, which is asked in its place.
        by_chance: which executions the reference has as often as the declared ones, where its threads race; this server has those
            that are declared.
    """

    name: str
    config: str
    asks: list[Ask]
    executions: list[list[int | None]]
    errors: dict[int, str] = field(default_factory=dict)
    most: int = 8
    instances: int = 1
    decoupled: bool = False
    ensemble: bool = False
    by_chance: list[list[int | None]] | None = None

    @property
    def model(self) -> str:
        """The name of the model that is asked."""
        return self.name.replace(" ", "_")

    def write_model(self, repository: Path) -> None:
        """Write the model into a repository, and its ensemble if there is one."""
        name = f"{self.model}_step" if self.ensemble else self.model
        version = repository / name / "1"
        version.mkdir(parents=True)
        decoupled = str(self.decoupled).lower()
        parts = _PARTS.format(name=name, most=self.most, instances=self.instances, decoupled=decoupled)
        (version.parent / "config.pbtxt").write_text(parts + self.config)
        (version / "model.py").write_text(RECORDER.read_text())
        if self.ensemble:
            (repository / self.model / "1").mkdir(parents=True)
            composed = _ENSEMBLE.format(name=self.model, most=self.most, step=name)
            (repository / self.model / "config.pbtxt").write_text(composed)

    def play(self, address: str, clock: Clock) -> tuple[list[list[int | None]], dict[int, str]]:
        """Send the requests to a server at their times, by a clock, and give its executions and errors, as they are declared above."""
        answers: queue.SimpleQueue[tuple[int, np.ndarray, str]] = queue.SimpleQueue()
        with tritonclient.grpc.InferenceServerClient(address) as client:
            ask = self._asking_by_stream(client, answers) if self.decoupled else self._asking(client, answers)
            self._ask_all(ask, clock)
            expected = sum(ask.turns or 1 for ask in self.asks) if self.decoupled else len(self.asks)
            return _outcome([answers.get(timeout=PATIENCE_SECONDS) for _ in range(expected)])

    def _ask_all(self, ask_at: Callable[[int, Ask], None], clock: Clock) -> None:
        begun_ns = clock.now_ns()
        for place, ask in enumerate(self.asks):
            sleep_until(clock, begun_ns + ask.at * 1_000_000)
            ask_at(place, ask)

    def _asking(
        self, client: tritonclient.grpc.InferenceServerClient, answers: queue.SimpleQueue[tuple[int, np.ndarray, str]]
    ) -> Callable[[int, Ask], None]:
        """Ask by a call for each request."""

        def ask_at(place: int, ask: Ask) -> None:
            def take(result: object, error: object) -> None:
                answers.put((place, None, error.message()) if error else (place, result.as_numpy("RUN"), ""))

            client.async_infer(self.model, self._inputs(ask), take, client_timeout=PATIENCE_SECONDS, **ask.options)

        return ask_at

    def _asking_by_stream(
        self, client: tritonclient.grpc.InferenceServerClient, answers: queue.SimpleQueue[tuple[int, np.ndarray, str]]
    ) -> Callable[[int, Ask], None]:
        """Ask by one stream, which the client closes. No request of such a trace fails."""

        def take(result: object, error: object) -> None:
            if result is not None:
                answers.put((int(result.get_response().id), result.as_numpy("RUN"), ""))

        client.start_stream(take)
        return lambda place, ask: client.async_stream_infer(
            self.model, self._inputs(ask), request_id=str(place), **ask.options
        )

    def _inputs(self, ask: Ask) -> list[tritonclient.grpc.InferInput]:
        lead = [ask.batch] if self.most else []
        inputs = [_input("HOLD", np.full([*lead, 1], ask.hold, np.int32))]
        if ask.width is not None:
            inputs.append(_input("X", np.zeros([*lead, ask.width], np.int32)))
        if ask.turns is not None:
            inputs.append(_input("TURNS", np.full([*lead, 1], ask.turns, np.int32)))
        return inputs


def _input(name: str, array: np.ndarray) -> tritonclient.grpc.InferInput:
    tensor = tritonclient.grpc.InferInput(name, array.shape, "INT32")
    tensor.set_data_from_numpy(array)
    return tensor


def _outcome(answers: list[tuple[int, np.ndarray | None, str]]) -> tuple[list[list[int | None]], dict[int, str]]:
    runs: dict[tuple[int, int], dict[int, int]] = {}
    errors = {}
    for place, told, error in answers:
        if told is None:
            errors[place] = error
            continue
        for instance, number, position in np.atleast_2d(told)[0].reshape(-1, 3).tolist():
            runs.setdefault((instance, number), {})[position] = place
    executions = [[run.get(position) for position in range(max(run) + 1)] for _, run in sorted(runs.items())]
    several = len({instance for instance, _ in runs}) > 1
    in_order = sorted(executions, key=lambda run: min(place for place in run if place is not None))
    return in_order if several else executions, dict(sorted(errors.items()))
