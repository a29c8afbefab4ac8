"""Where commands print for people: a terminal, or a file or pipe whose lines must stay whole."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["STATE_STYLES", "make_console", "make_table"]

STATE_STYLES = {
    "ok": "green",
    "ready": "green",
    "broken": "red",
    "conflict": "red",
    "incompatible": "red",
    "failed": "red",
    "unavailable": "red",
    "disabled": "dim",
    "warning": "yellow",
    "error": "red",
}
"""The colours of words that say how something is, in lower case."""

_UNFOLDED = 10_000


def make_console() -> Console:
    """Make a console on stdout. Where that is no terminal nothing is folded, unless COLUMNS says so."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _UNFOLDED
    return Console(width=width, markup=False, highlight=False, emoji=False)


def make_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Make a table; cells that say how something is are coloured."""
    table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell, STATE_STYLES.get(cell.lower(), ""), overflow="fold") for cell in row))
    return table
