"""The group of commands. Each is imported when it is used, so that the quick ones are quick."""

from __future__ import annotations

import difflib
import logging
from importlib import import_module
from typing import Any

import click

from charonia.cli.exit_codes import EXIT_CODES_EPILOG, CommandError
from charonia.errors import CharoniaError

__all__ = ["CharoniaGroup", "group", "main"]

_COMMANDS = {
    "serve": "Serve model repositories until Ctrl-C.",
    "check": "Tell all that is wrong with model repositories.",
    "models": "List the models of a running server.",
    "infer": "Ask a model of a running server.",
    "plugins": "List what is installed, and what is wrong with it.",
    "version": "Tell the version.",
}
"""The commands in the order of the help, and what they do."""


class CharoniaGroup(click.Group):
    """A group whose commands live in the modules that are called after them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which a newcomer meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"charonia.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt one names the nearest right one."""
        if args[0] not in _COMMANDS and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(_COMMANDS)}."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error that was raised on purpose becomes its text, without a traceback."""
        try:
            return super().invoke(ctx)
        except CharoniaError as error:
            raise CommandError(str(error).rstrip()) from error


_HELP = """Serve machine-learning models, and ask them.

\b
Example: serve a directory of models, and look at it from another terminal.
  charonia serve --model-repository models
  charonia models

"charonia COMMAND --help" explains a command. Every option can be set in the environment, too: --http-port of
"charonia serve" is CHARONIA_SERVE_HTTP_PORT.
"""


@click.group(
    help=_HELP,
    cls=CharoniaGroup,
    context_settings={
        "auto_envvar_prefix": "CHARONIA",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
    },
    epilog=EXIT_CODES_EPILOG,
)
def group() -> None:
    """Serve machine-learning models, and ask them."""


def main() -> None:
    """Run the command line; exits with an `ExitCode`."""
    logging.getLogger().addHandler(logging.NullHandler())  # only `serve` has something to log
    group(prog_name="charonia")
