"""One batch in the making: which of the queue's first requests join it, and whether it is time to let it go.

The rules are the reference's. They are applied to the requests in the order of the queue, one after the other, and none is passed
over: a request that cannot join ends the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from charonia.scheduler import BatchReason

from charonia_scheduler_dynamic.batch_strategy import Inclusion

if TYPE_CHECKING:
    from collections.abc import Hashable

    from charonia_scheduler_dynamic.request_queue import Entry
    from charonia_scheduler_dynamic.rules import Rules

__all__ = ["BY_STRATEGY", "Forming", "Growing", "Verdict"]

BY_STRATEGY = "strategy"
"""A reason beside the core's: the model's own strategy does not let the next request join."""


class Growing:
    """A batch that has left the queue and is not executed yet, because all instances are busy. It grows until it is sealed.

    Attributes:
        entries: its requests.
        size: how many elements they have.
        reason: why it was closed, if no other request joins it.
        sealed: whether nobody can join any more.
    """

    __slots__ = ("entries", "reason", "sealed", "size")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.size = 0
        self.reason: str = BatchReason.QUEUE_EMPTY
        self.sealed = False

    def add(self, entry: Entry) -> None:
        """Let a request join."""
        self.entries.append(entry)
        self.size += entry.size

    def can_join(self, other: Growing, rules: Rules) -> bool:
        """Tell whether the requests of the batch that was formed next may join."""
        if self.reason in {BatchReason.SIGNATURE_CHANGED, BY_STRATEGY} or self.size + other.size > rules.most:
            return False
        if self.entries[0].signature != other.entries[0].signature:
            return False
        if rules.strategy is None:
            return True
        inclusion = Inclusion(rules.strategy, [entry.request for entry in self.entries])
        return all(inclusion.admits(entry.request) for entry in other.entries)

    def join(self, other: Growing) -> None:
        """Take over the requests of the batch that was formed next."""
        for entry in other.entries:
            self.add(entry)
        self.reason = other.reason


class Verdict(NamedTuple):
    """What is to happen with the requests that were offered.

    Attributes:
        joining: how many of them leave the queue; 0 for none yet.
        reason: why no further one joins them.
        sealed: whether none may, later, either.
        until_ns: when to look again though no request has come; None where there is nothing to wait for.
    """

    joining: int
    reason: str
    sealed: bool
    until_ns: int | None = None


class Forming:
    """Requests of the queue that would join a batch.

    Args:
        rules: the rules.
        batch: the batch that they would join, or None for a new one.
    """

    __slots__ = (
        "_inclusion",
        "_mark",
        "_marked_reason",
        "_oldest_ns",
        "_passed",
        "_rules",
        "_signature",
        "_size",
        "_start",
        "stopped",
        "taken",
    )

    def __init__(self, rules: Rules, batch: Growing | None = None) -> None:
        self._rules = rules
        self._start = self._size = 0 if batch is None else batch.size
        self._signature: Hashable = None if batch is None else batch.entries[0].signature
        self._mark = 0  # how many requests make up the best size so far; 0 for none
        self._marked_reason = ""
        self._passed = False  # whether some request has led past all preferred sizes
        self._oldest_ns = 0
        members = [] if batch is None else [entry.request for entry in batch.entries]
        self._inclusion = None if rules.strategy is None else Inclusion(rules.strategy, members)
        self.taken: list[Entry] = []
        self.stopped = ""  # why the request that was offered last could not join

    def offer(self, entry: Entry) -> None:
        """Offer the next request of the queue. Once `stopped` says why one could not join, no more are to be offered."""
        rules = self._rules
        size = self._size + entry.size
        if self._size == 0:
            self._signature = entry.signature
            self._admits(entry)  # the first one is in its batch whatever is told
        else:
            if size > rules.largest_preferred and not self._mark:
                self._mark = len(self.taken)
                self._marked_reason = BatchReason.PAST_PREFERRED
                self._passed = True
            if size > rules.most:
                self.stopped = BatchReason.WOULD_OVERFLOW
                return
            if entry.signature != self._signature:
                self.stopped = BatchReason.SIGNATURE_CHANGED
                return
            if not self._admits(entry):
                self.stopped = BY_STRATEGY
                return
        self._oldest_ns = min(self._oldest_ns, entry.arrived_ns) if self.taken else entry.arrived_ns
        self.taken.append(entry)
        self._size = size
        if size in rules.preferred:
            self._mark = len(self.taken)
            self._marked_reason = self._reason_of_size()

    def _admits(self, entry: Entry) -> bool:
        return self._inclusion is None or self._inclusion.admits(entry.request)

    def _reason_of_size(self) -> str:
        if self._size == self._rules.most:
            return BatchReason.FULL
        return BatchReason.PREFERRED_SIZE if self._size in self._rules.preferred else BatchReason.PAST_PREFERRED

    def judge(self, now_ns: int, *, hurry: bool = False) -> Verdict:
        """Say what is to happen now.

        Args:
            now_ns: what time it is.
            hurry: whether nobody is to be held back any more.
        """
        delay_ns = self._rules.delay_ns
        until_ns = self._oldest_ns + delay_ns
        over = delay_ns > 0 and now_ns >= until_ns
        if self._mark and not over:
            return Verdict(self._mark, self._marked_reason, sealed=self._passed or delay_ns == 0)
        if not self.taken:
            return Verdict(0, self.stopped, sealed=self._passed or bool(self.stopped))
        if self.stopped or self._size >= self._rules.largest_preferred:
            return Verdict(len(self.taken), self.stopped or self._reason_of_size(), sealed=True)
        if over or delay_ns == 0 or hurry:
            reason = BatchReason.DELAY_OVER if over else BatchReason.CLOSED if hurry else BatchReason.QUEUE_EMPTY
            return Verdict(len(self.taken), reason, sealed=False)
        if self._start and self._start not in self._rules.preferred:
            return Verdict(len(self.taken), BatchReason.QUEUE_EMPTY, sealed=False)
        return Verdict(0, "", sealed=False, until_ns=until_ns)
