"""What a thread waits for, as its stack tells."""

from __future__ import annotations

import concurrent.futures.thread
import sys
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import CodeType, FrameType

__all__ = ["awaited_thread", "place_of"]

_JOIN = threading.Thread.join.__code__
_RESULTS = {Future.result.__code__, Future.exception.__code__}
_WORK = concurrent.futures.thread._WorkItem.run.__code__  # noqa: SLF001 - the frame in which a pool works on a future


def awaited_thread(thread: int, others: Collection[int]) -> int:
    """Find the thread for which one waits, without a limit, before it does anything else: in `join`, or for a pool's future.

    It may wait for one that waits for another one in turn. Other waits, for an event or a queue, do not tell who ends them.

    Args:
        thread: who waits, by `threading.get_ident`.
        others: among whom is looked.

    Returns:
        One of `others`; 0 if it waits for none of them, or does not wait so.
    """
    frames = sys._current_frames()  # noqa: SLF001 - documented; threads go on only when this one lets them
    seen = set()
    while thread in frames and thread not in seen:
        seen.add(thread)
        thread = _joined(frames[thread]) or _worker(frames[thread], frames)
        if thread in others:
            return thread
    return 0


def _joined(frame: FrameType) -> int:
    """Tell which thread is joined; 0 for none."""
    waiting = _innermost(frame, {_JOIN})
    joined = waiting.get("self")
    return joined.ident or 0 if isinstance(joined, threading.Thread) and waiting.get("timeout") is None else 0


def _worker(frame: FrameType, frames: dict[int, FrameType]) -> int:
    """Tell which thread works on the future that is waited for; 0 if it is none of a pool of threads, or has not begun."""
    waiting = _innermost(frame, _RESULTS)
    future = waiting.get("self")
    if not isinstance(future, Future) or waiting.get("timeout") is not None:
        return 0
    return next((thread for thread, other in frames.items() if _works_on(other, future)), 0)


def _works_on(frame: FrameType, future: Future[Any]) -> bool:
    item = _innermost(frame, {_WORK}).get("self")
    return item is not None and item.future is future


def _innermost(frame: FrameType, codes: Collection[CodeType]) -> dict[str, Any]:
    """Give the variables of the innermost call of one of some functions; none if none of them is being called."""
    return next((each.f_locals for each in _outwards(frame) if each.f_code in codes), {})


def place_of(thread: int) -> tuple[tuple[int, int], ...]:
    """Tell at which place of its code a thread is, in a form that can be compared. Empty for one that is gone."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented
    return () if frame is None else tuple((id(each), each.f_lasti) for each in _outwards(frame))


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
