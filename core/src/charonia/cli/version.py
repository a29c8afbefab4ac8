"""`charonia version`."""

from __future__ import annotations

import platform

import click

import charonia

__all__ = ["version"]


_HELP = """Tell the version of Charonia and of what it runs on.

\b
Example:
  charonia version
"""


@click.command(help=_HELP)
def version() -> None:
    """Tell the version of Charonia and of what it runs on."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    click.echo(f"charonia {charonia.__version__} ({python}, {platform.system()} {platform.machine()})")
