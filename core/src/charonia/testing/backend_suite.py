"""The standard tests of a backend."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from google.protobuf import json_format

from charonia.config import ModelConfig, check_loadable
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError, NotFoundError
from charonia.options import ServerOptions
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.server import Server
from charonia.testing.backend_bench import Bench, Sample, assert_answer
from charonia.testing.patience import PATIENCE_SECONDS
from charonia.testing.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from charonia.request import InferenceResponse
    from charonia.signature import TensorSpec
    from charonia.tensor import Array

__all__ = ["BackendSuite", "Sample"]


class BackendSuite(Suite):
    """What every backend must keep to.

        class TestMyBackend(BackendSuite):
            backend = "mine"

            def write_model(self, repository, name):
                write_model(repository, model_config(name, backend="mine"), {"1/model.mine": MODEL})

            def write_broken_model(self, repository, name):
                write_model(repository, model_config(name, backend="mine"), {"1/model.mine": b"?"})

            def samples(self):
                return [Sample({"INPUT0": x}, {"OUTPUT0": 2 * x}) for x in (ONES, TWOS)]

    The model answers each request once. If it batches, so do the tests. Test what is special about a backend in tests of its
    own beside these.
    """

    backend: ClassVar[str]
    """The backend's name."""

    plugin: ClassVar[object | None] = None
    """The plugin's module, where it is not installed."""

    tolerance: ClassVar[float] = 1e-5
    """How far, relatively, numbers may be from those that are expected."""

    def write_model(self, repository: Path, name: str) -> None:
        """Write a good model of that name into the repository, with one version, 1."""
        raise NotImplementedError(f"{type(self).__name__} must define write_model")

    def write_broken_model(self, repository: Path, name: str) -> None:
        """Write a model of that name, with one version, 1, that must fail to load: a corrupt file, say."""
        raise NotImplementedError(f"{type(self).__name__} must define write_broken_model")

    def samples(self) -> Sequence[Sample]:
        """Give at least two requests with different answers, and equal shapes but for the batch dimension."""
        raise NotImplementedError(f"{type(self).__name__} must define samples")

    def failing_inputs(self) -> Mapping[str, Array] | None:
        """Give inputs that fit the model's signature, and fail when it executes them. None if there are no such inputs."""
        return None

    # -- fixtures

    def plugins(self) -> Plugins:
        """Give the plugins that the tests use."""
        return Plugins(extra=() if self.plugin is None else (self.plugin,))

    @pytest.fixture
    def good_server(self, model_repository: Path, no_surviving_threads: None) -> Iterator[Server]:
        """Serve the good model under the name "good"."""
        del no_surviving_threads
        self.write_model(model_repository, "good")
        with Server(model_repository, plugins=self.plugins()) as server:
            yield server

    @pytest.fixture
    def bench(self, good_server: Server, model_repository: Path) -> Iterator[Bench]:
        """Load the good model once more, with no server around it, with two instances."""
        backend = self.plugins().backend(self.backend, asker="the suite")
        with Bench(backend, good_server.model_config("good"), model_repository / "good") as bench:
            yield bench

    # -- loading

    def test_model_loads_and_is_ready(self, good_server: Server) -> None:
        """The good model serves, with this backend, and its signature is complete."""
        assert good_server.model_ready("good")
        config = good_server.model_config("good")
        assert config.backend == self.backend
        assert not check_loadable(config, gpus=())
        assert config.input
        assert config.output

    def test_samples_fit_their_purpose(self, good_server: Server) -> None:
        """There are two samples or more, whose answers differ, for the inputs and outputs that the model has."""
        signature = good_server.get("good").signature
        samples = self.samples()
        assert len(samples) > 1, "give two samples or more, so that answers that are mixed up show"
        for sample in samples:
            assert set(sample.inputs) <= set(signature.inputs)
            assert set(sample.outputs) == set(signature.outputs)

    def test_bare_model_gets_its_true_signature_or_none(self, model_repository: Path) -> None:
        """Without tensors in its configuration, a model serves with the right ones or with none, or fails with a reason."""
        self.write_model(model_repository, "full")
        self.write_model(model_repository, "bare")
        for file in (model_repository / "bare").glob("config.*"):
            file.unlink()
        (model_repository / "bare" / "config.pbtxt").write_text(f'backend: "{self.backend}"')
        with Server(model_repository, options=ServerOptions(exit_on_error=False), plugins=self.plugins()) as server:
            if not server.model("bare").ready:
                assert _reason(server, "bare")
                return
            bare, full = server.get("bare").signature, server.get("full").signature
            for completed, written in ((bare.inputs, full.inputs), (bare.outputs, full.outputs)):
                assert _datatypes(completed) in ({}, _datatypes(written))

    def test_broken_model_fails_with_a_reason_and_others_serve(self, model_repository: Path) -> None:
        """A model that cannot be loaded tells why, and the good one answers nevertheless."""
        self.write_model(model_repository, "good")
        self.write_broken_model(model_repository, "broken")
        with Server(model_repository, options=ServerOptions(exit_on_error=False), plugins=self.plugins()) as server:
            assert not server.model("broken").ready
            assert _reason(server, "broken")
            self._check(server, self.samples()[0])

    def test_unload_takes_the_model_away_and_load_brings_it_back(self, good_server: Server) -> None:
        """After an unload nobody is answered; after a load everybody is."""
        for _ in range(2):
            good_server.unload("good")
            assert not good_server.model("good").ready
            with pytest.raises(NotFoundError):
                good_server.model("good").infer(self.samples()[0].inputs)
            good_server.load("good")
            self._check(good_server, self.samples()[0])

    def test_load_replaces_the_model_that_serves(self, good_server: Server) -> None:
        """A second load, beside the model that serves, is possible and leaves a model that answers."""
        good_server.load("good")
        for sample in self.samples():
            self._check(good_server, sample)

    def test_no_thread_is_left_behind(self, model_repository: Path) -> None:
        """When the server is closed, and closed again, the backend's own Python threads have ended, too."""
        self.write_model(model_repository, "good")
        before = set(threading.enumerate())
        with Server(model_repository, plugins=self.plugins()) as server:
            self._check(server, self.samples()[0])
        server.close()
        left = [thread for thread in threading.enumerate() if thread not in before]
        for thread in left:
            thread.join(PATIENCE_SECONDS)
        assert [thread.name for thread in left if thread.is_alive()] == []

    # -- answering

    def test_each_sample_is_answered_right(self, good_server: Server) -> None:
        """Each request alone has the expected outputs, also when it comes again."""
        for sample in [*self.samples(), *self.samples()]:
            self._check(good_server, sample)

    def test_answers_have_the_datatypes_and_ranks_of_the_signature(self, good_server: Server) -> None:
        """What comes out is what the model's metadata promises."""
        outputs = good_server.get("good").signature.outputs
        for sample in self.samples():
            answer = good_server.model("good").infer(sample.inputs)
            for name, spec in outputs.items():
                assert DataType.of_dtype(np.asarray(answer[name]).dtype) is spec.datatype
                assert len(answer[name].shape) == len(spec.shape)

    def test_only_requested_outputs_come_back(self, good_server: Server) -> None:
        """A request that names one output gets that one."""
        sample = self.samples()[0]
        for name in sample.outputs:
            answer = good_server.model("good").infer(sample.inputs, outputs=[name])
            assert list(answer.outputs) == [name]

    def test_requests_of_one_batch_get_their_own_answers(self, bench: Bench) -> None:
        """Several requests that are executed together are answered each by its own; one by one where the model has no batch."""
        samples = [*self.samples(), *self.samples()]
        batches = bench.batches(samples)
        for batch in batches:
            for sample, response in zip(batch, bench.execute(0, [sample.inputs for sample in batch]), strict=True):
                assert_answer(sample, response, self.tolerance)

    def test_instances_work_side_by_side(self, bench: Bench) -> None:
        """Two instances of one loaded model answer right at the same time."""

        def work(instance: int) -> None:
            for sample in list(self.samples()) * 5:
                (response,) = bench.execute(instance, [sample.inputs])
                assert_answer(sample, response, self.tolerance)

        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(work, instance) for instance in (0, 1)]:
                future.result(PATIENCE_SECONDS)

    def test_callers_from_several_threads_get_their_own_answers(self, good_server: Server) -> None:
        """Answers are not mixed up among callers."""
        samples = list(self.samples()) * 5
        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(self._check, good_server, sample) for sample in samples]:
                future.result(PATIENCE_SECONDS)

    def test_number_of_instances_changes_while_it_serves(self, good_server: Server) -> None:
        """Instances join with the weights that are there, and leave again, and callers are answered right all the time."""
        config = ModelConfig()
        config.CopyFrom(good_server.model_config("good"))
        good_server.load("good", config=json_format.MessageToJson(config, preserving_proto_field_name=True))
        model = good_server.get("good")
        samples = list(self.samples())
        with ThreadPoolExecutor(3) as pool:
            for count in (3, 1, 2):
                for group in config.instance_group:
                    group.count = count
                answers = [pool.submit(self._check, good_server, sample) for sample in samples * 5]
                good_server.load("good", config=json_format.MessageToJson(config, preserving_proto_field_name=True))
                for answer in answers:
                    answer.result(PATIENCE_SECONDS)
        assert good_server.get("good") is model

    # -- refusing and failing

    def test_wrong_datatype_is_refused_before_the_backend_sees_it(self, good_server: Server) -> None:
        """An input of another datatype is the caller's fault, and nothing is executed."""
        for name, array in self.samples()[0].inputs.items():
            wrong = np.int64 if array.dtype == np.int16 else np.int16
            self._check_refused(good_server, {**self.samples()[0].inputs, name: np.zeros(array.shape, wrong)})

    def test_wrong_shape_is_refused_before_the_backend_sees_it(self, good_server: Server) -> None:
        """An input with a dimension too much is the caller's fault, and nothing is executed."""
        for name, array in self.samples()[0].inputs.items():
            self._check_refused(good_server, {**self.samples()[0].inputs, name: array[..., np.newaxis]})

    def test_unknown_input_is_refused_before_the_backend_sees_it(self, good_server: Server) -> None:
        """An input that the model does not have is the caller's fault, and nothing is executed."""
        self._check_refused(good_server, {**self.samples()[0].inputs, "no such input": np.zeros(1, np.float32)})

    def test_failing_execution_answers_its_request_and_the_instance_goes_on(self, good_server: Server) -> None:
        """What fails is answered with an error; the next request, on the same instance, with its outputs."""
        inputs = self.failing_inputs()
        if inputs is None:
            pytest.skip("failing_inputs() gives none for this backend")
        for _ in range(2):
            response = _ask(good_server, inputs)
            assert response.error is not None
            assert str(response.error)
            self._check(good_server, self.samples()[0])

    def _check(self, server: Server, sample: Sample) -> None:
        assert_answer(sample, server.model("good").infer(sample.inputs), self.tolerance)

    def _check_refused(self, server: Server, inputs: Mapping[str, Array]) -> None:
        before = server.model("good").statistics().execution_count
        with pytest.raises(InvalidArgumentError):
            _ask(server, inputs)
        assert server.model("good").statistics().execution_count == before


def _ask(server: Server, inputs: Mapping[str, Array]) -> InferenceResponse:
    """Submit a request as a frontend does, without the conversions of the in-process API."""
    answers: queue.SimpleQueue[InferenceResponse] = queue.SimpleQueue()
    server.submit(InferenceRequest("good", inputs, answers.put))
    return answers.get(timeout=PATIENCE_SECONDS)


def _datatypes(tensors: Mapping[str, TensorSpec]) -> dict[str, DataType]:
    return {name: tensor.datatype for name, tensor in tensors.items()}


def _reason(server: Server, name: str) -> str:
    return next(row.reason for row in server.index() if row.name == name)
