"""A batch that is executed in parts, each of which may end in another way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.errors import InferenceError

    from charonia_backend_custom.execution import Span, TakeAnswers
    from charonia_backend_custom.served import ServedRequest

__all__ = ["Parts", "all_answers"]


class Parts:
    """Brings the answers to the parts of a batch together. Any thread may take a part's.

    Args:
        requests: the batch.
        count: how many parts there are.
        take: gets all answers when the last part has ended. The requests of a part that has failed got their error before.
    """

    def __init__(self, requests: Sequence[ServedRequest], count: int, take: TakeAnswers) -> None:
        self._requests = requests
        self._lock = threading.Lock()  # guards all below
        self._left = count
        self._take = take
        self._executed: list[ServedRequest] = []
        self._answers: list[pb_utils.InferenceResponse | None] = []
        self._span: Span | None = None

    def take(
        self,
        part: Sequence[ServedRequest],
        answers: Sequence[pb_utils.InferenceResponse | None] | None,
        failure: InferenceError | None,
        span: Span | None = None,
    ) -> None:
        """Take a part's answers, or why there are none."""
        if failure is not None:
            for request in part:
                request.core.fail(failure)
        with self._lock:
            if answers is not None:
                self._executed += part
                self._answers += answers
            if span is not None:
                self._span = span if self._span is None else (min(self._span[0], span[0]), max(self._span[1], span[1]))
            self._left -= 1
            ended = not self._left
        if ended:
            self._take(all_answers(self._requests, self._executed, self._answers), None, self._span)


def all_answers(
    requests: Sequence[ServedRequest],
    executed: Sequence[ServedRequest],
    answers: list[pb_utils.InferenceResponse | None] | None,
) -> list[pb_utils.InferenceResponse | None] | None:
    """Put answers to the places of their requests; those that were not executed have got theirs."""
    if answers is None or len(executed) == len(requests):
        return answers
    by_request = dict(zip(map(id, executed), answers, strict=True))
    answered = pb_utils.InferenceResponse(error="it was answered before")
    return [by_request.get(id(request), answered) for request in requests]
