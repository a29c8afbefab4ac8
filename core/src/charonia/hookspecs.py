"""The hooks by which plugins offer their implementations.

A plugin is a distribution with an entry point in the group `charonia` that names a light module. That module's hook
implementations return names and import paths; the implementation itself is imported when it is first needed, so that a
broken framework harms only the models that need it::

    # acme_backend/__init__.py
    from charonia.hookspecs import hookimpl

    @hookimpl
    def charonia_backends():
        return {"acme": "acme_backend.backend:AcmeBackend"}

Every hook is called once, when the plugins are discovered; none is called on the path of a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.frontend_offer import FrontendOffer

__all__ = [
    "PROJECT",
    "charonia_backends",
    "charonia_caches",
    "charonia_commands",
    "charonia_frontends",
    "charonia_repositories",
    "charonia_rpc_transports",
    "charonia_schedulers",
    "charonia_trace_writers",
    "charonia_transports",
    "hookimpl",
    "hookspec",
]

PROJECT = "charonia"
"""The name of the entry-point group and of the pluggy project."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def charonia_backends() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Offer backends: the name in a model's configuration → "module:Class" of a `charonia.backend.Backend`."""


@hookspec
def charonia_schedulers() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Offer schedulers: a name → "module:Class" of a `charonia.scheduler.Scheduler`.

    The names `dynamic_batching`, `sequence_batching` and `ensemble_scheduling` are chosen by the configuration's section of
    that name, any other by the model parameter `scheduler`.
    """


@hookspec
def charonia_repositories() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Offer repository storages: a URL's scheme → "module:Class" of a `charonia.repository.RepositoryStorage`."""


@hookspec
def charonia_caches() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Offer response caches: the name in `--cache-config` → "module:Class" of a `charonia.cache.ResponseCache`."""


@hookspec
def charonia_commands() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Offer commands of the command line: a name → "module:command", a `click.Command`.

    Its module is imported for the command line's help, too, so that it must be as light as the plugin's entry module.
    """


@hookspec
def charonia_frontends() -> Mapping[str, FrontendOffer]:  # type: ignore[empty-body]  # a specification has no body
    """Offer frontends: a name → the import path of a `charonia.frontend.Frontend` with the options that it takes."""


@hookspec
def charonia_transports() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Offer transports for HTTP: the name in `--transport` → "module:Class" of a `charonia.transport.HttpTransport`."""


@hookspec
def charonia_rpc_transports() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Offer transports for gRPC: the name in `--transport` → "module:Class" of a `charonia.transport.RpcTransport`."""


@hookspec
def charonia_trace_writers() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Offer trace modes: the name in `--trace-config` → "module:Class" of a `charonia.trace_writer.TraceWriter`."""
