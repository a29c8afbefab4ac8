"""Responses in the server's own memory; when it is full, those that were of no use for longest make room."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from charonia.cache import CachedResponse, ResponseCache
from charonia.errors import InvalidArgumentError
from charonia.metric_families import MetricFamily, MetricKind, MetricSample

from charonia_cache_local.frozen import frozen, memory_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LocalCache"]

_log = logging.getLogger("charonia.cache_local.cache")


class _Entry(NamedTuple):
    response: CachedResponse
    byte_size: int


class LocalCache(ResponseCache):
    """Keeps as many responses as fit into so many bytes. What was looked for longest ago goes first.

    Args:
        settings: `size`, the bytes that all entries may take together.

    Raises:
        InvalidArgumentError: `size` is missing or no whole number of 1 or more, or there is another setting.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        super().__init__(settings)
        self.capacity = _size(settings)
        self._lock = threading.Lock()  # guards all below
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()  # the one that was used last is the last
        self._byte_size = 0
        self._hits = self._misses = self._evictions = 0
        self._lookup_ns = self._insertion_ns = 0

    def lookup(self, key: bytes) -> CachedResponse | None:
        """Give what was inserted under a key; its arrays are read only for good."""
        began = time.monotonic_ns()
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._misses += 1
            else:
                self._hits += 1
                self._entries.move_to_end(key)
            self._lookup_ns += time.monotonic_ns() - began
        return None if entry is None else entry.response

    def insert(self, key: bytes, response: CachedResponse) -> None:
        """Keep a copy of a response, and let go of others if there is no room. One that alone is too large is not kept."""
        began = time.monotonic_ns()
        byte_size = memory_of(response)
        if byte_size > self.capacity:
            _log.warning(
                "a response of %d bytes does not fit into the response cache of %d bytes: "
                "raise size in --cache-config=local,size=%d",
                byte_size,
                self.capacity,
                self.capacity,
            )
            return
        entry = _Entry(frozen(response), byte_size)
        with self._lock:
            known = self._entries.pop(key, None)
            self._byte_size += byte_size - (0 if known is None else known.byte_size)
            self._entries[key] = entry
            while self._byte_size > self.capacity:
                _, oldest = self._entries.popitem(last=False)
                self._byte_size -= oldest.byte_size
                self._evictions += 1
            self._insertion_ns += time.monotonic_ns() - began

    def metrics(self) -> Sequence[MetricFamily]:
        """Tell how full the cache is, and what it was asked, by the reference's names and in its units."""
        with self._lock:
            values = (
                ("util", "Cache utilization [0.0 - 1.0]", self._byte_size / self.capacity),
                ("num_entries", "Number of responses stored in response cache", len(self._entries)),
                ("num_hits", "Number of cache hits in response cache", self._hits),
                ("num_misses", "Number of cache misses in response cache", self._misses),
                ("num_lookups", "Number of cache lookups in response cache", self._hits + self._misses),
                ("num_evictions", "Number of cache evictions in response cache", self._evictions),
                (
                    "lookup_duration",
                    "Total cache lookup duration (hit and miss), in microseconds",
                    self._lookup_ns // 1000,
                ),
                ("insertion_duration", "Total cache insertion duration, in microseconds", self._insertion_ns // 1000),
            )
        return [
            MetricFamily(f"nv_cache_{name}", description, MetricKind.GAUGE, [MetricSample({}, value)])
            for name, description, value in values
        ]

    @property
    def byte_size(self) -> int:
        """The bytes that all entries take now."""
        return self._byte_size

    def __len__(self) -> int:
        """The number of entries."""
        return len(self._entries)

    def close(self) -> None:
        """Let go of all entries."""
        with self._lock:
            self._entries.clear()
            self._byte_size = 0


def _size(settings: Mapping[str, str]) -> int:
    unknown = sorted(set(settings) - {"size"})
    if unknown:
        raise InvalidArgumentError(f"--cache-config=local,{unknown[0]}=…: the local cache has one setting, size")
    if "size" not in settings:
        raise InvalidArgumentError("--cache-config=local: say how large it may become, as in local,size=104857600")
    text = settings["size"]
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise InvalidArgumentError(f"--cache-config=local,size={text}: expected a number of bytes, 1 or more")
    return int(text)
