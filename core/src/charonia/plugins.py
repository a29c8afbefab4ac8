"""The plugins of a server: what they offer, by kind and name, and clear words where something is missing."""

from __future__ import annotations

import importlib.metadata
import logging
from typing import TYPE_CHECKING, Any, cast

from charonia.errors import PluginError
from charonia.frontend_offer import FrontendOffer
from charonia.hookspecs import PROJECT
from charonia.plugin_discovery import PluginRecord, discover
from charonia.plugin_hints import KIND_WORDS, explain_lack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from click import Command

    from charonia.backend import Backend
    from charonia.cache import ResponseCache
    from charonia.plugin_discovery import Offer, PluginState, Source
    from charonia.repository import RepositoryStorage
    from charonia.scheduler import Scheduler
    from charonia.trace_writer import TraceWriter
    from charonia.transport import HttpTransport, RpcTransport

__all__ = ["Plugins"]

_log = logging.getLogger(__name__)


class Plugins:
    """What the installed plugins offer. Owned by a server; any thread may ask.

    The plugins' entry modules are imported here and now. An implementation is imported when it is first asked for; if that
    fails it stays broken, since a second import of a half-imported framework tells nothing but follow-up errors.

    Args:
        disabled: plugins that are left alone, by the name of their entry point or distribution.
        choices: which plugin serves a name that several claim, such as "backend.onnxruntime" → a distribution.
        entry_points: where plugins are found; the group `charonia` of this environment if not given.
        extra: further plugins, as modules or objects with hook implementations.

    Raises:
        PluginError: a choice is not of the form <kind>.<name>.
    """

    def __init__(
        self,
        *,
        disabled: Sequence[str] = (),
        choices: Mapping[str, str] | None = None,
        entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
        extra: Sequence[object] = (),
    ) -> None:
        if entry_points is None:
            entry_points = importlib.metadata.entry_points(group=PROJECT)
        found = discover(entry_points, extra, disabled)
        self._failures = found.failures
        self._offers: dict[tuple[str, str], list[Offer]] = {}
        for offer in found.offers:
            self._offers.setdefault((offer.kind, offer.name), []).append(offer)
        self._settle_names(dict(choices or {}))
        self._settle_options()
        self._report(disabled)

    # -- what is asked of it

    def backend(self, name: str, *, asker: str) -> type[Backend]:
        """Give the class of a backend, imported at the first call.

        Args:
            name: the backend's name in a model's configuration.
            asker: who needs it, for the error's text: `model "resnet" (config.pbtxt)`.

        Raises:
            PluginError: no working plugin provides it. The text tells what to do.
        """
        from charonia.backend import Backend

        return cast("type[Backend]", self._implementation("backend", name, asker, Backend))

    def scheduler(self, name: str, *, asker: str) -> type[Scheduler]:
        """Give the class of a scheduler. Otherwise as `backend`."""
        from charonia.scheduler import Scheduler

        return cast("type[Scheduler]", self._implementation("scheduler", name, asker, Scheduler))

    def storage(self, scheme: str, *, asker: str) -> type[RepositoryStorage]:
        """Give the class of the storage for a URL's scheme. Otherwise as `backend`."""
        from charonia.repository import RepositoryStorage

        return cast("type[RepositoryStorage]", self._implementation("storage", scheme, asker, RepositoryStorage))

    def cache(self, name: str, *, asker: str) -> type[ResponseCache]:
        """Give the class of a response cache. Otherwise as `backend`."""
        from charonia.cache import ResponseCache

        return cast("type[ResponseCache]", self._implementation("cache", name, asker, ResponseCache))

    def trace_writer(self, mode: str) -> type[TraceWriter]:
        """Give the class of a trace mode. Otherwise as `backend`."""
        from charonia.trace_writer import TraceWriter

        return cast("type[TraceWriter]", self._implementation("trace_writer", mode, "the server", TraceWriter))

    def transport(self, name: str) -> type[HttpTransport]:
        """Give the class of a transport for HTTP. Otherwise as `backend`.

        Args:
            name: the transport's name; the frontends' own one, `STANDARD`, is no plugin's.
        """
        from charonia.transport import HttpTransport

        return cast("type[HttpTransport]", self._implementation("transport", name, "the server", HttpTransport))

    def rpc_transport(self, name: str) -> type[RpcTransport]:
        """Give the class of a transport for gRPC. Otherwise as `transport`."""
        from charonia.transport import RpcTransport

        return cast("type[RpcTransport]", self._implementation("rpc_transport", name, "the server", RpcTransport))

    def command(self, name: str, *, asker: str) -> Command:
        """Give a command of the command line. Otherwise as `backend`."""
        from click import Command

        return cast("Command", self._implementation("command", name, asker, Command))

    def frontend(self, name: str, interface: type) -> Any:
        """Give the class of a frontend, which implements `interface`: `charonia.frontend.Frontend`. Otherwise as `backend`."""
        return self._implementation("frontend", name, "the server", interface)

    def frontends(self) -> Mapping[str, FrontendOffer]:
        """Tell which frontends can be used, by name, and their options, without importing any."""
        return {
            name: FrontendOffer(offer.path, tuple(offer.options))
            for name in self.names("frontend")
            for offer in self._usable("frontend", name)
        }

    def names(self, kind: str) -> list[str]:
        """List the names of a kind that can be used, as far as is known before they are imported; sorted."""
        return sorted(name for offered, name in self._offers if offered == kind and self._usable(kind, name))

    def records(self) -> list[PluginRecord]:
        """List all that is offered and all plugins that could not be asked, sorted by kind and name, the latter last."""
        offers = [offer for group in self._offers.values() for offer in group]
        lines = [_record(item.source, item.state, item.reason, item.kind, item.name, item.path) for item in offers]
        lines.sort(key=lambda line: (list(KIND_WORDS).index(line.kind), line.name, line.distribution))
        return lines + [_record(failure.source, failure.state, failure.reason) for failure in self._failures]

    # -- clashes

    def _settle_names(self, choices: dict[str, str]) -> None:
        for key in choices:
            kind, separator, name = key.partition(".")
            if kind not in KIND_WORDS or not separator or not name:
                raise PluginError(
                    f"plugins.{key} in the server's config: expected plugins.<kind>.<name>, where the kind is one of "
                    f"{', '.join(KIND_WORDS)}"
                )
        for (kind, name), group in self._offers.items():
            choice = choices.get(f"{kind}.{name}")
            if choice is not None:
                _apply_choice(group, choice)
            elif len(group) > 1:
                for offer in group:
                    offer.state = "conflict"
                    offer.reason = (
                        f"provided by {_and_by(group)}: choose one with plugins.{kind}.{name} in the server's config"
                    )

    def _settle_options(self) -> None:
        """Refuse frontends that claim one option's name, since nobody could tell which of them is meant."""
        claims: dict[str, list[Offer]] = {}
        for name in self.names("frontend"):
            for offer in self._usable("frontend", name):
                for option in offer.options:
                    claims.setdefault(option.name, []).append(offer)
        for option_name, group in claims.items():
            if len(group) > 1:
                for offer in group:
                    offer.state = "conflict"
                    offer.reason = (
                        f'kept out, since its option "{option_name}" is claimed by {_and_by(group)}: '
                        "switch one off with --disable-plugin"
                    )

    def _report(self, disabled: Sequence[str]) -> None:
        for line in self.records():
            if line.state not in {"ok", "disabled"}:
                what = f'{KIND_WORDS[line.kind]} "{line.name}"' if line.kind else f'plugin "{line.plugin}"'
                _log.warning("%s of %s: %s", what, line.distribution or line.plugin, line.reason)
        sources = {offer.source for group in self._offers.values() for offer in group}
        sources.update(failure.source for failure in self._failures)
        for name in disabled:
            if not any(source.is_called(name) for source in sources):
                _log.warning("--disable-plugin %s: no plugin of this name is installed", name)

    # -- implementations

    def _usable(self, kind: str, name: str) -> list[Offer]:
        """Give the one offer that serves a name, or nothing."""
        return [offer for offer in self._offers.get((kind, name), ()) if offer.state == "ok"]

    def _implementation(self, kind: str, name: str, asker: str, interface: type) -> Any:
        group = self._offers.get((kind, name), [])
        for offer in group:
            implementation = offer.implementation(interface)
            if implementation is not None:
                return implementation
        cause = next((offer.cause for offer in group if offer.cause is not None), None)
        raise PluginError(explain_lack(asker, kind, name, self.records())) from cause


def _apply_choice(group: list[Offer], choice: str) -> None:
    kind, name = group[0].kind, group[0].name
    chosen = [offer for offer in group if offer.source.is_called(choice)]
    for offer in group:
        if len(chosen) != 1:
            offer.state = "conflict"
            offer.reason = (
                f'provided by {_and_by(group)}, but plugins.{kind}.{name} in the server\'s config chooses "{choice}": '
                "name one of these"
            )
        elif offer is not chosen[0]:
            offer.state = "disabled"
            offer.reason = f"not chosen: plugins.{kind}.{name} in the server's config is {choice}"


def _and_by(group: Sequence[Offer]) -> str:
    return " and by ".join(offer.source.name for offer in group)


def _record(
    source: Source, state: PluginState, reason: str, kind: str = "", name: str = "", path: str = ""
) -> PluginRecord:
    return PluginRecord(kind, name, source.plugin, source.distribution, source.version, state, reason, path)
