"""Exchanges recorded from the reference, replayed against this server over a real socket and compared field by field."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from functools import partial
from urllib.parse import urlsplit

import pytest
import recorded_http
import recorded_memory
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from differences import (
    LONGER_TEXTS,
    NOT_REPEATABLE,
    ON_PURPOSE,
    STATUS_ON_PURPOSE,
)
from recordings import GOLDEN, MODELS, answers_to, name_of, steps_of
from steady_clock import SteadyTime

FILES = {path.stem: recorded_memory.load(path) for path in sorted(GOLDEN.glob("http_*.json"))}
STEPS = [pytest.param(topic, step, id=f"{topic}-{name_of(step)}") for topic in FILES for step in steps_of(FILES[topic])]
SERVED = {model.name for model in MODELS.iterdir()}  # some exchanges bring others
FRONTEND_FLAGS = {"http-restricted-api", "http-header-forward-pattern"}


@pytest.fixture
def no_surviving_threads():
    """Let the threads of models live that one exchange loads and others ask; `address_of` sees to their end."""


@pytest.fixture(scope="module", params=["lean", "standard"])
def address_of(request):
    """Serve the recordings' models, over each transport, and tell where by topic.

    Topics that were recorded with the same flags share a server.
    """
    addresses = {}
    before = set(threading.enumerate())
    with SteadyTime(), recorded_memory.objects(FILES.values()), ExitStack() as opened:

        def address(topic):
            flags = tuple(FILES[topic]["server_args"])
            if flags not in addresses:
                options, frontend = settings_of(flags, request.param)
                server = opened.enter_context(Server(MODELS, options=options))
                (url,) = opened.enter_context(
                    serve_in_thread(server, {"http-port": 0, "allow-grpc": False, **frontend})
                )
                addresses[flags] = (urlsplit(url).hostname, urlsplit(url).port)
            return addresses[flags]

        yield address
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("charonia-")]


def settings_of(flags, transport):
    """Give the server's options and the frontend's that recorded flags stand for."""
    told = {}
    for flag in flags:
        name, _, value = flag.removeprefix("--").partition("=")
        told.setdefault(name, []).append(value)
    options = ServerOptions(
        transport=transport,
        model_control_mode=told.pop("model-control-mode")[0],
        load_model=told.pop("load-model", []),
        exit_on_error=told.pop("exit-on-error", ["true"]) == ["true"],
        cache_config={name: dict([setting]) for name, setting in map(cache_of, told.pop("cache-config", []))},
        allow_client_shm=True,  # as it was without being asked when the recordings were made
    )
    frontend = {name: "\n".join(values) for name, values in told.items()}  # as options that come several times are told
    unknown = {name for name in told if not name.startswith("grpc-")} - FRONTEND_FLAGS
    assert not unknown
    return options, {name: value for name, value in frontend.items() if name in FRONTEND_FLAGS}


def cache_of(text):
    """Take a cache's name and its setting apart."""
    name, _, setting = text.partition(",")
    key, _, value = setting.partition("=")
    return name, (key, value)


@pytest.mark.parametrize(("topic", "step"), STEPS)
def test_recorded_exchange(address_of, topic, step):
    """The answer has the recorded status, content type, JSON and binary data."""
    keys = [(topic, exchange["id"]) for exchange in step]
    for key in keys:
        if reason := ON_PURPOSE.get(key) or NOT_REPEATABLE.get(key):
            pytest.skip(reason)
    answers = answers_to(step, partial(recorded_http.ask, address_of(topic)))
    for key, exchange, answer in zip(keys, step, answers, strict=True):
        status, _ = STATUS_ON_PURPOSE.get(key, (expected_status(exchange["response"]), ""))
        recorded_http.check(exchange, answer, status=status, models=SERVED, longer_text=key in LONGER_TEXTS)


def expected_status(recorded):
    """Give the status that is right here: an error about the form of the request, its JSON, types or members, is a 400."""
    text = recorded.get("body", {}).get("text", "")
    malformed = ("failed to parse the request JSON", "attempt to ", "Unable to parse", "unexpected error on creating")
    return 400 if recorded["status"] == 500 and any(words in text for words in malformed) else recorded["status"]


def test_every_difference_is_of_a_recording():
    """The list of differences names only what is recorded."""
    recorded = {(topic, exchange["id"]) for topic, file in FILES.items() for exchange in file["exchanges"]}
    listed = {*ON_PURPOSE, *NOT_REPEATABLE, *STATUS_ON_PURPOSE, *LONGER_TEXTS}
    assert {key for key in listed if key[0].startswith("http")} <= recorded
