"""A model on the test bench: a backend's three classes at work, without a server around them."""

from __future__ import annotations

import dataclasses
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import numpy as np

from charonia.backend import Batch, Device, InstanceContext, ModelContext
from charonia.request import InferenceRequest
from charonia.signature import Signature
from charonia.statistics import ModelStatistics
from charonia.testing.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from charonia.backend import Backend, Execution
    from charonia.config import ModelConfig
    from charonia.request import InferenceResponse
    from charonia.tensor import Array

__all__ = ["Bench", "Sample", "assert_answer"]

_INSTANCES = 2


@dataclasses.dataclass(frozen=True)
class Sample:
    """A request and its answer. Where the model batches, all arrays have the batch dimension in front.

    Attributes:
        inputs: by name.
        outputs: all outputs of the model, by name, as they must be.
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


class Bench:
    """One loaded model with two instances on the CPU. A context manager, which loads and closes.

    Args:
        backend: the class.
        config: the model's configuration, complete and normalised.
        directory: the model's directory.
    """

    def __init__(self, backend: type[Backend], config: ModelConfig, directory: Path) -> None:
        self._kind = backend
        self._context = ModelContext(config.name, 1, directory, config)
        self._signature = Signature(config)
        self._opened = ExitStack()
        self._executions: list[Execution] = []

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            backend = self._kind({})
            opened.callback(backend.close)
            loaded = backend.load(self._context)
            opened.callback(loaded.close)
            for index in range(_INSTANCES):
                context = InstanceContext(f"{self._context.name}_0_{index}", Device("CPU"), self._context, _INSTANCES)
                execution = loaded.instantiate(context)
                opened.callback(execution.close)
                self._executions.append(execution)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def batches(self, samples: Sequence[Sample]) -> list[list[Sample]]:
        """Sort samples into batches as large as the model takes them; of one each where it does not batch."""
        batches: list[list[Sample]] = []
        room = 0
        for sample in samples:
            size = self._request(sample.inputs, _Answers()).batch_size
            if not batches or size > room:
                batches.append([])
                room = max(self._signature.max_batch_size, size)
            batches[-1].append(sample)
            room = room - size if self._signature.max_batch_size else 0
        return batches

    def execute(self, instance: int, requests: Sequence[Mapping[str, Array]]) -> list[InferenceResponse]:
        """Have an instance execute requests as one batch, and give the response of each."""
        answers = [_Answers() for _ in requests]
        made = [self._request(inputs, sink) for inputs, sink in zip(requests, answers, strict=True)]
        execution = self._executions[instance]
        execution.execute(Batch(made, ModelStatistics()))
        if execution.answers_late:
            for answer in answers:
                answer.complete.wait(PATIENCE_SECONDS)
        assert [len(answer.responses) for answer in answers] == [1] * len(answers), (
            "a request was not answered exactly once"
        )
        return [answer.responses[0] for answer in answers]

    def _request(self, inputs: Mapping[str, Array], sink: _Answers) -> InferenceRequest:
        request = InferenceRequest(self._context.name, inputs, sink)
        self._signature.check(request)
        return request


class _Answers:
    """What comes in answer to a request."""

    def __init__(self) -> None:
        self.responses: list[InferenceResponse] = []
        self.complete = threading.Event()

    def __call__(self, response: InferenceResponse) -> None:
        self.responses.append(response)
        if response.final:
            self.complete.set()


def assert_answer(sample: Sample, response: InferenceResponse, tolerance: float) -> None:
    """Assert that a response has the outputs of a sample, by shape, datatype and value."""
    assert response.error is None, response.error
    assert set(response.outputs) == set(sample.outputs)
    for name, expected in sample.outputs.items():
        actual = np.asarray(response[name])
        assert actual.shape == expected.shape, f"output {name}"
        assert actual.dtype == expected.dtype, f"output {name}"
        if expected.dtype.kind in "OSb":
            np.testing.assert_array_equal(actual, expected, err_msg=name)
        else:
            kind = np.float64 if expected.dtype.kind not in "iu" else expected.dtype
            np.testing.assert_allclose(
                actual.astype(kind), expected.astype(kind), rtol=tolerance, atol=tolerance, err_msg=name
            )
