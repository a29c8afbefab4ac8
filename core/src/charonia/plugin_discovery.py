"""Finding plugins and asking each of them what it offers.

Every plugin is asked on its own: one that fails leaves a record of why, and the others are none the worse for it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from charonia import defaults, hookspecs
from charonia.errors import PluginError
from charonia.frontend_offer import FrontendOffer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from charonia.frontend_offer import FrontendOption

__all__ = ["KIND_OF_HOOK", "Discovery", "Failure", "Offer", "PluginRecord", "PluginState", "Source", "discover"]

PluginState: TypeAlias = Literal["ok", "broken", "disabled", "conflict", "incompatible"]
"""Whether what a plugin offers can be used; if not, why not."""

KIND_OF_HOOK = {
    "charonia_backends": "backend",
    "charonia_schedulers": "scheduler",
    "charonia_repositories": "storage",
    "charonia_caches": "cache",
    "charonia_frontends": "frontend",
    "charonia_commands": "command",
    "charonia_trace_writers": "trace_writer",
    "charonia_transports": "transport",
    "charonia_rpc_transports": "rpc_transport",
}

_IMPORT_PATH = re.compile(r"\w+(\.\w+)*:\w+")


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from.

    Attributes:
        plugin: the name of the entry point, or of the object that was passed in.
        distribution: the distribution that brought it; "" where it came without one.
        version: the distribution's version, or "".
    """

    plugin: str
    distribution: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        """What a person calls it: the distribution, else the plugin."""
        return self.distribution or self.plugin

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()

    def is_called(self, name: str) -> bool:
        """Tell whether a name, as a user writes it, means this plugin: its entry point or its distribution."""
        wanted = canonicalize_name(name)
        return wanted in {canonicalize_name(self.plugin), canonicalize_name(self.distribution)}


@dataclass(frozen=True)
class PluginRecord:
    """One line of the list of plugins: something that is offered, or a plugin that could not be asked.

    Attributes:
        kind: what it is, as a key of `charonia.plugin_hints.KIND_WORDS`; "" where it could not be asked.
        name: the name by which it is chosen, or "".
        plugin: the name of the plugin's entry point.
        distribution, version: what brought it; "" where it was passed in by the program.
        state: "ok", "broken", "disabled", "conflict" or "incompatible".
        reason: why it is not ok.
        path: "module:Class" of the implementation, or "".
    """

    kind: str
    name: str
    plugin: str
    distribution: str
    version: str
    state: PluginState
    reason: str
    path: str


@dataclass
class Offer:
    """An implementation that a plugin offers, imported at its first use.

    Attributes:
        kind: what it is, as a value of `KIND_OF_HOOK`.
        name: the name by which it is chosen.
        path: "module:Class" of the implementation; of a command, the object itself.
        source: the plugin.
        options: the options of a frontend.
        state, reason: whether it can be used, and why not; they change when offers clash, or when the import fails.
        cause: what the import raised.
    """

    kind: str
    name: str
    path: str
    source: Source
    options: Sequence[FrontendOption] = ()
    state: PluginState = "ok"
    reason: str = ""
    cause: Exception | None = None
    _found: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)  # held by the thread that imports

    def implementation(self, interface: type) -> Any:
        """Give the class, which must implement `interface`; None if the offer cannot be used, now or from now on.

        Of a command, give the object, which must be an instance.
        """
        with self._lock:
            if self._found is None and self.state == "ok":
                self._import(interface)
            return self._found

    def _import(self, interface: type) -> None:
        module, _, attribute = self.path.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # noqa: BLE001 - the border of plugin loading: it harms only those who need this one
            self.cause, self.reason, self.state = error, f"failed to import: {_cause(error)}", "broken"
            return
        if self.kind == "command":
            fits = isinstance(found, interface)
        else:
            fits = isinstance(found, type) and issubclass(found, interface)
        if fits:
            self._found = found
        else:
            self.reason = f"failed to import: {self.path} is no {interface.__module__}.{interface.__qualname__}"
            self.state = "broken"


@dataclass(frozen=True)
class Failure:
    """A plugin that could not be asked for its offers, or that is not to be asked."""

    source: Source
    state: PluginState
    reason: str


@dataclass
class Discovery:
    """What was found: the offers of the plugins that could be asked, and those that could not."""

    offers: list[Offer] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def discover(
    entry_points: Iterable[importlib.metadata.EntryPoint], extra: Sequence[object], disabled: Sequence[str]
) -> Discovery:
    """Ask the core itself, the plugins behind the entry points, and the ones that were passed in for their offers.

    Args:
        entry_points: the plugins that are installed; asked in the order of their names.
        extra: modules or objects with hook implementations.
        disabled: entry points or distributions that are left alone; they are not even imported.
    """
    found = Discovery()
    found.offers += _ask(defaults, Source("defaults", "charonia", importlib.metadata.version("charonia")))
    for entry_point in sorted(entry_points, key=lambda entry: (entry.name, entry.value)):
        _look_at(entry_point, disabled, found)
    for plugin in extra:
        name = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__name__
        _keep(plugin, Source(name), found)
    return found


def _look_at(entry_point: importlib.metadata.EntryPoint, disabled: Sequence[str], found: Discovery) -> None:
    dist = entry_point.dist
    source = Source(entry_point.name, dist.name, dist.version) if dist else Source(entry_point.name)
    switch = next((name for name in disabled if source.is_called(name)), None)
    if switch is not None:
        found.failures.append(Failure(source, "disabled", f"switched off by --disable-plugin {switch}"))
        return
    misfit = _misfit(source, dist.requires or []) if dist else ""
    if misfit:
        found.failures.append(Failure(source, "incompatible", misfit))
        return
    try:
        plugin = entry_point.load()
    except Exception as error:  # noqa: BLE001 - the border of plugin loading: a broken plugin is a record, not an end
        found.failures.append(Failure(source, "broken", f"failed to import: {_cause(error)}"))
        return
    _keep(plugin, source, found)


def _misfit(source: Source, requires: Sequence[str]) -> str:
    """Tell why a plugin does not fit this core, by what its metadata requires; "" if it fits."""
    core = importlib.metadata.version("charonia")
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            return f"has metadata that cannot be read: {error}".splitlines()[0]
        if canonicalize_name(requirement.name) != "charonia":
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(core, prereleases=True):
            wanted = ",".join(sorted(map(str, requirement.specifier), reverse=True))
            return f"asks for charonia{wanted}, this is {core}: pip install -U charonia {source.name}"
    return ""


def _keep(plugin: object, source: Source, found: Discovery) -> None:
    try:
        found.offers += _ask(plugin, source)
    except PluginError as error:
        found.failures.append(Failure(source, "broken", str(error)))
    except Exception as error:  # noqa: BLE001 - the border of plugin loading: a broken plugin is a record, not an end
        found.failures.append(Failure(source, "broken", f"failed to tell what it offers: {_cause(error)}"))


def _ask(plugin: object, source: Source) -> list[Offer]:
    """Register one plugin with a manager of its own, so that its mistakes stay its own, and call its hooks.

    Raises:
        PluginError: it does not keep to the hooks' specification.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, source.plugin)
    except pluggy.PluginValidationError as error:
        told = " ".join(str(error).split())
        raise PluginError(f"has a hook whose arguments are unknown; it may need a newer charonia: {told}") from error
    known = set(KIND_OF_HOOK)
    for caller in manager.get_hookcallers(plugin) or ():
        if caller.name not in known:
            raise PluginError(_unknown_hook(caller.name))
    offers = []
    for hook, kind in KIND_OF_HOOK.items():
        for answer in getattr(manager.hook, hook)():
            offers += _offers(hook, kind, answer, source)
    if not offers:
        raise PluginError(
            "offers nothing: mark the functions that implement its hooks with charonia.hookspecs.hookimpl"
        )
    return offers


def _unknown_hook(name: str) -> str:
    near = difflib.get_close_matches(name, KIND_OF_HOOK, n=1, cutoff=0.9)  # they all begin alike
    hint = f'did you mean "{near[0]}"?' if near else "it may need a newer charonia"
    return f'implements the hook "{name}", which this charonia does not have: {hint}'


def _offers(hook: str, kind: str, answer: Any, source: Source) -> list[Offer]:
    if not isinstance(answer, Mapping):
        raise PluginError(f"gave {answer!r} from {hook}, which must give a mapping from names to implementations")
    offers = []
    for name, value in answer.items():
        wanted = FrontendOffer if kind == "frontend" else str
        if not isinstance(name, str) or not name or not isinstance(value, wanted):
            raise PluginError(f"gave {name!r}: {value!r} from {hook}, which must give str: {wanted.__name__}")
        path, options = (value.path, value.options) if isinstance(value, FrontendOffer) else (value, ())
        if not _IMPORT_PATH.fullmatch(path):
            raise PluginError(
                f'gave the import path "{path}" for {kind} "{name}", which must look like "package.module:Class"'
            )
        offers.append(Offer(kind, name, path, source, options))
    return offers


def _cause(error: BaseException) -> str:
    """Word an error as the cause of a plugin's failure."""
    if isinstance(error, ImportError | PluginError):
        return str(error)
    return f"{type(error).__name__}: {error}"
