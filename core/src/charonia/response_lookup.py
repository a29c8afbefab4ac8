"""The response cache as one model version sees it: which requests are equal, what may be given again, and the counting.

Two requests are equal if their inputs have the same names, datatypes, shapes and bytes, and if they ask for the same outputs
with the same parameters. Who asks, the request's id, its priority and its time-out make no difference.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from charonia.cache import CachedResponse
from charonia.request import InferenceResponse
from charonia.tensor import as_numpy, encode_bytes

if TYPE_CHECKING:
    from charonia.cache import ResponseCache
    from charonia.request import InferenceRequest
    from charonia.statistics import ModelStatistics

__all__ = ["Look", "ResponseLookup"]

_log = logging.getLogger(__name__)


class Look(NamedTuple):
    """A look into the cache.

    Attributes:
        key: what was looked for; None where the request cannot be told from others.
        response: what was found, or None.
        ns: how long it took, in nanoseconds.
    """

    key: bytes | None
    response: InferenceResponse | None
    ns: int


class ResponseLookup:
    """Looks for the responses of one model version, and keeps them. Any thread may call it; it never raises.

    What was kept for the model before it was loaded anew is never found.

    Args:
        cache: the server's cache.
        model: the model's name.
        version: the version.
        statistics: where hits and misses are counted.
    """

    def __init__(self, cache: ResponseCache, model: str, version: int, statistics: ModelStatistics) -> None:
        self._cache = cache
        self._model = model
        self._statistics = statistics
        self._scope = hashlib.sha256(repr((model, version, uuid.uuid4().hex)).encode())

    def look(self, request: InferenceRequest) -> Look:
        """Look for the response to a request that was checked. A hit is counted here, a miss by `keep`."""
        began = time.monotonic_ns()
        key = found = None
        try:
            key = self._key(request)
            found = self._cache.lookup(key)
        except Exception:  # noqa: BLE001 - the border of the cache: whatever ails it, the model can still answer
            _log.warning("the response cache failed to look for a response of model '%s'", self._model, exc_info=True)
        response = None if found is None else InferenceResponse(dict(found.outputs), parameters=dict(found.parameters))
        spent = time.monotonic_ns() - began
        if response is not None:
            self._statistics.count_cache_hit(ns=spent)
        return Look(key, response, spent)

    def keep(self, look: Look, response: InferenceResponse) -> None:
        """Keep the final response to a request that was looked for in vain, unless it is an error; count the miss."""
        began = time.monotonic_ns()
        # A final response without outputs only ends a request whose outputs came before, each in a response of its own.
        if look.key is not None and response.error is None and response.outputs:
            try:
                outputs = {name: as_numpy(tensor) for name, tensor in response.outputs.items()}
                self._cache.insert(look.key, CachedResponse(outputs, dict(response.parameters)))
            except Exception:  # noqa: BLE001 - as above
                _log.warning("the response cache failed to keep a response of model '%s'", self._model, exc_info=True)
        self._statistics.count_cache_miss(ns=look.ns + time.monotonic_ns() - began)

    def _key(self, request: InferenceRequest) -> bytes:
        key = self._scope.copy()
        outputs, parameters = sorted(request.requested_outputs), sorted(request.parameters.items())
        # A parameter's type counts, since models can tell 1 from 1.0 and from True; `repr` shows it, as it parts what it lists.
        key.update(repr((outputs, parameters, len(request.inputs))).encode())
        for name in sorted(request.inputs):
            array = as_numpy(request.inputs[name])
            content = _content(array)
            key.update(repr((name, str(array.dtype), array.shape, len(content))).encode())
            key.update(content)
        return key.digest()


def _content(array: Any) -> bytes | memoryview:
    """Give an array's elements in row-major order as bytes, without a copy where they lie so."""
    if array.dtype.hasobject:
        return encode_bytes(array)
    if array.flags.c_contiguous and array.size:
        flat: memoryview = array.reshape(-1).view("u1").data
        return flat
    content: bytes = array.tobytes()
    return content
