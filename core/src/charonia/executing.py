"""What is executed here, so that whatever is logged meanwhile, by a model's own code too, can be told apart.

It belongs to the context: coroutines that a model starts know it to their end, and so do threads that run in a copy of the
context, as those of `asyncio.to_thread` do.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.request import InferenceRequest

__all__ = ["EXECUTING", "NOTHING", "Executed"]


Executed: TypeAlias = "tuple[Sequence[InferenceRequest], int]"
"""The innermost execution: the requests of its batch, and the version of the model."""

NOTHING: Executed = ((), 0)

EXECUTING: ContextVar[Executed] = ContextVar("charonia_executing", default=NOTHING)
