"""The command line: `charonia serve`, `check`, `models`, `infer`, `plugins` and `version`.

One file for each command; it is imported when the command is used.
"""

from __future__ import annotations

from charonia.cli.group import main

__all__ = ["main"]
