"""The fixtures that every pytest run of an environment with Charonia has. Importing this costs next to nothing."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

import pytest

from charonia.testing.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from charonia.handle import ModelHandle
    from charonia.options import ServerOptions
    from charonia.plugins import Plugins
    from charonia.server import Server
    from charonia.testing.stand_in import StandIn

__all__ = ["LoadModel", "StartServer", "model_repository", "no_surviving_threads", "python_model", "server"]

for _suite in (
    "backend_bench",
    "backend_suite",
    "cache_suite",
    "framework_suite",
    "ragged_suite",
    "remote_storage_suite",
    "repository_suite",
    "scheduler_suite",
    "shared_objects",
    "suite",
):
    pytest.register_assert_rewrite(f"charonia.testing.{_suite}")


class StartServer(Protocol):
    """Starts a server, which is closed at the end of the test."""

    def __call__(
        self,
        model_repository: str | Path | list[str | Path],
        *,
        options: ServerOptions | None = None,
        plugins: Plugins | None = None,
    ) -> Server:
        """Start a server; the arguments are those of `charonia.Server`."""


@pytest.fixture
def model_repository(tmp_path: Path) -> Path:
    """Give an empty model repository; `charonia.testing.builders.write_model` fills it."""
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def server(no_surviving_threads: None) -> Iterator[StartServer]:
    """Start servers that are closed at the end of the test; it fails if one of their threads survives them."""
    del no_surviving_threads
    from contextlib import ExitStack

    from charonia.server import Server

    with ExitStack() as opened:

        def start(
            model_repository: str | Path | list[str | Path],
            *,
            options: ServerOptions | None = None,
            plugins: Plugins | None = None,
        ) -> Server:
            return opened.enter_context(Server(model_repository, options=options, plugins=plugins))

        yield start


class LoadModel(Protocol):
    """Loads a model, which is unloaded at the end of the test."""

    def __call__(
        self,
        path: str | Path,
        *,
        config: str | None = None,
        others: Mapping[str, StandIn] | None = None,
        options: ServerOptions | None = None,
    ) -> ModelHandle:
        """Load a model, with nothing of a server but what calls its code.

        Args:
            path: the model's directory, or its `model.py`.
            config: the text of a configuration, instead of the stored one.
            others: the models that it calls, by name.
            options: the server's options.

        Returns:
            What asks it: `infer` for one answer, `stream` for any number of them.
        """


@pytest.fixture
def python_model(no_surviving_threads: None) -> Iterator[LoadModel]:
    """Load models of a `model.py`, feed them, and collect their answers; what they call, the test answers."""
    del no_surviving_threads
    from contextlib import ExitStack

    from charonia.lone_model import serve_alone
    from charonia.plugins import Plugins
    from charonia.testing.stand_in import StandInPlugin, standing_in

    with ExitStack() as opened:

        def load(
            path: str | Path,
            *,
            config: str | None = None,
            others: Mapping[str, StandIn] | None = None,
            options: ServerOptions | None = None,
        ) -> ModelHandle:
            furnish = opened.enter_context(standing_in(others or {}))
            plugins = Plugins(extra=[StandInPlugin()])
            served = serve_alone(path, config=config, plugins=plugins, options=options, furnish=furnish)
            return opened.enter_context(served)

        yield load


@pytest.fixture
def no_surviving_threads() -> Iterator[None]:
    """Fail the test if a thread of Charonia that it started goes on after it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE_SECONDS
    mine = [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("charonia-")]
    for thread in mine:
        thread.join(max(0.0, deadline - time.monotonic()))
    surviving = [thread.name for thread in mine if thread.is_alive()]
    if surviving:
        pytest.fail(
            f"threads that go on after the test: {', '.join(surviving)}; close the server or model that owns them"
        )
