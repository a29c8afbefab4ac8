"""A server with a memory budget: models come at their first request and go when others need the room, and nobody notices."""

from __future__ import annotations

import json
import queue
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from charonia.errors import InvalidArgumentError, NotFoundError, RepositoryError, UnavailableError
from charonia.request import InferenceRequest
from charonia.testing.patience import wait_until
from weighty_models import ROW, TENSORS, Echo, ask, resident


def test_a_model_comes_at_its_first_request(serve, write, memory):
    """Before, it is ready, and everything can be told of it; what a request finds is the same as ever."""
    write("m", 100)
    server = serve(1000)
    assert server.ready
    assert server.model_ready("m")
    assert server.model_metadata("m").inputs[0].name == "INPUT0"
    assert server.model_config("m").max_batch_size == 8
    assert [(row.state, row.host_byte_size) for row in server.index()] == [("READY", 0)]
    assert memory.loads == []
    ask(server, "m")
    ask(server, "m")
    assert memory.loads == ["m"]
    assert [(row.state, row.host_byte_size) for row in server.index()] == [("READY", 100)]


def test_the_least_recently_used_goes(serve, write, memory):
    """When there is no room, the model goes that was not used for longest; its next request brings it back."""
    for name in "abc":
        write(name, 100)
    server = serve(250)
    for name in "abac":
        ask(server, name)
    assert resident(server) == {"a", "c"}
    ask(server, "b")
    assert resident(server) == {"b", "c"}
    assert memory.loads == ["a", "b", "c", "b"]
    assert memory.most == 200
    told = {family.name.removeprefix("charonia_memory_"): family.samples[0].value for family in server.metrics()}
    assert told == {"budget_bytes": 250, "counted_bytes": 200, "loads_total": 4, "evictions_total": 2}


def test_counters_go_on(serve, write):
    """What a model has done is not forgotten when it goes out of memory."""
    write("a", 100)
    write("b", 100)
    server = serve(100)
    for name in "abab":
        ask(server, name)
    counted = {told.name: told for told in server.statistics()}
    assert counted["a"].counters.success.count == 2
    assert counted["a"].running.execution_count == 2


@pytest.mark.parametrize("way", ["parameter", "load_model"])
def test_pinned_models_stay(serve, write, memory, way):
    """A model that is pinned is loaded at once, and never goes, however long it was not used."""
    by_parameter = way == "parameter"
    write("stays", 100, parameters={"pinned": "true"} if by_parameter else {})
    write("a", 100)
    write("b", 100)
    server = serve(200, **({} if by_parameter else {"model_control_mode": "explicit", "load_model": ["stays"]}))
    assert memory.loads == ["stays"]
    for name in "ab":
        if not by_parameter:
            server.load(name)
        ask(server, name)
    assert resident(server) == {"stays", "b"}


def test_all_may_be_loaded_without_being_pinned(serve, write, memory):
    """In the control mode explicit, * makes all models known, and names none."""
    for name in "abc":
        write(name, 100)
    server = serve(100, model_control_mode="explicit", load_model=["*"])
    assert memory.loads == []
    for name in "abc":
        ask(server, name)


def test_a_wrong_pin_is_told(serve, write):
    """The parameter is a switch."""
    write("m", 100, parameters={"pinned": "perhaps"})
    with pytest.raises(RepositoryError, match="parameter 'pinned' of model 'm' is 'perhaps': expected 0 or 1"):
        serve(1000)


def test_a_model_larger_than_the_budget_fails(serve, write):
    """The start says so; the others serve."""
    write("large", 1001)
    write("small", 10)
    server = serve(1000, exit_on_error=False)
    (row,) = [row for row in server.index() if row.name == "large"]
    assert row.reason == (
        "Unavailable: model 'large' version 1 takes 1001 bytes of memory, and the budget is 1000 bytes: raise --memory-budget, "
        "or serve the model elsewhere"
    )
    ask(server, "small")


def test_a_model_that_turns_out_to_be_larger_than_the_budget_is_refused(serve, write, tmp_path):
    """Where the files did not tell, the first request is told; the model does not stay."""
    write("m", 100)
    (tmp_path / "m/1/model.txt").write_text("1001")
    server = serve(1000)
    with pytest.raises(
        UnavailableError, match="model 'm' version 1 takes 1001 bytes of memory, and the budget is 1000"
    ):
        ask(server, "m")
    assert resident(server) == set()


def test_a_model_that_takes_more_than_thought_pushes_others_out(serve, write, tmp_path, memory):
    """What a load finds out is what is counted: another model goes before this one stays."""
    write("a", 100)
    write("b", 100)
    (tmp_path / "b/1/model.txt").write_text("150")
    server = serve(200)
    ask(server, "a")
    ask(server, "b")
    assert resident(server) == {"b"}
    assert memory.loads == ["a", "b", "b"]


def test_a_load_by_name_is_made_at_once(serve, write, memory):
    """Whoever asks for a load gets a model that is in memory, or the reason; it goes later like any other."""
    write("a", 100)
    write("b", 100)
    server = serve(100, model_control_mode="explicit")
    server.load("a")
    assert resident(server) == {"a"}
    server.load("b")
    assert resident(server) == {"b"}
    ask(server, "a")
    memory.broken.add("b")
    with pytest.raises(InvalidArgumentError, match="version 1 is at UNAVAILABLE state: Internal: ValueError: broken"):
        server.load("b")
    server.load("a")
    assert memory.loads == ["a", "b", "a", "b", "a"]


@pytest.mark.parametrize("used", [True, False])
def test_an_unload_is_for_good(serve, write, memory, used):
    """A model that was unloaded comes at no request, whether it was in memory or not; a load brings it back."""
    write("m", 100)
    server = serve(100)
    if used:
        ask(server, "m")
    server.unload("m")
    with pytest.raises(NotFoundError):
        ask(server, "m")
    server.load("m")
    ask(server, "m")


def test_a_reload_keeps_a_model_where_it_was(serve, write, memory):
    """What is in memory is replaced there, beside the old one; a model that is not stays out."""
    write("a", 100)
    write("b", 100)
    server = serve(200)
    ask(server, "a")
    for name in "ab":
        write(name, 100, max_batch_size=4)
    assert server._lifecycle.load_all("ab") == {}
    assert resident(server) == {"a"}
    assert memory.loads == ["a", "a"]
    assert server.model_config("b").max_batch_size == 4
    ask(server, "b")


def test_polling_makes_models_known(serve, write, memory, tmp_path):
    """A model that appears in a repository that is followed comes at its first request; one that goes takes nothing."""
    write("a", 100)
    server = serve(100, model_control_mode="poll", repository_poll_secs=0.05, repository_settle_secs=0)
    ask(server, "a")
    write("b", 100)
    wait_until(lambda: server.can_serve("b"))
    assert resident(server) == {"a"}
    ask(server, "b")
    shutil.rmtree(tmp_path / "b")
    wait_until(lambda: not server.can_serve("b") and memory.taken == 0)


def test_quick_models_are_quick_in_memory_only(serve, write, monkeypatch):
    """An event loop executes a request itself where the model has proved to be quick, and where that takes no load."""
    monkeypatch.setattr(Echo, "predictable", True)
    write("m", 100)
    write("other", 100)
    server = serve(100)
    answers = queue.SimpleQueue()

    def prompt():
        return server.submit_prompt(InferenceRequest("m", {"INPUT0": ROW}, answers.put))

    assert not prompt()
    while not prompt():
        ask(server, "m")
    assert answers.get_nowait().error is None
    ask(server, "other")
    assert not prompt()


def test_loads_and_unloads_go_with_requests(serve, write, memory):
    """Whatever is loaded, loaded anew and unloaded meanwhile, a request is answered, or told that its model is unloaded."""
    names = [f"m{place}" for place in range(12)]
    for name in names:
        write(name, 100)
    server = serve(300, model_control_mode="explicit", load_model=["*"])

    def client(seed):
        choose = random.Random(seed)
        for name in choose.choices(names, k=150):
            with suppress(NotFoundError):
                ask(server, name)

    def operator(seed):
        choose = random.Random(seed)
        for name in choose.choices(names, k=40):
            if choose.random() < 0.3:
                server.unload(name)
            else:
                group = {"kind": "KIND_CPU", "count": choose.randint(1, 3)}  # often all that is different
                config = {"backend": "weighty", "max_batch_size": choose.choice([4, 8]), "instance_group": [group]}
                server.load(name, config=json.dumps({**config, **TENSORS}))

    with ThreadPoolExecutor(8) as pool:
        todo = [pool.submit(client, seed) for seed in range(6)] + [pool.submit(operator, seed) for seed in range(2)]
        for done in todo:
            done.result(120)
    assert memory.most <= 300
    for name in names:
        server.load(name)
        ask(server, name)


def test_two_hundred_models_share_room_for_twenty(serve, write, memory):
    """Whatever is asked, mostly of a few and at times of any, from several threads: no error, and never over the budget."""
    names = [f"m{place}" for place in range(200)]
    for name in names:
        write(name, 100, instance_count=1)
    server = serve(2000)
    weights = [1 / (rank + 1) for rank in range(200)]

    def client(seed):
        choose = random.Random(seed)
        for name in choose.choices(names, weights, k=250):
            ask(server, name)
            assert server._loader._budget.counted <= 2000

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(client, seed) for seed in range(8)]:
            done.result(120)
    assert memory.most <= 2000
    assert len(resident(server)) <= 20
    assert sum(told.counters.success.count for told in server.statistics()) == 8 * 250
    assert len(memory.loads) < 8 * 250
