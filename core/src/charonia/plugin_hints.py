"""Why what somebody asked for cannot be had from any plugin, and what to do about it, in one sentence.

The table below is the only place where the core names plugins of its own house; a test keeps it equal to those that exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from charonia.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.plugin_discovery import PluginRecord

__all__ = ["HINTS", "KIND_WORDS", "explain_lack", "install_command", "is_installed"]

HINTS: dict[tuple[str, str], str] = {
    ("backend", "onnxruntime"): "charonia-backend-onnx[cpu]",
    ("backend", "python"): "charonia-backend-custom",
    ("backend", "pytorch"): "charonia-backend-pytorch",
    ("backend", "tensorflow"): "charonia-backend-tensorflow[cpu]",
    ("backend", "tensorrt"): "charonia-backend-tensorrt[tensorrt]",
    ("cache", "local"): "charonia-cache-local",
    ("command", "build-plan"): "charonia-backend-tensorrt[tensorrt]",
    ("frontend", "grpc"): "charonia-frontend-grpc",
    ("frontend", "http"): "charonia-frontend-http",
    ("frontend", "metrics"): "charonia-metrics-prometheus",
    ("rpc_transport", "lean"): "charonia-transport-lean",
    ("scheduler", "dynamic_batching"): "charonia-scheduler-dynamic",
    ("scheduler", "ensemble_scheduling"): "charonia-scheduler-ensemble",
    ("scheduler", "sequence_batching"): "charonia-scheduler-sequence",
    ("storage", "as"): "charonia-repo-azure",
    ("storage", "gs"): "charonia-repo-gcs",
    ("storage", "s3"): "charonia-repo-s3",
    ("trace_writer", "opentelemetry"): "charonia-trace-opentelemetry",
    ("transport", "lean"): "charonia-transport-lean",
}
"""(kind, name) → the requirement that provides it, as pip takes it."""

_BACKENDS_ELSEWHERE = frozenset({"tensorrtllm", "openvino", "dali", "fil", "vllm", "armnn_tflite", "paddle"})
"""Names of backends that the reference has: nobody who writes one has misspelt another."""

KIND_WORDS = {
    "backend": "backend",
    "scheduler": "scheduler",
    "storage": "repository storage",
    "cache": "response cache",
    "frontend": "frontend",
    "command": "command",
    "trace_writer": "trace mode",
    "transport": "transport",
    "rpc_transport": "gRPC transport",
}
"""The kinds of things that plugins offer, and what a person calls them."""


def install_command(*wishes: tuple[str, str]) -> str:
    """Give the command that installs what provides all these kinds and names, or "" where nothing is known that does."""
    wanted = sorted({HINTS[wish] for wish in wishes if wish in HINTS})
    quoted = [f'"{one}"' if "[" in one else one for one in wanted]  # a shell would take the brackets for a pattern
    return f"pip install {' '.join(quoted)}" if wanted else ""


def is_installed(kind: str, name: str, records: Sequence[PluginRecord]) -> bool:
    """Tell whether something that provides a name is there, be it usable or not."""
    return bool(_claims(kind, name, records))


def explain_lack(asker: str, kind: str, name: str, records: Sequence[PluginRecord]) -> str:
    """Say who needs what, why it is not there, and what to do.

    The first of these that is the case is told: broken, claimed twice, made for another core, switched off, not installed,
    unknown.
    """
    wish = f'{asker} needs the {KIND_WORDS[kind]} "{name}"'
    claims = _claims(kind, name, records)
    for state in ("broken", "conflict", "incompatible", "disabled"):
        for record in claims:
            if record.state == state:
                return wish + _what_is_wrong(record)
    usable = [record.name for record in records if record.kind == kind and record.state == "ok"]
    command = install_command((kind, name))
    if command:
        return f"{wish}: {command} (installed {KIND_WORDS[kind]}s: {_listed(usable)})"
    if kind == "backend" and name in _BACKENDS_ELSEWHERE:
        suggestion = ": it is a backend of Triton, for which a plugin is needed here"
    else:
        near = nearest(name, [*usable, *(known for of, known in HINTS if of == kind)])
        suggestion = f'. Did you mean "{near}"?' if near else "."
    silent = [f"{_source(record)}, {record.reason}" for record in records if not record.kind]
    unasked = f"; plugins that could not be asked: {'; '.join(silent)}" if silent else ""
    return f"{wish}, which no installed plugin provides{suggestion} (installed: {_listed(usable)}){unasked}"


def _claims(kind: str, name: str, records: Sequence[PluginRecord]) -> list[PluginRecord]:
    """List what provides a name, and the distributions that should and could not be asked."""
    provider = HINTS.get((kind, name), "").partition("[")[0]
    offers = [record for record in records if (record.kind, record.name) == (kind, name)]
    return offers + [it for it in records if not it.kind and canonicalize_name(it.distribution) == provider]


def _what_is_wrong(record: PluginRecord) -> str:
    if record.state == "broken":
        return f', which comes from {_source(record)}, which {record.reason}; see "charonia plugins"'
    if record.state == "conflict":
        return f", which is {record.reason}"
    if record.state == "incompatible":
        return f", but {_source(record)} {record.reason}"
    return f", which comes from {record.distribution or record.plugin}, which is {record.reason}"


def _source(record: PluginRecord) -> str:
    return f"{record.distribution or record.plugin} {record.version}".rstrip()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"
