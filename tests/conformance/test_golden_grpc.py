"""Exchanges over gRPC recorded from the reference, replayed against this server over a real socket; messages are compared whole."""

from __future__ import annotations

from functools import partial

import grpc
import pytest
import recorded_grpc
import recorded_memory
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from differences import LONGER_TEXTS, ON_PURPOSE
from recordings import GOLDEN, MODELS, answers_to, name_of, steps_of

FILES = {path.stem: recorded_memory.load(path) for path in sorted(GOLDEN.glob("grpc_*.json"))}
STEPS = [pytest.param(topic, step, id=f"{topic}-{name_of(step)}") for topic in FILES for step in steps_of(FILES[topic])]
SERVED = {model.name for model in MODELS.iterdir()}  # some exchanges bring others


@pytest.fixture(autouse=True)
def _no_surviving_threads():
    """Let a model that is loaded anew keep its new threads: they are of the server of all tests here, and end with it."""


@pytest.fixture(scope="module", params=["lean", "standard"])
def channel(request):
    """Serve the recordings' models, with their flags, on a free port, over each transport, and connect to it."""
    options = ServerOptions(
        transport=request.param,
        model_control_mode="explicit",
        load_model=["*"],
        exit_on_error=False,
        allow_client_shm=True,  # as it was without being asked when the recordings were made
    )
    with (
        recorded_memory.objects(FILES.values()),
        Server(MODELS, options=options) as server,
        serve_in_thread(server, {"grpc-port": 0, "allow-http": False}) as (url,),
        grpc.insecure_channel(url.removeprefix("grpc://")) as opened,
    ):
        yield opened


@pytest.mark.parametrize(("topic", "step"), STEPS)
def test_recorded_exchange(channel, topic, step):
    """The call ends with the recorded status and text, and answers with the recorded messages in their order."""
    keys = [(topic, exchange["id"]) for exchange in step]
    for key in keys:
        if key in ON_PURPOSE:
            pytest.skip(ON_PURPOSE[key])
    answers = answers_to(step, partial(recorded_grpc.ask, channel))
    for key, exchange, answer in zip(keys, step, answers, strict=True):
        recorded_grpc.check(exchange, answer, models=SERVED, longer_text=key in LONGER_TEXTS)


def test_every_difference_is_of_a_recording():
    """The list of differences names only what is recorded."""
    recorded = {(topic, exchange["id"]) for topic, file in FILES.items() for exchange in file["exchanges"]}
    assert {key for key in {*ON_PURPOSE, *LONGER_TEXTS} if key[0].startswith("grpc")} <= recorded
