"""How many connections may be open at once, and which of them leave where there are more."""

from __future__ import annotations

import heapq
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from charonia_transport_lean.guest import Guest

__all__ = ["most_guests", "whoever_leaves"]

_OTHERS_SHARE = 8
_OTHERS_LEAST = 64
"""What part of the process's files, and how many at least, are left to models, logs and everybody else."""

_AT_ONCE = 16
"""What part of all leaves together, so that a crowd at the door is not looked through for each who comes."""


def most_guests() -> int:
    """Tell how many connections fit into the number of files that the process may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        files = 1_048_576
    return max(1, files - max(files // _OTHERS_SHARE, _OTHERS_LEAST))


def whoever_leaves(guests: Collection[Guest], new: Guest) -> list[Guest]:
    """Choose who makes room for a new connection: the idle ones that were silent longest, or it itself where none is idle."""
    idle = [guest for guest in guests if guest.idle and guest is not new]
    count = max(1, len(guests) // _AT_ONCE)
    return heapq.nsmallest(count, idle, key=lambda guest: guest.touched) or [new]
