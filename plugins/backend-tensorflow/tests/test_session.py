"""Sessions: their options, who shares them, and what runs when they are opened."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf
from charonia.backend import Device, InstanceContext, ModelContext
from charonia.errors import InvalidArgumentError
from charonia.testing.builders import model_config
from charonia_backend_tensorflow.backend import TensorFlowBackend
from charonia_backend_tensorflow.session import session_options
from charonia_backend_tensorflow.settings import BackendSettings
from charonia_backend_tensorflow.threads import Threads

CPU, GPU, MODEL = Device("CPU"), Device("GPU", 1), Device("MODEL")
PLAIN = BackendSettings.read({})
NO_WISH = Threads(0, 0, own=False)
FIXTURE = {"inputs": [("X", "FP32", [3])], "outputs": [("Y", "FP32", [3])]}


def options(settings=PLAIN, threads=NO_WISH, device=CPU, level=0):
    config = model_config("m")
    config.optimization.graph.level = level
    return session_options(config, settings, threads, device)


@pytest.fixture
def loaded(repository, models):
    """Load the identity model with parameters, and give the loaded model."""
    opened = []

    def load(**parameters):
        config = model_config("m", backend="tensorflow", parameters=parameters, **FIXTURE)
        config.default_model_filename = "model.savedmodel"
        folder = repository(models.identity()) / "m"
        opened.append(TensorFlowBackend({}).load(ModelContext("m", 1, folder, config)))
        return opened[-1]

    yield load
    for model in opened:
        model.close()


def instances(model, *devices):
    """Make an instance on each device, and give their sessions."""
    made = [model.instantiate(InstanceContext("m", device, model.context)) for device in devices]
    sessions = [each._session for each in made]
    for each in made:
        each.close()
    return sessions


def test_instances_of_a_device_share_one_session(loaded):
    """Where nothing is said, the weights are loaded once for each device."""
    first, second, third, elsewhere = instances(loaded(), CPU, CPU, CPU, MODEL)
    assert first is second is third
    assert elsewhere is not first


def test_share_count_limits_how_many_instances_have_one_session(loaded):
    """With a limit of 2, three instances have two sessions."""
    first, second, third = instances(loaded(MAX_SESSION_SHARE_COUNT="2"), CPU, CPU, CPU)
    assert first is second
    assert third is not first


def test_operators_of_an_instance_on_a_gpu_are_placed_there(loaded):
    """What the model places nowhere goes to the instance's GPU; an instance of the CPU or of KIND_MODEL leaves it open."""
    model = loaded()
    places = [
        {op.device for op in session.graph.get_operations() if op.type == "StatefulPartitionedCall"} or {"none"}
        for session in instances(model, GPU, MODEL)
    ]
    assert places[1] <= {"", "none"}
    on_gpu = {op.device for op in instances(model, GPU)[0].graph.get_operations()}
    assert any("GPU:1" in place for place in on_gpu)


@pytest.mark.parametrize(
    ("parameters", "device", "predictable"),
    [
        ({"TF_NUM_INTER_THREADS": "1"}, CPU, True),
        ({"TF_NUM_INTER_THREADS": "1"}, MODEL, False),
        ({"TF_NUM_INTER_THREADS": "2"}, CPU, False),
        ({}, CPU, False),
    ],
    ids=["alone", "elsewhere", "two threads", "TensorFlow's threads"],
)
def test_time_is_predictable_where_one_thread_computes(loaded, parameters, device, predictable):
    """Only where an instance of the CPU computes by itself does its own time tell what an execution takes."""
    model = loaded(**parameters)
    execution = model.instantiate(InstanceContext("m", device, model.context))
    execution.close()
    assert execution.predictable is predictable


def test_closed_model_has_closed_its_sessions(loaded):
    """After `close` nothing can run."""
    model = loaded()
    (session,) = instances(model, CPU)
    model.close()
    with pytest.raises(RuntimeError, match="closed Session"):
        session.run([])


def test_cpu_instances_see_no_gpu():
    """An instance of the CPU takes no memory of GPUs; others take it as the settings say."""
    assert options().device_count["GPU"] == 0
    grown = options(device=GPU)
    assert "GPU" not in grown.device_count
    assert grown.gpu_options.allow_growth
    half = options(BackendSettings.read({"gpu-memory-fraction": "0.5"}), device=GPU).gpu_options
    assert (half.per_process_gpu_memory_fraction, half.allow_growth) == (0.5, False)
    both = {"gpu-memory-fraction": ".5", "gpu-memory-growth": "true"}
    assert options(BackendSettings.read(both), device=MODEL).gpu_options.allow_growth


def test_soft_placement_can_be_switched_off():
    """It is on unless the backend's setting says otherwise."""
    assert options().allow_soft_placement
    assert not options(BackendSettings.read({"allow-soft-placement": "false"})).allow_soft_placement


@pytest.mark.parametrize(("level", "expected"), [(0, 0), (-1, -1), (1, 1), (2, 2), (3, 2)])
def test_level_of_optimisation_is_that_of_xla(level, expected):
    """The reference's levels: above 0 XLA compiles, below it does not, and 0 leaves it to TensorFlow."""
    assert options(level=level).graph_options.optimizer_options.global_jit_level == expected


@pytest.mark.parametrize("level", [-1, 1])
def test_level_of_optimisation_runs(serve, repository, models, full_config, level):
    """A model computes the same with XLA and without."""
    config = full_config(f"optimization {{ graph {{ level: {level} }} }}", y_dims="[ 4 ]")
    answer = serve(repository(models.perceptron(), config)).model("m").infer({"X": [[1.0, 2.0, 3.0]]})["Y"]
    assert answer.tolist() == [[0.0, 2.0, 8.0, 14.0]]


def test_threads_are_written_into_the_options():
    """The three parameters reach TensorFlow."""
    written = options(threads=Threads(2, 3, own=True))
    assert written.intra_op_parallelism_threads == 2
    assert (written.inter_op_parallelism_threads, written.use_per_session_threads) == (3, True)


@pytest.mark.parametrize(
    ("name", "value"), [("gpu-memory-fraction", "1.5"), ("gpu-memory-fraction", "half"), ("gpu-memory-growth", "2")]
)
def test_bad_setting_names_its_flag(name, value):
    """A wrong setting is told in the words of the command line."""
    with pytest.raises(InvalidArgumentError, match=f"^--backend-config=tensorflow,{name} is '{value}': expected"):
        BackendSettings.read({name: value})


def test_misspelt_names_are_told(serve, repository, models, full_config, caplog):
    """Settings and parameters that are nearly ours are passed over, but not in silence; the reference's `version` is known."""
    BackendSettings.read({"gpu-memory-fractoin": "1", "version": "2"})
    serve(repository(models.identity(), full_config('parameters { key: "TF_GRAPH_TAGS" value { string_value: "a" } }')))
    assert 'did you mean "gpu-memory-fraction"?' in caplog.text
    assert 'did you mean "TF_GRAPH_TAG"?' in caplog.text
    assert "version" not in caplog.text


def variable(models):
    """Save a graph whose factor is a variable, with the operator `start` that sets it to 2."""

    def build():
        factor = tf.compat.v1.Variable(2.0, use_resource=False)
        tf.multiply(tf.compat.v1.placeholder("float32", [None, 3], name="X"), factor, name="Y")
        tf.group(factor.initializer, name="start")

    return models.graph_def(build)


def initialised(full_config, file="ops.json"):
    return full_config(f'parameters {{ key: "TF_INIT_OPS_FILE" value {{ string_value: "{file}" }} }}')


@pytest.mark.parametrize("place", ["ops.json", "1/ops.json"])
def test_initialisers_of_a_file_run(serve, repository, models, full_config, place):
    """Operators that a file names run when the model loads; the file may lie beside the model or beside its configuration."""
    folder = repository(variable(models), initialised(full_config))
    (folder / "m" / place).write_text(json.dumps({"init_ops": ["start"]}))
    assert serve(folder).model("m").infer({"X": [[1.0, 2.0, 3.0]]})["Y"].tolist() == [[2.0, 4.0, 6.0]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "which is neither in"),
        (
            "{",
            'is not as expected (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)): write {"init_ops"',
        ),
        ('{"ops": []}', "is not as expected ('init_ops')"),
        ('{"init_ops": "start"}', "is not as expected (init_ops is no list of names)"),
        ('{"init_ops": ["stop"]}', "'stop' refers to an Operation not in the graph"),
    ],
    ids=["missing", "cut", "other", "text", "unknown"],
)
def test_bad_file_of_initialisers_is_told(serve, repository, models, reason, full_config, content, told):
    """Each mistake has its reason."""
    folder = repository(variable(models), initialised(full_config))
    if content is not None:
        (folder / "m" / "ops.json").write_text(content)
    assert told in reason(serve(folder))
