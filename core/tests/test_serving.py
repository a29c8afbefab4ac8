"""Running frontends: who starts is stopped, whatever the others do; and beside an application in a thread."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import ClassVar

import pytest
from charonia import Server
from charonia.errors import CharoniaError, PluginError
from charonia.frontend import Frontend
from charonia.frontend_offer import FrontendOffer, FrontendOption
from charonia.hookspecs import hookimpl
from charonia.plugins import Plugins
from charonia.serving import Serving, serve_in_thread

MODULE = "charonia_test_serving"


class Noted(Frontend):
    """Notes what is done with it."""

    notes: ClassVar[list]
    name: ClassVar[str]

    @property
    def enabled(self):
        return bool(self.options[f"allow-{self.name}"])

    async def start(self):
        self.notes.append((self.name, "start", threading.current_thread().name))
        return [f"{self.name}://here"]

    async def stop(self, grace_seconds):
        self.notes.append((self.name, "stop", grace_seconds))


class First(Noted):
    name = "first"


class Second(Noted):
    name = "second"
    on_start: ClassVar[Exception | None]
    on_stop: ClassVar[Exception | None]

    async def start(self):
        if self.on_start is not None:
            raise self.on_start
        return await super().start()

    async def stop(self, grace_seconds):
        if self.on_stop is not None:
            raise self.on_stop
        await super().stop(grace_seconds)


class TwoFrontends:
    @hookimpl
    def charonia_frontends(self):
        return {
            kind.name: FrontendOffer(
                f"{MODULE}:{kind.__name__}", [FrontendOption(f"allow-{kind.name}", True, "Serve it.")]
            )
            for kind in (First, Second)
        }


@pytest.fixture
def notes(monkeypatch):
    notes = []
    monkeypatch.setattr(Noted, "notes", notes, raising=False)
    monkeypatch.setattr(Second, "on_start", None, raising=False)
    monkeypatch.setattr(Second, "on_stop", None, raising=False)
    module = ModuleType(MODULE)
    module.First, module.Second = First, Second
    monkeypatch.setitem(sys.modules, MODULE, module)
    return notes


@pytest.fixture
def server(notes):
    with Server(plugins=Plugins(entry_points=(), extra=[TwoFrontends()])) as server:
        yield server


def test_frontends_run_beside_an_application(server, notes):
    """They listen on a thread of their own while the block lasts, and are stopped at its end with the server's grace."""
    with serve_in_thread(server) as urls:
        assert urls == ["first://here", "second://here"]
    assert notes == [
        ("first", "start", "charonia-frontends"),
        ("second", "start", "charonia-frontends"),
        ("first", "stop", 30.0),
        ("second", "stop", 30.0),
    ]
    assert "charonia-frontends" not in {thread.name for thread in threading.enumerate()}


def test_frontend_that_is_switched_off_is_not_started(server, notes):
    """Options reach the frontend that has them."""
    with serve_in_thread(server, {"allow-second": False}) as urls:
        assert urls == ["first://here"]
    assert {name for name, *_ in notes} == {"first"}


def test_unknown_option_is_told(server):
    """An option that no frontend takes is refused, with those that there are."""
    with pytest.raises(PluginError, match=r"'http-prot' \(options: allow-first, allow-second\)"):
        Serving(server, {"http-prot": 1})


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (
            OSError("port 80 is taken"),
            CharoniaError,
            'the frontend "second" cannot listen: port 80 is taken; choose another',
        ),
        (ValueError("no such key"), ValueError, "no such key"),
    ],
)
def test_frontend_that_cannot_start_stops_the_others(server, notes, monkeypatch, error, raised, text):
    """Whatever keeps one from starting, those that listen already are stopped, and the caller learns why."""
    monkeypatch.setattr(Second, "on_start", error)
    with pytest.raises(raised, match=text), serve_in_thread(server):
        pass
    assert ("first", "stop", 30.0) in notes


def test_frontend_that_cannot_stop_is_logged(server, notes, monkeypatch, caplog):
    """A failing stop keeps neither the others nor the caller from theirs."""
    monkeypatch.setattr(Second, "on_stop", RuntimeError("stuck"))
    with serve_in_thread(server):
        pass
    assert ("first", "stop", 30.0) in notes
    assert 'the frontend "second" failed to stop' in caplog.text


def test_error_of_the_application_ends_the_frontends(server, notes):
    """What the application raises in the block passes through, and the frontends are stopped all the same."""
    with pytest.raises(LookupError), serve_in_thread(server):
        raise LookupError
    assert [step for _, step, _ in notes] == ["start", "start", "stop", "stop"]
