"""`charonia models`."""

from __future__ import annotations

import json

import click

from charonia.cli.client import Client, timeout_option, url_option
from charonia.cli.exit_codes import EXIT_CODES_EPILOG, RefusedError

__all__ = ["models"]

_HELP = """List the models of a running server, and which of them are ready.

\b
Example:
  charonia models --url http://127.0.0.1:8000
"""


@click.command(help=_HELP, epilog=EXIT_CODES_EPILOG)
@url_option
@timeout_option
@click.option("--json", "as_json", is_flag=True, help="Print the server's own document, for programs.")
def models(*, url: str, timeout: float, as_json: bool) -> None:
    """Ask for the index of the repositories, and print it."""
    rows = Client(url, timeout).post("repository", "index").document
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "name" in row for row in rows):
        raise RefusedError(f"{url} answered with what is no index of models: {json.dumps(rows)[:200]}")
    if not rows:
        click.echo("The server has no models.")
        return
    from charonia.cli.console import make_console, make_table

    console = make_console()
    cells = [(row["name"], str(row.get("version") or "-"), row.get("state") or "not loaded") for row in rows]
    console.print(make_table(("Model", "Version", "State"), cells))
    for row in rows:
        if row.get("reason") and row.get("state") != "READY":
            version = f" {row['version']}" if row.get("version") else ""
            console.print(f"\n{row['name']}{version}: {row['reason']}", soft_wrap=True)
