"""Running a server's frontends: on the main thread until a signal, or beside an application in a thread of their own."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from charonia.errors import CharoniaError, PluginError
from charonia.frontend import Frontend
from charonia.own_signals import OWN_SIGNALS, kept_from_forks
from charonia.process_tuning import tune_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from charonia.frontend_offer import OptionValue
    from charonia.plugins import Plugins
    from charonia.server import Server

__all__ = ["Serving", "serve_in_thread"]

_log = logging.getLogger(__name__)


def _defaults(plugins: Plugins) -> dict[str, OptionValue]:
    """Give every option that the installed frontends take, with its default."""
    return {option.name: option.default for offer in plugins.frontends().values() for option in offer.options}


class Serving:
    """The frontends of a server, on one event loop. The caller starts the server before they run, and closes it after them.

    Args:
        server: the server.
        options: settings of the frontends by option name; defaults hold for the rest.

    Raises:
        PluginError: an option that no installed frontend takes.
    """

    def __init__(self, server: Server, options: Mapping[str, OptionValue] | None = None) -> None:
        settings = _defaults(server.plugins)
        unknown = sorted(set(options or {}) - set(settings))
        if unknown:
            known = ", ".join(sorted(settings)) or "none"
            raise PluginError(f"no installed frontend has the option {unknown[0]!r} (options: {known})")
        settings.update(options or {})
        self._server = server
        self._frontends: dict[str, Frontend] = {}
        for name, offer in server.plugins.frontends().items():
            own = {option.name: settings[option.name] for option in offer.options}
            kind: type[Frontend] = server.plugins.frontend(name, Frontend)
            frontend = kind(server, own)
            if frontend.enabled:
                self._frontends[name] = frontend
        self.urls: list[str] = []

    def event_loop(self) -> Callable[[], asyncio.AbstractEventLoop]:
        """Give the event loop that the first frontend with a preference wants, else asyncio's own."""
        preferred = (type(frontend).event_loop() for frontend in self._frontends.values())
        return next((factory for factory in preferred if factory is not None), asyncio.new_event_loop)

    def run(self, started: Callable[[Serving], None]) -> None:
        """Serve on this thread, which is the main one, until SIGINT or SIGTERM; then finish what was accepted.

        Args:
            started: called once the frontends listen.

        Raises:
            CharoniaError: an address cannot be bound.
        """
        tune_process()
        with kept_from_forks(), asyncio.Runner(loop_factory=self.event_loop()) as runner:
            runner.run(self._until_signal(started))

    async def _until_signal(self, started: Callable[[Serving], None]) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in OWN_SIGNALS:
            loop.add_signal_handler(number, stop.set)
        await self.start()
        try:
            started(self)
            await stop.wait()
        finally:
            self._server.begin_shutdown()
            grace = self._server.options.exit_timeout_secs
            _log.info("stopping: requests in progress have %g s to finish, and new ones are refused", grace)
            await self.stop()

    async def start(self) -> None:
        """Have every frontend listen. If one cannot, those that do are stopped.

        Raises:
            CharoniaError: an address cannot be bound.
        """
        try:
            for name, frontend in self._frontends.items():
                self.urls += await _listening(name, frontend)
        except BaseException:
            await self.stop()
            raise

    def describe(self) -> dict[str, Any]:
        """Tell what the frontends add to the start-up screen, as label → value."""
        return {label: value for frontend in self._frontends.values() for label, value in frontend.describe().items()}

    async def stop(self) -> None:
        """Let requests in progress finish, and close the frontends. Idempotent."""
        grace = self._server.options.exit_timeout_secs
        stopping = [frontend.stop(grace) for frontend in self._frontends.values()]
        outcomes = await asyncio.gather(*stopping, return_exceptions=True)
        for name, outcome in zip(self._frontends, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                _log.error('the frontend "%s" failed to stop', name, exc_info=outcome)


async def _listening(name: str, frontend: Frontend) -> Sequence[str]:
    try:
        return await frontend.start()
    except OSError as error:
        raise CharoniaError(f'the frontend "{name}" cannot listen: {error}; choose another address or port') from error


@contextmanager
def serve_in_thread(server: Server, options: Mapping[str, OptionValue] | None = None) -> Iterator[list[str]]:
    """Run a started server's frontends in a thread of their own; gives their URLs, and stops them at the end of the block.

    For applications that embed the server and want it reached from outside, too. The server itself stays the caller's.
    """
    serving = Serving(server, options)
    listening: Future[Callable[[], None]] = Future()

    async def until_told() -> None:
        stop = asyncio.Event()
        mailbox = server.mailboxes.of(asyncio.get_running_loop())
        await serving.start()
        listening.set_result(lambda: mailbox.post(lambda _: stop.set(), None))
        await stop.wait()
        await serving.stop()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=serving.event_loop()) as runner:
                runner.run(until_told())
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits for the start
            if listening.done():
                _log.exception("the frontends ended in disorder")
            else:
                listening.set_exception(error)

    thread = threading.Thread(target=run, name="charonia-frontends", daemon=True)
    thread.start()
    try:
        stop = listening.result()
        try:
            yield serving.urls
        finally:
            stop()
    finally:
        thread.join()
