"""`charonia plugins`."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING

import click

from charonia.cli.exit_codes import ExitCode
from charonia.errors import PluginError
from charonia.frontend import Frontend
from charonia.plugins import Plugins

if TYPE_CHECKING:
    from charonia.plugin_discovery import PluginRecord

__all__ = ["plugins"]

_HELP = """List what the installed plugins offer, and why something cannot be used.

A plugin is an installed package that brings a backend (which runs models), a frontend (which speaks a protocol), a
scheduler (which forms batches), a storage (where models lie) or a cache (which keeps responses). Listing imports none
of the frameworks that they need, so that it is quick; --import tries them. The exit code is 1 if something is broken.

\b
Example: see whether the backends that are installed can really be used.
  charonia plugins --import
"""

_OF_THE_SERVER = frozenset({"rpc_transport", "trace_writer", "transport"})
"""The kinds that the server itself asks for, and no model; beside frontends."""


@click.command(help=_HELP)
@click.option("--import", "try_import", is_flag=True, help="Import every implementation, to see which ones work.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def plugins(*, try_import: bool, as_json: bool) -> None:
    """List what the installed plugins offer, and why something cannot be used."""
    installed = Plugins()
    if try_import:
        _import_all(installed)
    records = installed.records()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(record) for record in records], indent=2))
    else:
        _print(records)
    if any(record.state not in {"ok", "disabled"} for record in records):
        sys.exit(ExitCode.FAILED)


def _import_all(installed: Plugins) -> None:
    """Have every implementation imported. What fails is in the records afterwards."""
    for record in installed.records():
        try:
            if record.kind == "frontend":
                installed.frontend(record.name, Frontend)
            elif record.kind in _OF_THE_SERVER:
                getattr(installed, record.kind)(record.name)
            elif record.kind:
                getattr(installed, record.kind)(record.name, asker="charonia plugins")
        except PluginError:
            continue


def _print(records: list[PluginRecord]) -> None:
    from charonia.cli.console import make_console, make_table

    console = make_console()
    rows = [
        (
            record.kind or "?",
            record.name or record.plugin,
            record.distribution or "-",
            record.version or "-",
            record.state,
        )
        for record in records
    ]
    console.print(make_table(("Kind", "Name", "Distribution", "Version", "State"), rows))
    for record in records:
        if record.reason:
            who = f"{record.kind} {record.name}" if record.kind else record.plugin
            console.print(f"\n{who} ({record.distribution or record.plugin}): {record.reason}", soft_wrap=True)
