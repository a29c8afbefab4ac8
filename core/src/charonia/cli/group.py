"""The group of commands, the core's own and those of plugins. Each is imported when it is used: the quick ones are quick."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from charonia.cli.exit_codes import EXIT_CODES_EPILOG, CommandError
from charonia.errors import CharoniaError, PluginError
from charonia.spelling import nearest

if TYPE_CHECKING:
    from charonia.plugins import Plugins

__all__ = ["CharoniaGroup", "group", "main"]

_COMMANDS = {
    "serve": "Serve model repositories until Ctrl-C.",
    "check": "Tell all that is wrong with model repositories.",
    "models": "List the models of a running server.",
    "infer": "Ask a model of a running server.",
    "top": "Watch what a running server does.",
    "explain": "Tell why a model's requests are batched, or why not.",
    "run": "Run a model once, without a server.",
    "new": "Write a model or a backend that works, with its test.",
    "plugins": "List what is installed, and what is wrong with it.",
    "version": "Tell the version.",
}
"""The commands in the order of the help, and what they do."""


class CharoniaGroup(click.Group):
    """A group whose commands live in the modules that are called after them, and in plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which a newcomer meets them, those of plugins last."""
        return [*_COMMANDS, *_plugins(ctx).names("command")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command.

        Raises:
            PluginError: it is a plugin's, and cannot be used.
        """
        if cmd_name in _COMMANDS:
            command: click.Command = getattr(import_module(f"charonia.cli.{cmd_name}"), cmd_name)
            return command
        if cmd_name in _plugins(ctx).names("command"):
            return _plugins(ctx).command(cmd_name, asker="charonia")
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt one names the nearest right one."""
        if args[0] not in _COMMANDS and not ctx.resilient_parsing and args[0] not in self.list_commands(ctx):
            ctx.fail(f"No such command {args[0]!r}. {self._hint(ctx, args[0])}")
        return super().resolve_command(ctx, args)

    def _hint(self, ctx: click.Context, name: str) -> str:
        from charonia.plugin_hints import install_command

        command = install_command(("command", name))
        if command:
            return f"A plugin brings it: {command}"
        near = nearest(name, self.list_commands(ctx))
        return f"Did you mean {near!r}?" if near else f"There are {', '.join(self.list_commands(ctx))}."

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands. Only those of plugins are imported, since they tell by themselves what they do."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))
        others = [(name, self._short_help(ctx, name)) for name in _plugins(ctx).names("command")]
        if others:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(others)

    def _short_help(self, ctx: click.Context, name: str) -> str:
        try:
            return _plugins(ctx).command(name, asker="charonia").get_short_help_str(100)
        except PluginError:
            return 'Cannot be used: see "charonia plugins --import".'

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error that was raised on purpose becomes its text, without a traceback."""
        try:
            return super().invoke(ctx)
        except CharoniaError as error:
            raise CommandError(str(error).rstrip()) from error


def _plugins(ctx: click.Context) -> Plugins:
    """Give the plugins that are installed, which are looked for once in a run of the command line."""
    from charonia.plugins import Plugins

    key = "charonia.plugins"
    if key not in ctx.meta:
        ctx.meta[key] = Plugins()
    found: Plugins = ctx.meta[key]
    return found


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
