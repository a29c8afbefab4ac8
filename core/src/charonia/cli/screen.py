"""What `charonia serve` shows: the loads as they get on, what failed and what to do, and what is served where."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.console import Group
from rich.live import Live
from rich.text import Text

import charonia
from charonia.cli.console import make_console, make_table
from charonia.cli.exit_codes import CommandError
from charonia.cli.load_progress import LoadProgress, told_bytes
from charonia.composition import CircleError, CompositionError
from charonia.errors import CharoniaError, ConfigError, PluginError, RepositoryError, describe_cause
from charonia.load_teller import Phase, log_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.cli.load_progress import ModelProgress
    from charonia.cli.settings import ServeSettings
    from charonia.load_teller import LoadEvent
    from charonia.server import Server
    from charonia.serving import Serving

__all__ = ["Screen"]

_ROOM = 8
"""Lines of a terminal that the live table leaves to others."""

_TOLD_BY_CHECK = (CircleError, CompositionError, ConfigError, PluginError, RepositoryError)
"""Why a model may fail in a way that `charonia check` tells of, too: it does not look into a model's own file."""

_QUIET_SECONDS = 10.0
"""How long nothing more is said of files that are being brought, where stdout is no terminal."""


class Screen:
    """Prints on stdout. On a terminal the loads are a live table, elsewhere a line for each step.

    Args:
        settings: what the command was told.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._console = make_console()
        self._progress = LoadProgress()
        self._said_at: dict[str, float] = {}  # by model: the second of its load in which its files were last spoken of

    def begin(self) -> None:
        """Say who is here and what is going to be loaded."""
        self._say(f"charonia {charonia.__version__}: loading models from {', '.join(self._settings.repositories)}")

    def load(self, server: Server) -> None:
        """Start a server while showing how its models load, and sum up.

        Raises:
            CommandError: a repository cannot be read; or a model failed, and the server must not serve without it.
        """
        refused = False
        try:
            if self._console.is_terminal:
                height = max(1, self._console.height - _ROOM)
                with Live(console=self._console, get_renderable=lambda: self._progress.table(height), transient=True):
                    server.start(self._note)
            else:
                server.start(self._note_and_say)
        except RepositoryError as error:
            refused = bool(self._progress.models(Phase.FAILED))
            if not refused:
                raise CommandError(str(error)) from error
        self._sum_up()
        if refused:
            raise CommandError(
                "not serving, since a model failed to load; --exit-on-error=false serves the others without it"
            )

    def _note(self, event: LoadEvent) -> None:
        self._progress.note(event)
        if self._settings.log.get().file:  # else it would stand beside what the screen says
            log_end(event)

    def _note_and_say(self, event: LoadEvent) -> None:
        self._note(event)
        if event.phase is Phase.FAILED:  # the summary tells those with their reasons
            return
        phase = event.phase.value
        if event.phase is Phase.BRINGING:
            if event.seconds - self._said_at.get(event.model, 0.0) < _QUIET_SECONDS:
                return
            self._said_at[event.model] = event.seconds
            phase = f"{phase}, {told_bytes(*event.brought)}"
        version = "" if event.version is None else f" version {event.version}"
        self._say(f"  {event.model}{version}: {phase} ({event.seconds:.1f} s)")

    def _sum_up(self) -> None:
        failed, ready = self._progress.models(Phase.FAILED), self._progress.models(Phase.READY)
        for model in failed:
            self._say("")
            self._say(f"FAILED  {model.name} ({model.seconds:.1f} s)", "bold red")
            for line in _reasons(model):
                self._say(f"    {line}")
        if any(isinstance(error, _TOLD_BY_CHECK) for model in failed for error in model.errors):
            self._say(f'\n"charonia check {" ".join(self._settings.repositories)}" tells all that is wrong there.\n')
        if ready:
            rows = [(model.name, model.told_versions, "READY", f"{model.seconds:.1f}") for model in ready]
            self._console.print(Group("", make_table(("Model", "Version", "State", "Seconds"), rows), ""))
        if not failed and not ready:
            self._say(self._nothing(), "yellow")

    def _nothing(self) -> str:
        if self._settings.options.model_control_mode == "explicit":
            return "No model is loaded: name those that are wanted with --load-model=NAME, or all with --load-model=*"
        return (
            f"There is no model in {', '.join(self._settings.repositories)}: a model is a directory there, with a directory "
            "for each version in it, such as resnet/1/model.onnx"
        )

    def tell_served(self, serving: Serving) -> None:
        """Say what is served where. The last line is the one that scripts can wait for."""
        ready, failed = self._progress.models(Phase.READY), self._progress.models(Phase.FAILED)
        without = f", {len(failed)} failed" if failed else ""
        urls = serving.urls
        self._say(f"Serving {len(ready)} {'model' if len(ready) == 1 else 'models'}{without}:", "bold")
        for url in urls:
            self._say(f"  {url}", "cyan")
            if url.startswith("http") and ready and not self._settings.options.model_namespacing:
                self._say(f"  {url}/v2/models/{ready[0].name}")
        for label, value in serving.describe().items():
            self._say(f"  {label}: {value}")
        if not urls:
            self._say("  nowhere: every frontend is switched off", "yellow")
        elif all(_is_loopback(url) for url in urls):
            self._say(f"Only this machine can reach it{self._how_to_open()}.")
        self._say("Ready. Ctrl-C stops it.")

    def _how_to_open(self) -> str:
        flags = [f"--{name}=0.0.0.0" for name in self._settings.frontends if name.endswith("-address")]
        return f"; {' '.join(flags)} opens it to the network" if flags else ""

    def end(self, *, finished: bool) -> None:
        """Say how it ended."""
        self._say("Stopped." if finished else "Stopped with requests in progress: --exit-timeout-secs was over.")

    def _say(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style), soft_wrap=True)
        self._console.file.flush()


def _reasons(model: ModelProgress) -> Sequence[str]:
    """Tell why a model failed and what to do about it, a line for each cause."""
    lines: list[str] = []
    for error in model.errors:
        lines += str(error).splitlines() if isinstance(error, CharoniaError) else [describe_cause(error)]
        if not isinstance(error, CharoniaError):
            lines.append("This is the backend's own error; --log-verbose=1 shows where it was raised.")
    return list(dict.fromkeys(lines)) or model.reason.splitlines()


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
