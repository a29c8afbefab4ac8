"""Large JSON is read beside the event loop, so that other clients need not wait for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LARGE_JSON", "read_beside"]

LARGE_JSON = 262_144
"""Documents of more bytes take so many milliseconds that others would notice."""

T = TypeVar("T")
Words = TypeVarTuple("Words")


async def read_beside(size: int, read: Callable[[*Words], T], *words: *Words) -> T:
    """Call what reads a document of so many bytes: here if it is small, and else in a thread. What it raises is raised."""
    return await asyncio.to_thread(read, *words) if size > LARGE_JSON else read(*words)
