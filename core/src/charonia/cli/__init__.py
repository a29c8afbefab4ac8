"""The command line. There is a file for each command, called after it, which is imported when the command is used."""

from __future__ import annotations

from charonia.cli.group import main

__all__ = ["main"]
