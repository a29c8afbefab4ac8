"""The requests that a model's process has, by the keys that it knows them by."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from charonia.request import InferenceRequest

    from charonia_backend_custom.served import ServedRequest

__all__ = ["OpenRequests"]


class OpenRequests:
    """Requests from the moment in which the process gets them until it has done with them. Any thread may use it.

    One that it has given back, to be executed once more, rests here until it gets it again, under the same key: what it says by
    an earlier sender finds its way. When the process ends, so does that request, since nobody else knows how far it had come.
    """

    def __init__(self) -> None:
        self._keys = itertools.count(1)
        self._by_key: dict[int, ServedRequest] = {}
        self._resting: dict[InferenceRequest, int] = {}

    def enter(self, request: ServedRequest) -> int:
        """Give a request to the process. Gives its key."""
        key = (self._resting and self._resting.pop(request.core, 0)) or next(self._keys)
        self._by_key[key] = request
        return key

    def get(self, key: int) -> ServedRequest | None:
        """Give the request of a key; None if it has ended."""
        return self._by_key.get(key)

    def leave(self, keys: Iterable[int]) -> None:
        """The process has done with them, save for those that rest."""
        for key in keys:
            request = self._by_key.get(key)
            if request is not None and (not self._resting or request.core not in self._resting):
                del self._by_key[key]

    def rest(self, keys: Iterable[int]) -> None:
        """The process has given requests back: note it with them, and let go of those that have ended since they rested."""
        for key in keys:
            request = self._by_key.get(key)
            if request is not None:
                request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
                self._resting[request.core] = key
        for ended in [request for request in self.resting if request.done]:
            del self._by_key[self._resting.pop(ended)]

    @property
    def begun(self) -> Sequence[InferenceRequest]:
        """Those that the process may just be executing, or may still answer."""
        return [request.core for request in list(self._by_key.values()) if request.core not in self._resting]

    @property
    def resting(self) -> Sequence[InferenceRequest]:
        """Those that it has given back."""
        return list(self._resting)
