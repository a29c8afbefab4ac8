"""Models of equal names in several repositories: a name is clear where it can be, and nobody gets another repository's answer."""

from __future__ import annotations

import shutil
import sys
from types import ModuleType

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.backend import Backend, Execution, LoadedModel
from charonia.errors import InternalError, InvalidArgumentError, NotFoundError
from charonia.hookspecs import hookimpl
from charonia.model_names import ModelNames
from charonia.plugins import Plugins
from charonia.request import InferenceResponse
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia.testing.patience import wait_until
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

MODULE = "charonia_test_namespaces"
X = np.ones(16, np.float32)


class Asking(Execution):
    """Asks the model "m", and answers with what that answers."""

    answers_late = True

    def execute(self, batch):
        for request in batch.requests:
            child = request.child("m", {"INPUT0": request.inputs["INPUT0"]}, request.respond)
            try:
                self.context.model.models.submit(child)
            except InvalidArgumentError as error:
                request.respond(InferenceResponse(error=error))


class AskingModel(LoadedModel):
    def instantiate(self, context):
        return Asking(context)


class AskingBackend(Backend):
    def load(self, context):
        return AskingModel(context)


class AskingPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"asking": f"{MODULE}:AskingBackend"}


@pytest.fixture
def write(tmp_path):
    """Write a model that scales by a factor into one of the repositories: `write("A", "m", 2)`."""

    def write(repository, name, factor=1, *, cached=False, **options):
        config = model_config(name, max_batch_size=0, parameters={"scale": str(factor)}, **options)
        config.response_cache.enable = cached
        write_model(tmp_path / repository, config)

    return write


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Start a server of the repositories A, B and C."""
    module = ModuleType(MODULE)
    module.AskingBackend = AskingBackend
    monkeypatch.setitem(sys.modules, MODULE, module)
    servers = []

    def start(**options):
        places = [tmp_path / name for name in "ABC"]
        for place in places:
            place.mkdir(exist_ok=True)
        options = {"model_namespacing": True, "exit_on_error": False, **options}
        plugins = Plugins(extra=[ArithmeticPlugin(), AskingPlugin()])
        servers.append(Server(places, options=ServerOptions(**options), plugins=plugins))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        assert server.close()


def ask(server, name):
    """Give the factor of whoever answers."""
    return server.model(name).infer({"INPUT0": X})["OUTPUT0"][0]


def rows(server, tmp_path):
    return [(row.namespace.removeprefix(f"{tmp_path}/"), row.name, row.state) for row in server.index()]


def test_clear_names_are_served_and_others_told(serve, write, tmp_path):
    """A name that one repository has is answered; that of several is an error for requests, and all are in the index."""
    write("A", "m", 2)
    write("B", "m", 3)
    write("B", "only", 4)
    server = serve()
    assert ask(server, "only") == 4
    told = "There are 2 identifiers of model 'm' in global map, model namespace must be provided to resolve ambiguity."
    for call in (server.get, server.model_config, server.model_metadata, server.labels):
        with pytest.raises(InvalidArgumentError) as error:
            call("m")
        assert str(error.value) == told
    assert not server.model_ready("m")
    with pytest.raises(InvalidArgumentError, match="requested model 'm' is not available"):
        server.statistics("m")
    assert [(told.name, told.namespace[-1]) for told in server.statistics()] == [("m", "A"), ("m", "B"), ("only", "B")]
    assert rows(server, tmp_path) == [("A", "m", "READY"), ("B", "m", "READY"), ("B", "only", "READY")]
    assert server.ready


def test_model_in_process_is_found_by_its_namespace(serve, write, tmp_path):
    """A program that embeds the server may say which one it means."""
    write("A", "m", 2)
    write("B", "m", 3)
    server = serve()
    assert [server.model_config("m", None, str(tmp_path / it)).parameters["scale"].string_value for it in "AB"] == [
        "2",
        "3",
    ]


def test_load_and_unload_mean_all_of_a_name(serve, write, tmp_path):
    """Both are by name alone, as in the reference; what a name stands for may be one model and another one later."""
    write("A", "m", 2)
    server = serve(model_control_mode="explicit")
    server.load("m")
    assert ask(server, "m") == 2
    write("B", "m", 3)
    assert ask(server, "m") == 2
    server.load("m")
    with pytest.raises(InvalidArgumentError, match="There are 2 identifiers"):
        ask(server, "m")
    server.unload("m")
    with pytest.raises(NotFoundError, match="has no available versions"):
        ask(server, "m")
    write_model(tmp_path / "C", model_config("n", max_batch_size=0))
    with pytest.raises(InternalError, match="failed to load 'ghost'"):
        server.load("ghost")
    server.unload("ghost")


def test_configuration_that_comes_with_a_load_is_for_all(serve, write):
    """It stands in for that of each model of the name."""
    write("A", "m", 2)
    write("B", "m", 3)
    server = serve(model_control_mode="explicit")
    config = json_format.MessageToJson(model_config("m", max_batch_size=0, parameters={"scale": "7"}))
    server.load("m", config=config)
    assert {told.namespace[-1] for told in server.statistics()} == {"A", "B"}
    server.unload("m")
    server.load("new", config=config.replace('"m"', '"new"'), files={"1/model.json": b"{}"})
    assert ask(server, "new") == 7


def test_failed_load_of_one_fails_the_call_and_keeps_the_name_unclear(serve, write, tmp_path):
    """The other one serves, but a request by name could mean either; without the broken one, the name is clear again."""
    write("A", "m", 2)
    write("B", "m", 3)
    (tmp_path / "B" / "m" / "1" / "model.json").write_text("nonsense")
    server = serve(model_control_mode="explicit")
    with pytest.raises(InvalidArgumentError, match=rf"load failed for model '{tmp_path}/B::m'"):
        server.load("m")
    assert [row.state for row in server.index()] == ["READY", "UNAVAILABLE"]
    with pytest.raises(InvalidArgumentError, match="There are 2 identifiers"):
        ask(server, "m")
    server.unload("m")
    shutil.rmtree(tmp_path / "B" / "m")
    server.load("m")
    assert ask(server, "m") == 2


def ensemble(name, step):
    config = model_config(name, backend="", max_batch_size=0)
    config.platform = "ensemble"
    one = config.ensemble_scheduling.step.add(model_name=step, model_version=-1)
    one.input_map["INPUT0"] = "INPUT0"
    one.output_map["OUTPUT0"] = "OUTPUT0"
    return config


def test_ensembles_find_their_own_models_first(serve, write, tmp_path):
    """A step's model is that of the ensemble's repository, else the only one of its name; of several, none."""
    write("A", "m", 2)
    write("B", "m", 3)
    write("B", "only", 4)
    write_model(tmp_path / "A", ensemble("ea", "m"))
    write_model(tmp_path / "B", ensemble("eb", "m"))
    write_model(tmp_path / "A", ensemble("far", "only"))
    write_model(tmp_path / "C", ensemble("unclear", "m"))
    server = serve()
    assert [ask(server, name) for name in ("ea", "eb", "far")] == [2, 3, 4]
    step = server.model_config("far").ensemble_scheduling.step[0]
    assert step.model_namespace == str(tmp_path / "B")
    (row,) = [row for row in server.index() if row.name == "unclear"]
    assert "contains models that are not available or ambiguous: m" in row.reason
    assert f"{tmp_path}/A and in {tmp_path}/B" in row.reason


def test_an_unclear_step_is_refused_whatever_serves(serve, write, tmp_path):
    """Of a name that several repositories have, an ensemble of another one uses none, though only one of them serves yet."""
    write("A", "m", 2)
    write("B", "other")
    write_model(tmp_path / "C", ensemble("unclear", "m"))
    server = serve(model_control_mode="explicit")
    server.load("m")
    write("B", "m", 3)
    with pytest.raises(InvalidArgumentError, match=r"not available or ambiguous: m \(it is in .*A and in .*B\)"):
        server.load("unclear")


def test_ensemble_keeps_to_its_models(serve, write, tmp_path):
    """A model of the same name that comes later, be it nearer, is asked only once the ensemble itself is loaded again."""
    write("B", "only", 4)
    write_model(tmp_path / "A", ensemble("far", "only"))
    server = serve(model_control_mode="explicit")
    server.load("far")
    write("A", "only", 5)
    server.load("only")
    assert ask(server, "far") == 4
    server.load("far")
    assert ask(server, "far") == 5
    server.unload("only")
    with pytest.raises(NotFoundError):
        ask(server, "far")


def test_unloading_takes_the_users_of_all(serve, write, tmp_path):
    """The ensembles of each repository go with their models."""
    write("A", "m", 2)
    write("B", "m", 3)
    write_model(tmp_path / "A", ensemble("ea", "m"))
    write_model(tmp_path / "B", ensemble("eb", "m"))
    server = serve()
    server.unload("m")
    assert not any(server.can_serve(name) for name in ("ea", "eb", "m"))


def test_calls_between_models_find_their_own_first(serve, write, tmp_path):
    """A model that calls another one means that of its repository; where there is none, a clear name, or it is told."""
    write("A", "m", 2)
    write("B", "m", 3)
    for repository in "ABC":
        write(repository, f"ask{repository}", backend="asking")
    server = serve()
    assert [ask(server, "askA"), ask(server, "askB")] == [2, 3]
    with pytest.raises(InvalidArgumentError, match="There are 2 identifiers"):
        ask(server, "askC")


def test_names_that_mean_one_model_have_one_key(serve, write, tmp_path):
    """Whoever says it: models of equal names in two repositories have two keys, and one that is clear has one for all."""
    write("A", "m")
    write("B", "m")
    write("B", "clear")
    server = serve()
    within = [server.within(str(tmp_path / repository), {}) for repository in "AB"]
    assert [models.key_of("m") for models in within] == [f"{tmp_path}/A::m", f"{tmp_path}/B::m"]
    assert {models.key_of("clear") for models in [*within, server]} == {f"{tmp_path}/B::clear"}
    assert server.key_of("nobody") == "nobody"


def test_responses_are_kept_apart(serve, write, tmp_path):
    """The response cache never gives the answer of another repository's model."""
    for repository, factor in (("A", 2), ("B", 3)):
        write(repository, "m", factor, cached=True)
        write_model(tmp_path / repository, ensemble(f"e{repository}", "m"))
    server = serve(cache_config={"local": {"size": "1048576"}})
    assert [ask(server, name) for name in ("eA", "eB", "eA", "eB")] == [2, 3, 2, 3]


def test_polling_follows_each_repository(serve, write, tmp_path):
    """A name becomes unclear when another repository gets it, and clear again when it goes."""
    write("A", "m", 2)
    server = serve(model_control_mode="poll", repository_poll_secs=0.05, repository_settle_secs=0.0)
    assert ask(server, "m") == 2
    write("B", "m", 3)
    wait_until(lambda: not server.can_serve("m"))
    shutil.rmtree(tmp_path / "A" / "m")
    wait_until(lambda: server.can_serve("m") and ask(server, "m") == 3)


def test_without_namespaces_such_models_are_refused(serve, write, tmp_path):
    """Nothing changes for whoever does not ask for it."""
    write("A", "m", 2)
    write("B", "m", 3)
    server = serve(model_namespacing=False)
    (row,) = server.index()
    assert (row.namespace, "appears in two or more repositories" in row.reason) == ("", True)


NAMES = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1)


@given(name=NAMES, url=st.sampled_from(["/models", "s3://bucket/a::b", "a"]))
def test_keys_tell_name_and_namespace(name, url):
    """From a key, name and namespace come back, whatever characters a name has."""
    names = ModelNames(["/models", "s3://bucket/a::b", "a"])
    assert names.split(names.key(name, url)) == (name, url)
