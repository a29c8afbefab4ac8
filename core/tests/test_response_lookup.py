"""The response cache on the path of requests: which are equal, what is given again, and what is counted."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from charonia import ServerOptions
from charonia.cache import CachedResponse, ResponseCache
from charonia.config import check_loadable, normalise, parse_config
from charonia.errors import InvalidArgumentError, PluginError
from charonia.hookspecs import hookimpl
from charonia.plugins import Plugins
from charonia.request import InferenceRequest, InferenceResponse
from charonia.response_lookup import ResponseLookup
from charonia.statistics import ModelStatistics
from charonia.testing.builders import model_config, write_model
from charonia.testing.cache_suite import CacheSuite
from charonia.testing.fakes import ArithmeticPlugin, Gate
from hypothesis import given
from hypothesis import strategies as st


class DictCache(ResponseCache):
    """Keeps everything; fails where it is told to."""

    def __init__(self, settings):
        super().__init__(settings)
        self.kept = {}

    def lookup(self, key):
        if "broken" in self.settings:
            raise OSError("no connection")
        found = self.kept.get(key)
        return found and CachedResponse({name: array.copy() for name, array in found.outputs.items()}, found.parameters)

    def insert(self, key, response):
        if "broken" in self.settings:
            raise OSError("no connection")
        self.kept[key] = CachedResponse(
            {name: array.copy() for name, array in response.outputs.items()}, response.parameters
        )

    def metrics(self):
        if "broken" in self.settings:
            raise OSError("no connection")
        return ()


class DictCachePlugin:
    @hookimpl
    def charonia_caches(self):
        return {"dict": f"{__name__}:DictCache"}


class TestDictCache(CacheSuite):
    def make_cache(self):
        return DictCache({})


@pytest.fixture
def serve(server, model_repository):
    """Start a server with the cache, with the settings that are given by keyword, and the models."""

    def start(*configs, **settings):
        for config in configs:
            write_model(model_repository, config)
        return server(
            model_repository,
            options=ServerOptions(cache_config={"dict": settings}),
            plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin(), DictCachePlugin()]),
        )

    return start


def cached(name="model", **options):
    config = model_config(name, **options)
    config.response_cache.enable = True
    return config


def rows(value, count=1):
    return {"INPUT0": np.full((count, 16), value, np.float32)}


def counts(handle):
    counted = handle.statistics()
    return {
        name: getattr(counted, name).count
        for name in ("success", "fail", "queue", "compute_infer", "cache_hit", "cache_miss")
    } | {"inferences": counted.inference_count, "executions": counted.execution_count}


def test_an_equal_request_is_answered_without_an_execution(serve):
    """The second of two equal requests has the same answer, counts as a success and a hit, and as no inference."""
    model = serve(cached(parameters={"scale": "3"})).model("model")
    first, second = model.infer(rows(2, 3)), model.infer(rows(2, 3))
    assert first["OUTPUT0"].tolist() == second["OUTPUT0"].tolist() == np.full((3, 16), 6.0).tolist()
    assert counts(model) == {
        "success": 2,
        "fail": 0,
        "queue": 2,
        "compute_infer": 1,
        "cache_hit": 1,
        "cache_miss": 1,
        "inferences": 3,
        "executions": 1,
    }
    assert model.statistics().cache_hit.ns > 0
    assert model.statistics().cache_miss.ns > 0


def test_a_hit_waits_for_no_instance(serve):
    """While the only instance is busy, a request that was answered before is answered again."""
    with Gate("cache-busy") as gate:
        server = serve(cached(instance_count=1, parameters={"gate": "cache-busy"}))
        model = server.model("model")
        stream = model.stream(rows(1))
        gate.wait_entered()
        gate.open()
        assert len(list(stream)) == 1
    with Gate("cache-busy") as gate:
        busy = model.stream(rows(2))
        gate.wait_entered()
        assert model.infer(rows(1))["OUTPUT0"].tolist() == rows(1)["INPUT0"].tolist()
        gate.open()
        assert len(list(busy)) == 1


def test_coroutines_are_answered_again_too(serve):
    """On an event loop the look-up gives the same answer."""
    model = serve(cached()).model("model")

    async def ask():
        return [(await model.infer_async(rows(5)))["OUTPUT0"].tolist() for _ in range(3)]

    assert asyncio.run(ask()) == [rows(5)["INPUT0"].tolist()] * 3
    assert counts(model)["cache_hit"] == 2


def test_only_models_that_ask_for_it_are_cached(serve):
    """A model without the section executes every request, and counts neither hits nor misses."""
    model = serve(model_config()).model("model")
    model.infer(rows(1))
    model.infer(rows(1))
    assert (counts(model)["executions"], counts(model)["cache_miss"]) == (2, 0)


def test_a_server_without_a_cache_serves_such_a_model(server, model_repository):
    """As in the reference, nothing is said and nothing is cached."""
    write_model(model_repository, cached())
    model = server(model_repository, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()])).model("model")
    model.infer(rows(1))
    model.infer(rows(1))
    assert (counts(model)["executions"], counts(model)["cache_miss"]) == (2, 0)


def test_errors_are_never_given_again(serve):
    """A request that failed is executed anew, and fails anew."""
    model = serve(cached(parameters={"fail_on": "7"})).model("model")
    for _ in range(2):
        with pytest.raises(Exception, match="has the value 7"):
            model.infer(rows(7))
    assert counts(model) == {
        "success": 0,
        "fail": 2,
        "queue": 0,
        "compute_infer": 0,
        "cache_hit": 0,
        "cache_miss": 2,
        "inferences": 0,
        "executions": 2,
    }


def test_a_model_that_is_loaded_anew_has_nothing_cached(serve, model_repository):
    """A response of the model as it was is not given for the model as it is."""
    server = serve(cached(parameters={"scale": "2"}))
    model = server.model("model")
    assert model.infer(rows(1))["OUTPUT0"][0, 0] == 2
    write_model(model_repository, cached(parameters={"scale": "5"}))
    server.load("model")
    assert model.infer(rows(1))["OUTPUT0"][0, 0] == 5


def test_a_cancelled_request_is_not_answered_from_the_cache(serve):
    """What was taken back ends with CANCELLED, hit or not."""
    server = serve(cached())
    server.model("model").infer(rows(1))
    answers = []
    request = InferenceRequest("model", rows(1), answers.append)
    request.cancel()
    server.submit(request)
    assert [answer.error.code.name for answer in answers] == ["CANCELLED"]


def test_a_broken_cache_harms_no_request(serve, caplog):
    """Whatever the cache raises is logged, and the model answers."""
    model = serve(cached(), broken="yes").model("model")
    assert model.infer(rows(4))["OUTPUT0"].tolist() == rows(4)["INPUT0"].tolist()
    assert "failed to look for a response of model 'model'" in caplog.text
    assert counts(model)["cache_miss"] == 1


def test_a_broken_cache_harms_no_metrics(serve, caplog):
    """What it cannot tell is missing, and whatever else there is is told."""
    assert serve(cached(), broken="yes").metrics() == []
    assert "DictCache failed to tell its metrics" in caplog.text


def test_an_unknown_cache_keeps_the_server_from_being_made(server, model_repository):
    """A mistake in the server's own settings is told at once, with what to do."""
    with pytest.raises(PluginError, match='--cache-config needs the response cache "loca"'):
        server(
            model_repository,
            options=ServerOptions(cache_config={"loca": {"size": "1"}}),
            plugins=Plugins(entry_points=(), extra=[DictCachePlugin()]),
        )


def test_there_is_one_cache_at_most():
    """Two caches are a mistake."""
    with pytest.raises(InvalidArgumentError, match="one response cache at most"):
        ServerOptions(cache_config={"a": {}, "b": {}})


def test_a_model_that_turns_out_to_be_decoupled_is_refused():
    """A completed configuration is checked again: only the backend may know that the model is decoupled."""
    config = parse_config(
        'backend: "b" input [{name: "X" data_type: TYPE_FP32 dims: [1]}] output [{name: "Y" data_type: TYPE_FP32 dims: [1]}] '
        "response_cache { enable: true }",
        model="m",
        file="config.pbtxt",
        environment={},
    ).config
    config.model_transaction_policy.decoupled = True
    (problem,) = check_loadable(normalise(config))
    assert "with 'decoupled' transaction policy. Please disable the response cache." in str(problem)


# -- equal requests

SCALAR = {"X": np.array(1, np.int32)}


LOOKUP = ResponseLookup(DictCache({}), "m", 1, ModelStatistics())


def key_of(inputs, lookup=LOOKUP, **options):
    return lookup.look(InferenceRequest("m", inputs, lambda _: None, **options)).key


def texts(*items):
    array = np.empty(len(items), dtype=np.object_)
    array[:] = items
    return array


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"X": np.zeros((1, 4), np.int32)}, {"X": np.zeros((4, 1), np.int32)}),
        ({"X": np.zeros(4, np.int32)}, {"X": np.zeros(4, np.float32)}),
        ({"X": np.zeros(4, np.int32)}, {"Y": np.zeros(4, np.int32)}),
        ({"X": np.zeros(4, np.int32)}, {"X": np.array([0, 0, 0, 1], np.int32)}),
        ({"X": np.zeros(0, np.int32)}, {"X": np.zeros((0, 2), np.int32)}),
        ({"A": np.zeros(1, np.int8), "B": np.ones(1, np.int8)}, {"A": np.ones(1, np.int8), "B": np.zeros(1, np.int8)}),
        ({"X": texts(b"ab", b"c")}, {"X": texts(b"a", b"bc")}),
        ({"X": np.arange(4, dtype=np.int8).reshape(2, 2)}, {"X": np.arange(4, dtype=np.int8).reshape(2, 2).T}),
    ],
)
def test_requests_with_other_inputs_are_told_apart(one, other):
    """A name, a datatype, a shape or an element that differs makes another request."""
    assert key_of(one) != key_of(other)


def test_requests_for_other_outputs_or_with_other_parameters_are_told_apart():
    """What is asked for, and what the model is told, counts; the type of a parameter does, too."""
    options = [{}, {"requested_outputs": ("A",)}, {"requested_outputs": ("A", "B")}]
    options += [{"parameters": {"p": value}} for value in (1, 1.0, True, "1")]
    assert len({key_of(SCALAR, **option) for option in options}) == len(options)


def test_who_asks_makes_no_difference():
    """Ids, priorities, time-outs and the order of what is given are not part of a request."""
    two = {"A": np.zeros(2, np.float32), "B": np.ones(2, np.float32)}
    one = key_of(two, requested_outputs=("Y", "Z"), parameters={"p": 1, "q": 2})
    turned = dict(reversed(two.items()))
    assert one == key_of(
        turned, id="7", priority=3, timeout_us=5, requested_outputs=("Z", "Y"), parameters={"q": 2, "p": 1}
    )


def test_models_and_loads_are_told_apart():
    """The same inputs to another model, another version or another load are another request."""
    lookups = [
        ResponseLookup(DictCache({}), *which, ModelStatistics()) for which in (("m", 1), ("m", 1), ("m", 2), ("n", 1))
    ]
    assert len({key_of(SCALAR, lookup) for lookup in lookups}) == len(lookups)


ARRAYS = st.one_of(
    st.lists(st.integers(-3, 3), max_size=3).map(lambda items: np.array(items, np.int16)),
    st.lists(st.binary(max_size=3), max_size=3).map(lambda items: texts(*items)),
)
INPUTS = st.dictionaries(st.text(max_size=2), ARRAYS, max_size=3)


@given(INPUTS, INPUTS)
def test_keys_are_equal_exactly_where_inputs_are(one, other):
    """For any inputs, however their names and bytes run into each other."""
    equal = one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].tolist() == other[name].tolist() for name in one
    )
    assert (key_of(one) == key_of(other)) == equal


def test_memory_that_is_not_in_order_is_read_in_order():
    """A view with strides has the key of its copy."""
    view = np.arange(12, dtype=np.int32).reshape(3, 4)[:, ::2]
    assert key_of({"X": view}) == key_of({"X": view.copy()})


def test_an_empty_final_response_is_not_kept():
    """Where the outputs came before the end, the end alone is no answer."""
    cache = DictCache({})
    lookup = ResponseLookup(cache, "m", 1, ModelStatistics())
    look = lookup.look(InferenceRequest("m", SCALAR, lambda _: None))
    lookup.keep(look, InferenceResponse())
    assert cache.kept == {}
