"""Which of an instance's ready slots make up its next batch, and whether it is time to let it go.

The rules are the reference's, as functions of the slots and the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from charonia.scheduler import BatchReason

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from charonia_scheduler_sequence.rules import Rules
    from charonia_scheduler_sequence.seats import Seats, Slot

__all__ = ["SLOTS_USED", "Formation", "form_direct", "form_oldest"]

SLOTS_USED = "slots_used"
"""A reason beside the core's: as many slots have a request as `minimum_slot_utilization` asks for."""

_Slot: TypeAlias = "Slot[Any]"


class Formation(NamedTuple):
    """What is to happen with the ready slots.

    Attributes:
        places: the slots whose requests are executed now, by their place in the batch; None is a place without a request. Empty
            if it is not time yet.
        reason: why no further request joins them.
        until_ns: when to look again though no request has come; None where there is nothing to wait for.
    """

    places: Sequence[_Slot | None] = ()
    reason: str = ""
    until_ns: int | None = None


_NOTHING = Formation()


def form_direct(
    seats: Seats[Any], rules: Rules, signature_of: Callable[[_Slot], Hashable], now_ns: int, *, hurry: bool = False
) -> Formation:
    """Form a batch in which each slot has its own place.

    Slots below the last ready one that have no request, or one that does not go together with the first, leave their places
    empty.

    Args:
        seats: the instance's slots.
        rules: the rules.
        signature_of: what the next requests of a batch's slots must have in common.
        now_ns: what time it is.
        hurry: whether nobody is to be held back any more.
    """
    ready = seats.ready
    if not ready:
        return _NOTHING
    reason: str = BatchReason.FULL if len(ready) == rules.slots else BatchReason.QUEUE_EMPTY
    if rules.utilization > 0 and rules.delay_ns > 0 and not hurry:
        if len(ready) < rules.utilization * rules.slots:
            until_ns = min([slot.head.arrived_ns for slot in ready]) + rules.delay_ns
            if now_ns < until_ns:
                return Formation(until_ns=until_ns)
            reason = BatchReason.DELAY_OVER
        elif reason is not BatchReason.FULL:
            reason = SLOTS_USED
    in_order = sorted(ready, key=lambda slot: slot.number)
    signature = signature_of(in_order[0])
    joining = {slot.number: slot for slot in in_order if signature_of(slot) == signature}
    if len(joining) < len(ready):
        reason = BatchReason.SIGNATURE_CHANGED
    return Formation([joining.get(number) for number in range(in_order[-1].number + 1)], reason)


def form_oldest(
    seats: Seats[Any], rules: Rules, signature_of: Callable[[_Slot], Hashable], now_ns: int, *, hurry: bool = False
) -> Formation:
    """Form a batch of the slots that have been ready for longest, as dynamic batching does. The arguments are `form_direct`'s."""
    if not seats.ready:
        return _NOTHING
    joining: list[_Slot] = []
    stopped = ""
    for slot in seats.ready:
        if len(joining) == rules.most:
            stopped = BatchReason.WOULD_OVERFLOW
        elif joining and signature_of(slot) != signature_of(joining[0]):
            stopped = BatchReason.SIGNATURE_CHANGED
        if stopped:
            break
        joining.append(slot)
    until_ns = min([slot.head.arrived_ns for slot in joining]) + rules.delay_ns
    over = rules.delay_ns > 0 and now_ns >= until_ns
    reached = max((size for size in rules.preferred if size <= len(joining)), default=0)
    if reached and not over:
        return Formation(joining[:reached], BatchReason.FULL if reached == rules.most else BatchReason.PREFERRED_SIZE)
    if stopped:
        return Formation(joining, stopped)
    if over or rules.delay_ns == 0 or hurry:
        return Formation(joining, _why_now(over=over, hurry=hurry))
    return Formation(until_ns=until_ns)


def _why_now(*, over: bool, hurry: bool) -> str:
    if over:
        return BatchReason.DELAY_OVER
    return BatchReason.CLOSED if hurry else BatchReason.QUEUE_EMPTY
