"""The metrics of models: what they count, who shares them, and when they vanish."""

from __future__ import annotations

import gc
import math

import pytest
import triton_python_backend_utils as pb_utils
from charonia.metric_families import Histogram, MetricKind
from charonia_backend_custom.metric_values import HeldMetrics, MetricTable
from hypothesis import given
from hypothesis import strategies as st

FAILED = ": Failed to process the request for model 'm', message: "
WHY_NOT = "is not made of letters, digits and _, or has a meaning already"


@pytest.fixture
def table():
    """A table without metrics."""
    return MetricTable()


@pytest.fixture
def held(table):
    """The metrics as the model "m" holds them."""
    return HeldMetrics(table, "m")


def test_a_model_makes_metrics(serve):
    """Counters, gauges and histograms keep their values for whoever shows them, until the model is unloaded."""
    source = """
    class TritonPythonModel:
        def initialize(self, args):
            kind = pb_utils.MetricFamily
            self.families = [
                kind(name="seen", description="Requests seen", kind=kind.COUNTER),
                kind(name="depth", description="d", kind=kind.GAUGE),
                kind(name="size", description="s", kind=kind.HISTOGRAM),
            ]
            self.seen = self.families[0].Metric(labels={"model": "m"})
            self.depth = self.families[1].Metric()
            self.size = self.families[2].Metric(labels={}, buckets=[1, 2.5])

        def execute(self, requests):
            x = float(requests[0].inputs()[0].as_numpy()[0])
            self.seen.increment(1)
            self.depth.set(x)
            self.size.observe(x)
            told = np.array([int(self.seen.value() * 100 + self.depth.value())], np.int32)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", told)])]
    """
    serve.write("m", source)
    server = serve.start()
    backend = server._loader._backends.get("python", "the test")
    assert [int(server.model("m").infer({"X": [x]})["Y"][0]) for x in (1, 2, 7)] == [101, 202, 307]
    seen, depth, size = backend.metrics()
    assert (seen.name, seen.description, seen.kind) == ("seen", "Requests seen", MetricKind.COUNTER)
    assert [(dict(sample.labels), sample.value) for sample in seen.samples] == [({"model": "m"}, 3)]
    assert [sample.value for sample in depth.samples] == [7]
    assert [sample.value for sample in size.samples] == [Histogram((1, 2.5), (1, 1, 1), 10)]
    server.unload("m")
    server.close()
    assert backend.metrics() == []


@pytest.mark.parametrize(
    ("kind", "operation", "value", "message"),
    [
        (
            pb_utils.MetricFamily.COUNTER,
            "increment",
            -1,
            (
                "Failed to increment metric value{}TRITONSERVER_METRIC_KIND_COUNTER can only be incremented monotonically by "
                "non-negative values."
            ),
        ),
        (
            pb_utils.MetricFamily.COUNTER,
            "set",
            1,
            "Failed to set metric value{}TRITONSERVER_METRIC_KIND_COUNTER does not support Set",
        ),
        (
            pb_utils.MetricFamily.GAUGE,
            "observe",
            1,
            "Failed to observe metric value{}TRITONSERVER_METRIC_KIND_GAUGE does not support Observe",
        ),
    ],
)
def test_what_a_kind_of_metric_does_not_do(held, kind, operation, value, message):
    """Wrong operations are refused in the reference's words, and change nothing."""
    held.declare("f", "d", kind)
    held.add("f", {}, [])
    with pytest.raises(pb_utils.TritonModelException) as told:
        held.apply("f", {}, operation, value)
    assert str(told.value) == message.format(FAILED)
    assert held.value("f", {}) == 0


def test_what_cannot_be_made(held):
    """Names, kinds, labels and buckets are checked."""
    held.declare("c", "d", pb_utils.MetricFamily.COUNTER)
    held.declare("h", "d", pb_utils.MetricFamily.HISTOGRAM)
    for call, message in (
        (lambda: held.declare("a b", "d", 0), "Error when creating MetricFamily{}Invalid metric name"),
        (
            lambda: held.declare("c", "d", 1),
            "Error when creating MetricFamily{}Family name already exists with different type",
        ),
        (
            lambda: held.add("c", {"a": 1}, []),
            "Error when creating Metric{}attempt to access JSON non-string as string",
        ),
        *(
            (
                lambda label=label: held.add("h", {label: "x"}, [1]),
                f"Error when creating Metric{{}}Invalid label name: {label!r} {WHY_NOT}",
            )
            for label in ("", "a b", "1a", "a:b", "__a", "le")
        ),
        (
            lambda: held.add("h", {}, [1.5, math.inf]),
            "Error when creating Metric{}the buckets [1.5, inf] are not all finite: the last one is added to them",
        ),
        (lambda: held.add("h", {}, []), "Error when creating Metric{}a histogram needs buckets"),
        (lambda: held.add("h", {}, [2, 1]), "Error when creating Metric{}the buckets [2, 1] do not ascend"),
        (
            lambda: held.add("gone", {}, []),
            "Error when creating Metric{}the metric family 'gone' is gone: keep the object that stands for it",
        ),
    ):
        with pytest.raises(pb_utils.TritonModelException) as told:
            call()
        assert str(told.value) == message.format(FAILED)
    held.add("h", {}, [1])
    with pytest.raises(
        pb_utils.TritonModelException, match="TRITONSERVER_METRIC_KIND_HISTOGRAM does not support Value"
    ):
        held.value("h", {})


def test_the_module_checks_what_it_can(serve):
    """A kind that is none, and buckets where none belong, are refused where they are written."""
    source = """
    class TritonPythonModel:
        def initialize(self, args):
            family = pb_utils.MetricFamily(name="n", description="d", kind=pb_utils.MetricFamily.COUNTER)
            for call in (lambda: family.Metric(buckets=[1]), lambda: pb_utils.MetricFamily(name="n", description="d", kind=7)):
                try:
                    call()
                except (pb_utils.TritonModelException, TypeError) as error:
                    told.append(str(error))

    told = []
    """
    serve.write("m", source)
    serve.start()
    assert serve.module().told == [
        "Failed to create metric. Unexpected buckets found.",
        "the kind of the metric family 'n' is 7: expected MetricFamily.COUNTER, GAUGE or HISTOGRAM",
    ]


def test_metrics_live_as_long_as_somebody_holds_them(table, held):
    """Families of one name are one, also of two models; each vanishes with its last holder."""
    other = HeldMetrics(table, "other")
    for holder in (held, other):
        holder.declare("f", "d", 0)
        holder.add("f", {"a": "b"}, [])
        holder.apply("f", {"a": "b"}, "increment", 2)
    assert other.value("f", {"a": "b"}) == 4
    held.leave("f", {"a": "b"})
    held.leave("f")
    held.leave("f")
    assert other.value("f", {"a": "b"}) == 4
    assert len(table.snapshot()) == 1
    other.close()
    assert table.snapshot() == []


def test_a_metric_vanishes_with_its_object(serve):
    """A family that a model does not keep is gone, and with it what it counted."""
    source = """
    class TritonPythonModel:
        def initialize(self, args):
            pb_utils.MetricFamily(name="n", description="d", kind=pb_utils.MetricFamily.COUNTER).Metric().increment(1)
    """
    serve.write("m", source)
    backend = serve.start()._loader._backends.get("python", "the test")
    gc.collect()
    assert backend.metrics() == []


@given(bounds=st.lists(st.integers(-50, 50), min_size=1, unique=True), values=st.lists(st.integers(-100, 100)))
def test_every_observation_lies_in_one_bucket(bounds, values):
    """A bucket has the observations up to its bound that no smaller one has, as Prometheus counts."""
    bounds = sorted(bounds)
    table = MetricTable()
    held = HeldMetrics(table, "m")
    held.declare("h", "d", pb_utils.MetricFamily.HISTOGRAM)
    held.add("h", {}, bounds)
    for value in values:
        held.apply("h", {}, "observe", value)
    (sample,) = table.snapshot()[0].samples
    up_to = [sum(value <= bound for value in values) for bound in bounds]
    assert [sum(sample.value.counts[: place + 1]) for place in range(len(bounds))] == up_to
    assert (sum(sample.value.counts), sample.value.total) == (len(values), sum(values))


STEPS = st.tuples(st.booleans(), st.integers(0, 1), st.sampled_from(["f", "g"]), st.sampled_from([None, "x", "y"]))


@given(st.lists(STEPS, max_size=40), st.integers(0, 1))
def test_what_is_there_is_what_somebody_holds(steps, closed):
    """However often models hold the same, and let it go, a family and a metric live as long as one of them holds it."""
    table, held = MetricTable(), []
    holders = [HeldMetrics(table, "a"), HeldMetrics(table, "b")]
    for takes, who, name, label in steps:
        labels = None if label is None else {"l": label}
        if not takes:
            holders[who].leave(name, labels)
            if (who, name, label) in held:
                held.remove((who, name, label))
        elif labels is None:
            holders[who].declare(name, "d", 0)
            held.append((who, name, None))
        elif any(name == there for _, there, _ in held):
            holders[who].add(name, labels, [])
            held.append((who, name, label))
        assert told_of(table) == told_by_hand(held)
    holders[closed].close()
    assert told_of(table) == told_by_hand([hold for hold in held if hold[0] != closed])
    holders[1 - closed].close()
    assert table.snapshot() == []


def told_of(table):
    """Give the labels of the metrics, by family."""
    return {family.name: {sample.labels["l"] for sample in family.samples} for family in table.snapshot()}


def told_by_hand(held):
    """Give the same from what is held."""
    return {name: {label for _, of, label in held if of == name and label is not None} for _, name, _ in held}
