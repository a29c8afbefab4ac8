"""By how much the memory of a process grows, however it goes up and down."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def growth_bytes(rss_bytes: Sequence[int]) -> int:
    """Tell how much more memory there was in the last third of the samples than in the one before; the first is for warming up."""
    third = len(rss_bytes) // 3
    return int(median(rss_bytes[-third:]) - median(rss_bytes[third:-third]))
