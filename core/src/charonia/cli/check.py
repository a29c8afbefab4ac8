"""`charonia check`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from charonia.cli.console import STATE_STYLES
from charonia.cli.exit_codes import EXIT_CODES_EPILOG, ExitCode
from charonia.cli.flag_values import config_name

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check"]

_HELP = """Tell all that is wrong with model repositories, without loading anything.

Every configuration is read, and everything that is wrong is told with its file and line: misspelt fields, sections that
do not go together, ensembles that do not fit their models, missing plugins, versions and files. The exit code is 1 if a
model could not be loaded; warnings alone leave it 0. What only a model's own file can tell is not looked at: whether it
fits its configuration, say.

\b
Example:
  charonia check models
"""


@click.command(help=_HELP, epilog=EXIT_CODES_EPILOG)
@click.argument("repositories", nargs=-1, required=True, metavar="REPOSITORY...")
@click.option(
    "--disable-auto-complete-config",
    is_flag=True,
    help="Check for a server that runs with this option: each configuration must be whole as it is written.",
)
@click.option(
    "--model-config-name",
    type=config_name,
    metavar="NAME",
    help="Check for a server that runs with this option: configs/NAME.pbtxt is read where there is one.",
)
@click.option(
    "--model-namespacing",
    type=click.BOOL,
    default=False,
    metavar="true|false",
    help="Check for a server that runs with this option: several repositories may have models of equal names.",
)
@click.option("--disable-plugin", multiple=True, metavar="NAME", help="Check as if this plugin were not installed.")
def check(*, repositories: Sequence[str], disable_plugin: Sequence[str], **options: Any) -> None:
    """Check repositories, print what was found, and sum it up."""
    from charonia.cli.console import make_console
    from charonia.cli.repository_check import RepositoryCheck
    from charonia.options import ServerOptions
    from charonia.plugin_hints import install_command
    from charonia.plugins import Plugins

    told = {name: value for name, value in options.items() if value is not None}
    checked = RepositoryCheck(repositories, Plugins(disabled=disable_plugin), ServerOptions(**told))
    checked.run()
    console = make_console()
    counts = {"error": 0, "warning": 0}
    for finding in checked.findings:
        counts[finding.severity] += 1
        console.print(str(finding), style=STATE_STYLES[finding.severity], soft_wrap=True)
    summary = ", ".join(_counted(count, what) for what, count in counts.items() if count) or "nothing wrong"
    console.print(f"{_counted(checked.model_count, 'model')} checked: {summary}", soft_wrap=True)
    install = install_command(*checked.missing)
    if install:
        console.print(f"What is not installed comes with: {install}", soft_wrap=True)
    if counts["error"]:
        sys.exit(ExitCode.FAILED)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
