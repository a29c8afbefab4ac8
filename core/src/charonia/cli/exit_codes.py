"""The exit codes of all commands, and the errors that end a command with one."""

from __future__ import annotations

import enum
from typing import IO, Any

import click

__all__ = ["EXIT_CODES_EPILOG", "CommandError", "ExitCode", "RefusedError", "UnreachableError"]


class ExitCode(enum.IntEnum):
    """How a command ended, for scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4


EXIT_CODES_EPILOG = """\b
Exit codes:
  0  all is well
  1  the server failed to start or to stop in time; a check found something wrong; a plugin is broken
  2  the command line, the environment or the options file is wrong
  3  no server can be reached (models, infer, top, explain)
  4  the server answered with an error (likewise)
"""


class CommandError(click.ClickException):
    """Ends a command with a sentence on stderr and the exit code FAILED."""

    exit_code = int(ExitCode.FAILED)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence."""
        click.echo(f"charonia: {self.format_message()}", file=file, err=file is None)


class UnreachableError(CommandError):
    """No server can be reached."""

    exit_code = int(ExitCode.UNREACHABLE)


class RefusedError(CommandError):
    """The server answered with an error, or with what is no answer of this protocol."""

    exit_code = int(ExitCode.REFUSED)
