"""The rules of dynamic batching as a machine without threads or time: what comes, what time it is, and what follows from it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from charonia.errors import CancelledError, UnavailableError
from charonia.scheduler import FormedBatch

from charonia_scheduler_dynamic.forming import Forming, Growing, Verdict
from charonia_scheduler_dynamic.request_bytes import request_bytes
from charonia_scheduler_dynamic.request_queue import Entry, RequestQueue, queue_is_full
from charonia_scheduler_dynamic.rules import MAX_QUEUE_BYTES

if TYPE_CHECKING:
    from collections.abc import Hashable

    from charonia.errors import InferenceError
    from charonia.request import InferenceRequest

    from charonia_scheduler_dynamic.rules import Rules

__all__ = ["Batcher", "Dropped"]

_AHEAD = 2
"""How many batches are formed ahead for each instance."""

Dropped: TypeAlias = "tuple[InferenceRequest, InferenceError]"
"""A request that is not executed, and why."""


class Batcher:
    """The queue of one model version, and the batches that are formed ahead of their execution.

    As in the reference, batches are formed ahead while all instances are busy, two for each of them. The last one grows until it
    is sealed, with a preferred size or by a request that cannot join it, or until there are as many as may be. What comes then
    waits in the queue, and joins when the first batch is taken.

    Not safe for several threads.

    Attributes:
        instances: how many instances there are.
        hurry: whether no request is to be held back any more.
    """

    def __init__(self, rules: Rules, instances: int = 1) -> None:
        self._rules = rules
        self._forms_ahead = rules.forms_ahead
        self._queue = RequestQueue(rules)
        self._formed: deque[Growing] = deque()
        self._forming: Forming | None = None  # kept while nothing but the end of the queue changes
        self._until_ns: int | None = None
        self.instances = instances
        self.hurry = False
        self._dropped: list[Dropped] = []
        self._bytes = 0  # of all requests that are not given out yet, where they are bounded

    def __len__(self) -> int:
        """Count the requests that are not given out yet."""
        return len(self._queue) + sum([len(batch.entries) for batch in self._formed])

    def add(self, request: InferenceRequest, now_ns: int, signature: Hashable = None) -> None:
        """Put a request into the queue.

        Raises:
            UnavailableError: as many requests of its level wait as may, or as many bytes.
        """
        size_bytes = request_bytes(request) if self._rules.most_bytes else 0
        if self._bytes and self._bytes + size_bytes > self._rules.most_bytes:
            raise queue_is_full(
                request,
                f"Exceeds maximum queue bytes: {self._bytes} bytes wait, and {size_bytes} more would be over the "
                f"{self._rules.most_bytes} that parameter '{MAX_QUEUE_BYTES}' allows",
            )
        entry = Entry(request, now_ns, signature, size_bytes)
        last = self._queue.add(entry)
        self._bytes += size_bytes
        if self._forming is None:
            return
        if last:
            self._forming.offer(entry)
        else:
            self._forming = None

    def take(self, now_ns: int) -> FormedBatch | None:
        """Give the next batch to an instance that is free, or None if there is none yet."""
        if self._formed:
            self.form_ahead(now_ns)  # what might have joined meanwhile
            batch = self._pop_formed()
        else:
            self._expire(now_ns)
            batch = Growing()
            self._grow(batch, self._verdict(None, now_ns))
        if not batch.entries:
            return None
        self._bytes -= sum([entry.bytes for entry in batch.entries])
        return FormedBatch([entry.request for entry in batch.entries], batch.reason)

    def _pop_formed(self) -> Growing:
        """Take the first batch that was formed ahead. Where there is a delay, those after it join it as far as they fit."""
        self._forming = None
        batch = self._formed.popleft()
        while self._rules.delay_ns and self._formed and batch.can_join(self._formed[0], self._rules):
            batch.join(self._formed.popleft())
        return batch

    def form_ahead(self, now_ns: int) -> None:
        """Form batches for instances that are busy, as far as the rules allow."""
        self._expire(now_ns)
        if not self._forms_ahead:
            return
        while self._queue and len(self._formed) < _AHEAD * self.instances:
            last = self._formed[-1] if self._formed and not self._formed[-1].sealed else None
            verdict = self._verdict(last, now_ns)
            if not verdict.joining and not verdict.sealed:
                return
            batch = last or Growing()
            self._grow(batch, verdict)
            if last is None and batch.entries:
                self._formed.append(batch)

    def until_ns(self, *, idle: bool) -> int | None:
        """Tell when something happens though no request comes: a time-out; or, if some instance is idle, the end of a delay."""
        deadline_ns = self._queue.deadline_ns
        if not idle or self._until_ns is None:
            return deadline_ns
        return self._until_ns if deadline_ns is None else min(self._until_ns, deadline_ns)

    def drop(self) -> list[Dropped]:
        """Give the requests that have left the queue unexecuted since the last call, each with the error to answer it with."""
        dropped = self._dropped
        if dropped:
            self._dropped = []
        return dropped

    def _expire(self, now_ns: int) -> None:
        refused, changed = self._queue.expire(now_ns)
        if changed:
            self._forming = None
        for entry in refused:
            gone = entry.request.cancelled  # it was not the queue that ended it
            self._drop(entry, CancelledError("") if gone else UnavailableError("Request timeout expired"))

    def _drop(self, entry: Entry, error: InferenceError) -> None:
        """Let a request that has left the queue go unexecuted."""
        self._bytes -= entry.bytes
        self._dropped.append((entry.request, error))

    def _verdict(self, batch: Growing | None, now_ns: int) -> Verdict:
        """Say what is to happen with the first requests of the queue, which would join `batch` or make up a new one."""
        if self._forming is None:
            self._forming = self._walk(Forming(self._rules, batch))
        verdict = self._forming.judge(now_ns, hurry=self.hurry)
        self._until_ns = verdict.until_ns
        return verdict

    def _walk(self, forming: Forming) -> Forming:
        cancelled = []
        for entry in self._queue:
            if entry.request.cancelled:
                cancelled.append(entry)
                continue
            forming.offer(entry)
            if forming.stopped:
                break
        for entry in cancelled:
            self._queue.remove(entry)
            self._drop(entry, CancelledError(""))
        return forming

    def _grow(self, batch: Growing, verdict: Verdict) -> None:
        """Let requests join a batch."""
        batch.sealed = batch.sealed or verdict.sealed
        batch.reason = verdict.reason or batch.reason
        if self._forming is None or not (verdict.joining or verdict.sealed):
            return
        for entry in self._forming.taken[: verdict.joining]:
            self._queue.remove(entry)
            batch.add(entry)
        self._forming = None
