"""What this thread executes, so that whatever is logged meanwhile, by a model's own code too, can be told apart."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.request import InferenceRequest

__all__ = ["EXECUTING"]


class _Executing(threading.local):
    """The innermost execution of a thread.

    Attributes:
        requests: those of its batch; none where nothing is executed.
        version: the version of the model.
    """

    requests: Sequence[InferenceRequest] = ()
    version: int = 0


EXECUTING = _Executing()
