"""Why a plugin's offer cannot be had, and what to do about it, in a sentence.

The table below is the only place in the core that names plugins of this project.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.plugins import PluginRecord

__all__ = ["INSTALL", "Lack", "explain"]

INSTALL = {
    ("backend", "onnxruntime"): ("charonia-backend-onnx", 'pip install "charonia-backend-onnx[cpu]"'),
    ("frontend", "http"): ("charonia-frontend-http", "pip install charonia-frontend-http"),
}
"""What provides a name of a kind, as (distribution, command)."""


@dataclass(frozen=True)
class Lack:
    """Somebody asked for something that cannot be had."""

    asker: str
    kind: str
    name: str


def explain(lack: Lack, records: Sequence[PluginRecord]) -> str:
    """Say who needs what, why it is not there, and what to do.

    The reasons in their order of precedence: claimed twice, broken, made for another core, switched off, not installed, unknown.
    """
    wish = f'{lack.asker} needs the {lack.kind} "{lack.name}"'
    claims = [record for record in records if (record.kind, record.name) == (lack.kind, lack.name)]
    conflict = [record for record in claims if record.state == "conflict"]
    if conflict:
        owners = " and by ".join(record.distribution for record in conflict)
        return f"{wish}: it is provided by {owners}: choose one with plugins.{lack.kind}.{lack.name} in the server's config"
    provider, command = INSTALL.get((lack.kind, lack.name), ("", ""))
    ailing = claims + [record for record in records if record.distribution == provider]
    for record in ailing:
        where = f"{record.distribution} {record.version}".strip()
        if record.state == "broken":
            return f'{wish}: it comes from {where}, which {_verb(record.reason)}; see "charonia plugins"'
        if record.state == "incompatible":
            return f"{wish}: {record.reason}"
        if record.state == "disabled":
            return f"{wish}: it is provided by {record.distribution}, which is {record.reason}"
    return f"{wish}, which no installed plugin provides{_next_step(lack, command, records)}"


def _verb(reason: str) -> str:
    return reason if reason.startswith("failed") else f"failed: {reason}"


def _next_step(lack: Lack, command: str, records: Sequence[PluginRecord]) -> str:
    installed = sorted({item.name for item in records if item.kind == lack.kind and item.state == "ok"})
    known = sorted({*installed, *(name for kind, name in INSTALL if kind == lack.kind)})
    listing = f"(installed {lack.kind}s: {', '.join(installed) or 'none'})"
    ill = sorted({item.distribution for item in records if item.state in {"broken", "incompatible"} and not item.kind})
    if ill:
        listing += f'; not usable: {", ".join(ill)}, see "charonia plugins"'
    if command:
        return f": {command} {listing}"
    near = difflib.get_close_matches(lack.name, known, n=1)
    return f'. Did you mean "{near[0]}"? {listing}' if near else f" {listing}"
