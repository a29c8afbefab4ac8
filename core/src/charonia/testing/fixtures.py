"""The fixtures that every pytest run of an environment with Charonia has. Importing this costs next to nothing."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from charonia.options import ServerOptions
    from charonia.plugins import Plugins
    from charonia.server import Server

__all__ = ["StartServer", "model_repository", "no_surviving_threads", "server"]

_PATIENCE_SECONDS = 30.0

for _suite in (
    "backend_bench",
    "backend_suite",
    "cache_suite",
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


@pytest.fixture
def no_surviving_threads() -> Iterator[None]:
    """Fail the test if a thread of Charonia that it started goes on after it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + _PATIENCE_SECONDS
    mine = [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("charonia-")]
    for thread in mine:
        thread.join(max(0.0, deadline - time.monotonic()))
    surviving = [thread.name for thread in mine if thread.is_alive()]
    if surviving:
        pytest.fail(
            f"threads that go on after the test: {', '.join(surviving)}; close the server or model that owns them"
        )
