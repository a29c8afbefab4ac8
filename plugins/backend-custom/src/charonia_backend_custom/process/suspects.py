"""Which requests were being executed when a process ended, so that one which ends it again and again is not executed any more."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from charonia.tensor import as_numpy, encode_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charonia.request import InferenceRequest

__all__ = ["Suspects"]

_KILLS = 2
_REMEMBERED = 256


class Suspects:
    """What is remembered of the requests of a model version. Any thread may use it.

    A request is known again by its inputs and parameters, whoever sends it. Not each of those that were there has ended the
    process: one that is executed well afterwards is suspected no more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards `_kills`
        self._kills: OrderedDict[bytes, int] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._kills)

    def note(self, requests: Iterable[InferenceRequest]) -> None:
        """A process has ended while it executed these."""
        for mark in {_mark(request) for request in requests}:
            with self._lock:
                self._kills[mark] = self._kills.pop(mark, 0) + 1
                if len(self._kills) > _REMEMBERED:
                    self._kills.popitem(last=False)

    def acquit(self, request: InferenceRequest) -> None:
        """Such a request was executed, and the process lives."""
        with self._lock:
            self._kills.pop(_mark(request), None)

    def suspected(self, request: InferenceRequest) -> bool:
        """Tell whether a process has ended while it executed such a request."""
        return bool(self._kills) and _mark(request) in self._kills

    def guilty(self, request: InferenceRequest) -> bool:
        """Tell whether a process has ended twice while it executed such a request."""
        return self._kills.get(_mark(request), 0) >= _KILLS


def _mark(request: InferenceRequest) -> bytes:
    digest = hashlib.blake2b(repr(sorted(request.parameters.items())).encode(), digest_size=16)
    for name in sorted(request.inputs):
        array = as_numpy(request.inputs[name])
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(encode_bytes(array) if array.dtype == object else array.tobytes())
    return digest.digest()
