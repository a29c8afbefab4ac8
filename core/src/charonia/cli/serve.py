"""`charonia serve`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from charonia.cli.exit_codes import EXIT_CODES_EPILOG, CommandError, ExitCode
from charonia.cli.flags import Flag, early_flags, frontend_flag, own_flags
from charonia.cli.log import writing_log
from charonia.cli.memory_flags import memory_flags
from charonia.cli.options_file import OptionsFile, read_options_file
from charonia.cli.reference_flags import foreign_flags
from charonia.cli.settings import ServeSettings
from charonia.cli.stopping import end_at_once, stoppable_start
from charonia.cli.trace_flags import trace_flags
from charonia.log_settings import LOG_FORMATS, LogSetting
from charonia.plugin_hints import explain_lack
from charonia.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ServeCommand", "serve"]

_HELP = """Serve model repositories until Ctrl-C or SIGTERM.

A repository is a directory that has one directory for each model, and in it one for each version:
models/resnet/1/model.onnx. The server tells what it loads, what fails and why, and where it listens. It is reached
from this machine only, unless told otherwise.

\b
Examples:
  charonia serve --model-repository models
  charonia serve --model-repository models --http-address 0.0.0.0 --http-port 8080
  charonia serve --config server.yaml

An option stands on the command line, in the environment (--http-port is CHARONIA_SERVE_HTTP_PORT; several values are
parted by spaces), or in the YAML file of --config (http-port: 8080). The command line wins over the environment, and
the environment over the file. Names and meanings are Triton's, where it has such an option.
"""

_FLAGS = "charonia.serve.flags"
"""The key under which a context keeps its flags, once it is known which plugins there are."""


class ServeCommand(click.Command):
    """A command whose options come from the server and from the frontends that are installed.

    It is parsed twice: first for the options that decide which plugins there are, then for all.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, the environment and the options file."""
        try:
            return self._parse(ctx, args)
        except BaseException:
            ctx.close()  # click closes only the contexts whose parse succeeds, and this one may have begun to log
            raise

    def _parse(self, ctx: click.Context, args: list[str]) -> list[str]:
        early = self._early(ctx, args)
        log = ctx.with_resource(
            writing_log(
                LogSetting(
                    info=early["log_info"] is not False,
                    warning=early["log_warning"] is not False,
                    error=early["log_error"] is not False,
                    verbose_level=early["log_verbose"] or 0,
                    format=early["log_format"] or LOG_FORMATS[0],
                    file=early["log_file"] or "",
                )
            )
        )
        file: OptionsFile = early["file"]
        plugins = Plugins(disabled=early["disable_plugin"] or (), choices=file.choices)
        ctx.meta[_FLAGS] = _flags(plugins)
        ctx.default_map = file.values(ctx.meta[_FLAGS])
        rest = super().parse_args(ctx, args)
        ctx.obj = ServeSettings.of(ctx.params, plugins, file.choices, log) if not ctx.resilient_parsing else None
        return rest

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Give all options, those of the frontends included."""
        if _FLAGS not in ctx.meta:
            ctx.meta[_FLAGS] = _flags(Plugins())
        return [*ctx.meta[_FLAGS], *super().get_params(ctx)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the heading of their section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            line = param.get_help_record(ctx)
            if line is not None:
                sections.setdefault(param.section if isinstance(param, Flag) else "Help", []).append(line)
        for heading, lines in sections.items():
            with formatter.section(heading):
                formatter.write_dl(lines)

    def _early(self, ctx: click.Context, args: list[str]) -> dict[str, Any]:
        """Find out what decides which options there are. Mistakes in it are told later, by the parse of everything."""
        scout = click.Command(
            self.name,
            params=[*early_flags()],
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "resilient_parsing": True},
        )
        params = self._scouted(scout, ctx, args, {})
        file = read_options_file(params["config"]) if params["config"] else OptionsFile("")
        known = {flag.key: flag for flag in early_flags()}
        told = OptionsFile(file.path, {key: entry for key, entry in file.entries.items() if key in known})
        return {**self._scouted(scout, ctx, args, told.values(list(known.values()))), "file": file}

    @staticmethod
    def _scouted(
        scout: click.Command, ctx: click.Context, args: list[str], defaults: Mapping[str, Any]
    ) -> dict[str, Any]:
        with scout.make_context(ctx.info_name, list(args), parent=ctx.parent, default_map=dict(defaults)) as found:
            return dict(found.params)


def _flags(plugins: Plugins) -> list[Flag]:
    """Make all flags that there are with these plugins, and those that the reference has beyond them."""
    flags = [*own_flags(), *memory_flags(), *trace_flags()]
    taken = {flag.key for flag in flags}
    for name, offer in plugins.frontends().items():
        flags += [frontend_flag(name, option) for option in offer.options if option.name not in taken]
    known = {flag.key for flag in flags}
    return flags + foreign_flags(known, lambda asker, name: explain_lack(asker, "frontend", name, plugins.records()))


@click.command(cls=ServeCommand, help=_HELP, epilog=EXIT_CODES_EPILOG)
@click.pass_obj
def serve(settings: ServeSettings, /, **_: object) -> None:
    """Start a server as it was told, and serve until a signal."""
    from charonia.cli.screen import Screen
    from charonia.server import Server
    from charonia.serving import Serving

    if not settings.plugins.frontends():
        lack = explain_lack("charonia serve", "frontend", "http", settings.plugins.records())
        raise CommandError(f"no frontend is installed that could be reached from outside: {lack}")
    screen = Screen(settings)
    screen.begin()
    with closing(
        Server(settings.repositories, options=settings.options, plugins=settings.plugins, log_settings=settings.log)
    ) as server:
        serving = Serving(server, settings.frontends)  # told now: what is wrong with these, and not when all is loaded
        with stoppable_start():
            screen.load(server)
        serving.run(screen.tell_served)
        finished = server.close()
    screen.end(finished=finished)
    if not finished:
        end_at_once(ExitCode.FAILED)
