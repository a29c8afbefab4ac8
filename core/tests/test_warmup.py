"""Warm-up: what the configuration asks for, and what a server makes up; on every instance, before the model is ready."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.backend import ArrayExecution, LoadedModel, ModelContext
from charonia.default_scheduler import DefaultScheduler
from charonia.errors import InvalidArgumentError, RepositoryError
from charonia.instances import Instances
from charonia.model import Model
from charonia.plugins import Plugins
from charonia.promptness import Promptness
from charonia.statistics import ModelStatistics
from charonia.testing.builders import model_config, scheduler_context, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia.warmup import synthetic_samples, warmup_samples


class Recorder(ArrayExecution):
    """Gives what it got, remembers it, and fails where the input is negative."""

    def __init__(self, context):
        super().__init__(context)
        self.batches = []

    def execute(self, batch):
        self.batches.append([dict(request.inputs) for request in batch.requests])
        super().execute(batch)

    def run(self, inputs):
        if (inputs["X"] < 0).any():
            raise ValueError("negative")
        return {"Y": inputs["X"]}


class Weights(LoadedModel):
    """Makes executions of a kind, and keeps them."""

    def __init__(self, context, execution):
        super().__init__(context)
        self._execution = execution
        self.executions = []

    def instantiate(self, context):
        self.executions.append(self._execution(context))
        return self.executions[-1]


def config_of(**sample):
    """A model with one sample, and the data of the sample's one input."""
    config = model_config("m", inputs=[("X", "FP32", [2])], outputs=[("Y", "FP32", [2])])
    config.instance_group.add(name="m_0", kind="KIND_CPU", count=2)
    warmup = config.model_warmup.add(name="w", **sample)
    warmup.inputs["X"].data_type = 11
    warmup.inputs["X"].dims.append(2)
    return config, warmup.inputs["X"]


@pytest.fixture
def warm(tmp_path):
    """Warm a model up: `warm(config)` gives the model and its executions; with `samples`, these are taken."""
    models = []

    def warm(config, execution=Recorder, samples=None):
        context = ModelContext("m", 1, Path(), config)
        statistics, scheduler = ModelStatistics(), DefaultScheduler(scheduler_context(config))
        loaded = Weights(context, execution)
        instances = Instances(loaded, scheduler, statistics, Promptness())
        model = Model(config, 1, loaded=loaded, scheduler=scheduler, instances=instances, statistics=statistics)
        models.append(model)
        lineup = model.prepare(context)
        try:
            model.warm_up(warmup_samples(config, tmp_path) if samples is None else samples, lineup)
        finally:
            model.use(lineup)
        return model, loaded.executions

    yield warm
    for model in models:
        assert model.close(30)


def test_every_sample_runs_on_every_instance(warm):
    """A sample of batch size 2 and count 3 is 3 executions of 2 requests on each of 2 instances, all counted."""
    config, data = config_of(batch_size=2, count=3)
    data.zero_data = True
    model, executions = warm(config)
    counted = model.snapshot()
    assert (counted.execution_count, counted.success.count) == (6, 12)
    assert [[len(batch) for batch in execution.batches] for execution in executions] == [[2, 2, 2], [2, 2, 2]]


def test_files_are_read_and_what_is_too_much_ignored(tmp_path):
    """Data from a file is used as far as it is needed; too little is an error that tells both sizes."""
    config, data = config_of(batch_size=1)
    data.input_data_file = "x.bin"
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "x.bin").write_bytes(np.array([1, 2, 3], np.float32).tobytes())
    (sample,) = warmup_samples(config, tmp_path)
    assert sample.inputs["X"].tolist() == [[1.0, 2.0]]
    (tmp_path / "warmup" / "x.bin").write_bytes(b"abcd")
    with pytest.raises(InvalidArgumentError, match=r"expects 8 bytes, but the data provided from x\.bin has 4 bytes"):
        warmup_samples(config, tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd"])
def test_a_file_stays_in_its_folder(tmp_path, name):
    """A data file outside the folder `warmup` is refused."""
    config, data = config_of(batch_size=1)
    data.input_data_file = name
    with pytest.raises(InvalidArgumentError, match="outside"):
        warmup_samples(config, tmp_path)


@pytest.mark.parametrize("datatype", [2, 5, 8, 1, 10, 11, 13])
def test_random_data_is_the_same_at_every_load(tmp_path, datatype):
    """Random data has the datatype and the shape that the sample says, and can be had again; texts are empty."""
    config, data = config_of(batch_size=1)
    data.random_data, data.data_type = True, datatype
    (first,), (second,) = warmup_samples(config, tmp_path), warmup_samples(config, tmp_path)
    assert first.inputs["X"].shape == (1, 2)
    assert np.array_equal(first.inputs["X"], second.inputs["X"])
    if datatype == 13:
        assert first.inputs["X"].tolist() == [[b"", b""]]


def test_a_failing_sample_is_named(tmp_path, warm):
    """A sample that the model cannot execute is named, with the reason."""
    config, data = config_of(batch_size=1)
    data.input_data_file = "x.bin"
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "x.bin").write_bytes(np.array([-1, 2], np.float32).tobytes())
    with pytest.raises(InvalidArgumentError, match="failed to run warmup sample 'w': ValueError: negative"):
        warm(config)


def test_late_answers_are_waited_for(warm):
    """A model is not ready before its warm-up is answered, also where the answer comes from another thread, and fails there."""

    class Late(Recorder):
        answers_late = True

        def execute(self, batch):
            threading.Thread(target=batch.requests[0].fail, args=(ValueError("too late"),)).start()

    config, data = config_of(batch_size=1)
    data.zero_data = True
    with pytest.raises(InvalidArgumentError, match="failed to run warmup sample 'w': ValueError: too late"):
        warm(config, Late)


def test_one_turn_warms_up(warm):
    """A model that wants to have a request again has been warmed up by having it once."""

    class Again(Recorder):
        def execute(self, batch):
            batch.respond_all([None])

    config, data = config_of(batch_size=1)
    data.zero_data = True
    model, executions = warm(config, Again)
    assert model.snapshot().execution_count == len(executions)


def test_too_large_a_batch_is_refused(tmp_path):
    """A sample cannot ask for more than the model's max_batch_size."""
    config, data = config_of(batch_size=9)
    data.zero_data = True
    with pytest.raises(InvalidArgumentError, match="takes at most 8"):
        warmup_samples(config, tmp_path)


def test_batch_size_nought_is_skipped_and_told(tmp_path, caplog):
    """A sample of batch size 0 is none, and the log says so."""
    config, data = config_of(batch_size=0)
    data.zero_data = True
    with caplog.at_level(logging.INFO, "charonia.warmup"):
        assert warmup_samples(config, tmp_path) == []
    assert "model 'm': warmup sample 'w' is skipped, its batch_size is 0" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": [-1]}, "all variable-size dimensions are specified for input 'X'"),
        ({"data_type": 0}, "expects input 'X' to have a data_type"),
        (
            {"zero_data": None},
            r"^\[request id: <id_unknown>\] warmup setting expects input 'X' to have input_data_type set$",
        ),
    ],
)
def test_what_a_sample_leaves_open_is_an_error(tmp_path, change, message):
    """A sample must say all about an input."""
    config, data = config_of(batch_size=1)
    data.zero_data = True
    for field, value in change.items():
        if value is None:
            data.ClearField(field)
        elif isinstance(value, list):
            data.dims[:] = value
        else:
            setattr(data, field, value)
    with pytest.raises(InvalidArgumentError, match=message):
        warmup_samples(config, tmp_path)


def sequence_config():
    """A model of sequences, with a control and a state, and no sample."""
    config, _ = config_of()
    del config.model_warmup[:]
    config.sequence_batching.control_input.add(name="START").control.add(kind=0, int32_false_true=[0, 1])
    config.sequence_batching.control_input.add(name="ID").control.add(kind=3, data_type="TYPE_UINT64")
    config.sequence_batching.state.add(input_name="S_IN", output_name="S_OUT", data_type="TYPE_FP16", dims=[3, -1])
    return config


def test_controls_and_states_may_be_given_by_name(warm):
    """A sample of a model of sequences says what a client cannot: the execution sees it, and nobody refuses it."""
    config = sequence_config()
    sample = config.model_warmup.add(name="first", batch_size=2)
    for name, number, dims in (("X", 11, [2]), ("START", 8, [1]), ("S_IN", 10, [3, 4])):
        sample.inputs[name].data_type = number
        sample.inputs[name].dims.extend(dims)
        sample.inputs[name].zero_data = True
    _, executions = warm(config)
    for execution in executions:
        ((first, second),) = execution.batches
        assert {name: (str(it.dtype), it.shape) for name, it in first.items()} == {
            "X": ("float32", (1, 2)),
            "START": ("int32", (1, 1)),
            "S_IN": ("float16", (1, 3, 4)),
        }
        assert second.keys() == first.keys()


def test_an_input_that_there_is_not_is_refused(warm):
    """A name that is neither an input nor a sequence's own is an error, as in a request."""
    config, data = config_of(batch_size=1)
    data.zero_data = True
    config.model_warmup[0].inputs["START"].CopyFrom(data)
    with pytest.raises(InvalidArgumentError, match="expected 1 inputs but got 2 inputs for model 'm'"):
        warm(config)


def test_samples_are_made_up_for_each_batch_size(warm):
    """Without a configuration, zeros run in batches of the sizes asked for, at most the model's greatest, controls included."""
    config = sequence_config()
    config.input[0].dims[:] = [-1]
    samples = synthetic_samples(config, [4, 1, 100, 200])
    assert [sample.batch_size for sample in samples] == [1, 4, 8]
    _, executions = warm(config, samples=samples)
    (first,), *_ = executions[0].batches
    assert {name: (str(it.dtype), it.shape) for name, it in first.items()} == {
        "X": ("float32", (1, 1)),
        "START": ("int32", (1, 1)),
        "ID": ("uint64", (1, 1)),
        "S_IN": ("float16", (1, 3, 1)),
    }
    assert (first["START"].item(), first["ID"].item(), first["S_IN"].any()) == (1, 0, False)
    assert [len(batch) for batch in executions[1].batches] == [1, 4, 8]


def test_samples_are_made_up_without_a_batch():
    """A model that does not batch executes one request, whose inputs have no batch dimension."""
    config = model_config(max_batch_size=0, inputs=[("A", "INT8", [2]), ("B", "BYTES", [1]), ("C", "BOOL", [1])])
    (sample,) = synthetic_samples(config, [8, 16])
    assert sample.batch_size == 1
    assert {name: it.tolist() for name, it in sample.inputs.items()} == {"A": [0, 0], "B": [b""], "C": [False]}


def served(repository, **options):
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
    return Server(repository, options=ServerOptions(**options), plugins=plugins)


def test_a_server_makes_samples_up_if_it_is_told_to(tmp_path):
    """Only models without a warm-up of their own get one, and only on demand."""
    write_model(tmp_path, model_config("plain", instance_count=2))
    own = model_config("own")
    sample = own.model_warmup.add(name="w", batch_size=3).inputs["INPUT0"]
    sample.data_type, sample.zero_data = 11, True
    sample.dims.append(16)
    write_model(tmp_path, own)
    with served(tmp_path) as server:
        assert server.statistics("plain")[0].counters.batches == {}
    with served(tmp_path, warmup_batch_sizes=[1, 2]) as server:
        assert {
            row.name: {size: phases.compute_infer.count for size, phases in row.counters.batches.items()}
            for row in server.statistics()
        } == {"plain": {1: 2, 2: 2}, "own": {3: 1}}


def test_a_model_that_does_not_take_zeros_serves_nevertheless(tmp_path, caplog):
    """What the server made up is no reason to refuse a model; what its author wrote is."""
    config = model_config("picky", parameters={"fail_on": "0"})
    write_model(tmp_path, config)
    with served(tmp_path, warmup_batch_sizes=[1]) as server:
        assert server.ready
    assert 'model "picky" does not take zeros to warm up with' in caplog.text
    sample = config.model_warmup.add(name="w", batch_size=1).inputs["INPUT0"]
    sample.data_type, sample.zero_data = 11, True
    sample.dims.append(16)
    write_model(tmp_path, config)
    refused = pytest.raises(
        RepositoryError, match="failed to run warmup sample 'w': ValueError: INPUT0 has the value 0"
    )
    with refused, served(tmp_path):
        pass


def test_readiness_waits_for_the_warm_up(tmp_path):
    """A server and its model are not ready while a sample is executed, and are once it has been."""
    config = model_config("m", parameters={"gate": "warming"})
    sample = config.model_warmup.add(name="w", batch_size=1).inputs["INPUT0"]
    sample.data_type, sample.zero_data = 11, True
    sample.dims.append(16)
    write_model(tmp_path, config)
    with Gate("warming") as gate, ThreadPoolExecutor(1) as starter:
        server = Server(tmp_path, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]))
        started = starter.submit(server.start)
        try:
            gate.wait_entered()
            assert not server.ready
            assert not server.can_serve("m")
            assert [row.state for row in server.index()] == ["LOADING"]
            gate.open()
            started.result(30)
            assert server.ready
            assert server.model_ready("m")
        finally:
            server.close()
