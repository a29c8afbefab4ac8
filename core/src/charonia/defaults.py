"""What the core itself offers through the hooks: the default scheduler, the local file system, and files of traces."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_schedulers() -> dict[str, str]:
    """Offer the scheduler of models that choose none."""
    return {"default": "charonia.default_scheduler:DefaultScheduler"}


@hookimpl
def charonia_repositories() -> dict[str, str]:
    """Offer paths without a scheme, and `file://` URLs."""
    return {"file": "charonia.repository:LocalStorage"}


@hookimpl
def charonia_trace_writers() -> dict[str, str]:
    """Offer the mode that writes a file, as the reference does."""
    return {"triton": "charonia.trace_file:TraceFile"}
