"""The queue: requests in the order of their levels and arrivals, the time-outs and bounds of each level."""

from __future__ import annotations

import heapq
import itertools
from bisect import insort
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

from charonia.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from charonia.request import InferenceRequest

    from charonia_scheduler_dynamic.rules import QueuePolicy, Rules

__all__ = ["Entry", "RequestQueue", "queue_is_full"]

_RETRY_AFTER_SECONDS = 1


def queue_is_full(request: InferenceRequest, text: str) -> UnavailableError:
    """Make the error of a request for which there is no room, as the reference words it."""
    who = f"[request id: {request.id or '<id_unknown>'}]"
    return UnavailableError(f"{who} {text}", retry_after_seconds=_RETRY_AFTER_SECONDS)


class Entry:
    """A request in the queue.

    Attributes:
        request: the request.
        size: its batch size, at least 1.
        arrived_ns: when it entered the queue.
        signature: what it must have in common with the others of its batch.
        bytes: the size of its inputs; 0 where nobody counts.
        line: where it waits; None when it has left.
    """

    __slots__ = ("arrived_ns", "bytes", "line", "request", "signature", "size")

    def __init__(
        self, request: InferenceRequest, arrived_ns: int, signature: Hashable = None, size_bytes: int = 0
    ) -> None:
        self.request = request
        self.size = max(1, request.batch_size)
        self.arrived_ns = arrived_ns
        self.signature = signature
        self.bytes = size_bytes
        self.line: _Line | None = None


_Line: TypeAlias = (
    "OrderedDict[Entry, None]"  # any entry leaves in constant time, and the first is found in constant time
)


class _Level:
    """The requests of one priority level: those in time, then those whose time is over and that may wait nevertheless."""

    __slots__ = ("in_time", "late", "policy")

    def __init__(self, policy: QueuePolicy) -> None:
        self.policy = policy
        self.in_time: _Line = OrderedDict()
        self.late: _Line = OrderedDict()


class RequestQueue:
    """Requests that wait: level by level, and in the order of their arrival within a level.

    Not safe for several threads. The time is an argument wherever it matters.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._levels: dict[int, _Level] = {}  # made when first used: there may be billions of them
        self._order: list[int] = []  # the levels that were used, ascending
        self._deadlines: list[tuple[int, int, Entry, _Level]] = []  # a heap; the number keeps the order of equal times
        self._numbers = itertools.count()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        """Walk through the queue, in the order in which requests are to be executed."""
        for number in self._order:
            level = self._levels[number]
            yield from level.in_time
            yield from level.late

    def add(self, entry: Entry) -> bool:
        """Put a request into the queue. Gives whether it is the last of all.

        Raises:
            UnavailableError: as many requests of its level wait as may.
        """
        number = self._rules.level_of(entry.request.priority)
        level = self._levels.get(number)
        if level is None:
            level = self._levels[number] = _Level(self._rules.policy_of(number))
            insort(self._order, number)
        policy = level.policy
        if policy.most and len(level.in_time) + len(level.late) >= policy.most:
            raise queue_is_full(entry.request, "Exceeds maximum queue size")
        entry.line = level.in_time
        level.in_time[entry] = None
        self._count += 1
        timeout_ns = policy.timeout_of(entry.request.timeout_us)
        if timeout_ns:
            heapq.heappush(self._deadlines, (entry.arrived_ns + timeout_ns, next(self._numbers), entry, level))
        return self._is_last(number)

    def _is_last(self, number: int) -> bool:
        """Tell whether nobody waits behind the requests of a level that are in time."""
        if self._levels[number].late:
            return False
        return all(
            not self._levels[other].in_time and not self._levels[other].late
            for other in reversed(self._order)
            if other > number
        )

    def remove(self, entry: Entry) -> None:
        """Let a request leave the queue."""
        if entry.line is not None:
            del entry.line[entry]
            entry.line = None
            self._count -= 1

    def expire(self, now_ns: int) -> tuple[list[Entry], bool]:
        """Apply the policies to the requests whose time is over.

        Returns:
            The requests that are refused, which have left the queue; and whether anything has changed.
        """
        refused: list[Entry] = []
        changed = False
        while self._deadlines and (self._deadlines[0][0] <= now_ns or self._deadlines[0][2].line is None):
            _, _, entry, level = heapq.heappop(self._deadlines)
            if entry.line is None:
                continue
            changed = True
            if level.policy.delays:
                del entry.line[entry]
                entry.line = level.late
                level.late[entry] = None
            else:
                self.remove(entry)
                refused.append(entry)
        return refused, changed

    @property
    def deadline_ns(self) -> int | None:
        """When the next request's time is over, or None."""
        while self._deadlines and self._deadlines[0][2].line is None:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None
