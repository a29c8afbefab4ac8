"""The plugins: finding them, and the tables of what they offer. The only file that knows pluggy.

Discovery happens once, when a server or the command line starts. It imports each plugin's light entry module, asks its hooks
for names and import paths, and keeps a record of every plugin, of the broken ones too. An implementation is imported when it
is first needed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import pluggy
from packaging.requirements import Requirement

from charonia import defaults, hookspecs
from charonia.errors import PluginError
from charonia.frontend import FrontendOffer
from charonia.plugin_hints import Lack, explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from charonia.backend import Backend
    from charonia.frontend import Frontend
    from charonia.repository import RepositoryStorage
    from charonia.scheduler import Scheduler

__all__ = ["PluginRecord", "Plugins"]

_KINDS = {
    "backend": "charonia_backends",
    "scheduler": "charonia_schedulers",
    "storage": "charonia_repositories",
    "frontend": "charonia_frontends",
}


@dataclass(frozen=True)
class PluginRecord:
    """A thing that a plugin offers, or a plugin that offers nothing because something is wrong with it.

    Attributes:
        kind: "backend", "scheduler", "storage" or "frontend"; "" where the plugin could not be asked.
        name: the name under which it is chosen; "" likewise.
        plugin: the entry point's name.
        distribution: the distribution that brings it.
        version: the distribution's version.
        state: "ok", "broken", "disabled", "conflict" or "incompatible".
        reason: what is wrong, and what to do.
        path: "module:Class" of the implementation.
    """

    kind: str
    name: str
    plugin: str
    distribution: str
    version: str
    state: str = "ok"
    reason: str = ""
    path: str = ""


class Plugins:
    """The plugins of one server.

    Args:
        disabled: entry points or distributions that are left alone: not imported, not used.
        choices: which distribution serves a name that several claim, as "backend.onnxruntime" → distribution.
        entry_points: the entry points to look at; those of the installed distributions if not given.
        extra: objects with hook implementations, registered as they are; for embedding, and for tests.
    """

    def __init__(
        self,
        *,
        disabled: Sequence[str] = (),
        choices: Mapping[str, str] | None = None,
        entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
        extra: Sequence[object] = (),
    ) -> None:
        self._disabled = frozenset(disabled)
        self._choices = dict(choices or {})
        self._lock = threading.Lock()  # guards `_classes` and `_records`
        self._records: list[PluginRecord] = []
        self._offers: dict[str, FrontendOffer] = {}
        self._classes: dict[tuple[str, str], type] = {}
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        own = PluginRecord("", "", "default", "charonia", _core_version())
        self._register(defaults, own)
        for plugin in extra:
            self._register(plugin, PluginRecord("", "", type(plugin).__name__, type(plugin).__module__, ""))
        found = importlib.metadata.entry_points(group=hookspecs.PROJECT) if entry_points is None else entry_points
        for entry_point in sorted(found, key=lambda point: (point.name, point.value)):
            self._discover(entry_point)
        self._settle_claims()
        self._settle_options()

    # -- discovery

    def _discover(self, entry_point: importlib.metadata.EntryPoint) -> None:
        distribution = entry_point.dist
        name = distribution.name if distribution else entry_point.value
        version = distribution.version if distribution else ""
        record = PluginRecord("", "", entry_point.name, name, version)
        switch = next((word for word in (entry_point.name, name) if word in self._disabled), None)
        if switch is not None:
            self._records.append(replace(record, state="disabled", reason=f"switched off by --disable-plugin {switch}"))
            return
        mismatch = _core_mismatch(distribution)
        if mismatch:
            self._records.append(replace(record, state="incompatible", reason=mismatch))
            return
        try:
            plugin = entry_point.load()
        except Exception as error:  # noqa: BLE001 - the border of plugins: a broken one is recorded, the others go on
            self._records.append(replace(record, state="broken", reason=f"failed to import: {_brief(error)}"))
            return
        self._register(plugin, record)

    def _register(self, plugin: object, record: PluginRecord) -> None:
        try:
            self._manager.register(plugin, f"{record.plugin} of {record.distribution}")
            self._manager.check_pending()
            for kind, hook in _KINDS.items():
                for implementation in getattr(self._manager.hook, hook).get_hookimpls():
                    if implementation.plugin is plugin:
                        self._take(kind, implementation.function(), record)
        except Exception as error:  # noqa: BLE001 - the border of plugins: a broken one is recorded, the others go on
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            self._records.append(replace(record, state="broken", reason=_brief(error)))

    def _take(self, kind: str, offered: Mapping[str, str | FrontendOffer], record: PluginRecord) -> None:
        for name, offer in offered.items():
            path = offer.path if isinstance(offer, FrontendOffer) else offer
            self._records.append(replace(record, kind=kind, name=name, path=path))
            if isinstance(offer, FrontendOffer):
                self._offers[path] = offer

    def _settle_claims(self) -> None:
        """Where several plugins claim one name, only the chosen one stays; without a choice none does."""
        claims: dict[tuple[str, str], list[int]] = {}
        for place, record in enumerate(self._records):
            if record.state == "ok":
                claims.setdefault((record.kind, record.name), []).append(place)
        for (kind, name), places in claims.items():
            if len(places) == 1:
                continue
            key = f"{kind}.{name}"
            chosen = self._choices.get(key)
            claimants = [self._records[place].distribution for place in places]
            for place in places:
                record = self._records[place]
                if record.distribution == chosen:
                    continue
                reason = (
                    f'{chosen} was chosen for {kind} "{name}"'
                    if chosen in claimants
                    else f"{' and '.join(claimants)} claim the same name: choose one with plugins.{key} in the server's config"
                )
                self._records[place] = replace(record, state="conflict", reason=reason)

    def _settle_options(self) -> None:
        """An option can belong to one frontend only."""
        owner: dict[str, str] = {}
        for place, record in enumerate(self._records):
            if record.kind != "frontend" or record.state != "ok":
                continue
            for option in self._offers[record.path].options:
                first = owner.setdefault(option.name, record.distribution)
                if first != record.distribution:
                    reason = f"the option --{option.name} belongs to {first} already"
                    self._records[place] = replace(record, state="conflict", reason=reason)

    # -- what there is

    def records(self) -> list[PluginRecord]:
        """List all that the plugins offer, and all that is wrong with them, sorted by kind and name."""
        with self._lock:
            return sorted(self._records, key=lambda record: (record.kind, record.name, record.distribution))

    def names(self, kind: str) -> list[str]:
        """List the names of a kind that can be used, sorted."""
        return sorted({record.name for record in self.records() if record.kind == kind and record.state == "ok"})

    def frontends(self) -> Mapping[str, FrontendOffer]:
        """Give the offers of all frontends that can be used, by name."""
        return {
            record.name: self._offers[record.path]
            for record in self.records()
            if record.kind == "frontend" and record.state == "ok"
        }

    # -- choosing

    def backend(self, name: str, *, asker: str) -> type[Backend]:
        """Give the class of a backend.

        Args:
            name: the backend's name.
            asker: who needs it, for the error: `model "resnet" (config.pbtxt)`.

        Raises:
            PluginError: no working plugin provides it; says why, and what to do.
        """
        return cast("type[Backend]", self._class("backend", name, asker))

    def scheduler(self, name: str, *, asker: str) -> type[Scheduler]:
        """Give the class of a scheduler. Otherwise as `backend`."""
        return cast("type[Scheduler]", self._class("scheduler", name, asker))

    def storage(self, scheme: str, *, asker: str) -> type[RepositoryStorage]:
        """Give the class of the storage for URLs of a scheme. Otherwise as `backend`."""
        return cast("type[RepositoryStorage]", self._class("storage", scheme, asker))

    def frontend(self, name: str) -> type[Frontend]:
        """Give the class of a frontend. Raises PluginError if it cannot be imported."""
        return cast("type[Frontend]", self._class("frontend", name, "the server"))

    def _class(self, kind: str, name: str, asker: str) -> type:
        with self._lock:
            known = self._classes.get((kind, name))
        if known is not None:
            return known
        records = self.records()
        record = next((item for item in records if (item.kind, item.name, item.state) == (kind, name, "ok")), None)
        if record is None:
            raise PluginError(explain(Lack(asker, kind, name), records))
        module, _, attribute = record.path.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # the border of plugins: whatever its framework raises at import
            broken = replace(record, state="broken", reason=f"failed to import: {_brief(error)}")
            with self._lock:
                self._records[self._records.index(record)] = broken
            raise PluginError(explain(Lack(asker, kind, name), self.records())) from error
        with self._lock:
            self._classes[kind, name] = found
        return cast("type", found)


def _core_version() -> str:
    return importlib.metadata.version("charonia")


def _core_mismatch(distribution: importlib.metadata.Distribution | None) -> str:
    """Tell why a plugin's own metadata does not allow this core; "" if it does."""
    for text in (distribution.requires if distribution else None) or ():
        wanted = Requirement(text)
        if wanted.name == "charonia" and not wanted.specifier.contains(_core_version(), prereleases=True):
            name = distribution.name if distribution else ""
            version = distribution.version if distribution else ""
            return (
                f"{name} {version} asks for charonia{wanted.specifier}, this is {_core_version()}: "
                f"pip install -U charonia {name}"
            )
    return ""


def _brief(error: BaseException) -> str:
    """Word an exception in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ImportError | PluginError) else f"{type(error).__name__}: {text}"
