"""What is executed here, so that whatever is logged meanwhile, by a model's own code too, can be told apart.

It belongs to the context: coroutines that a model starts know it to their end, and so do threads that run in a copy of the
context, as those of `asyncio.to_thread` do.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.request import InferenceRequest

__all__ = ["EXECUTING", "Executed"]


class Executed(NamedTuple):
    """The innermost execution.

    Attributes:
        requests: those of its batch; none where nothing is executed.
        version: the version of the model.
    """

    requests: Sequence[InferenceRequest] = ()
    version: int = 0


_NOTHING = Executed()
EXECUTING: ContextVar[Executed] = ContextVar("charonia_executing", default=_NOTHING)
