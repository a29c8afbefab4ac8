"""The local cache: what every cache keeps to, and that it is never larger than it may be and forgets the right ones."""

from __future__ import annotations

import gc
import logging
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest
from charonia.cache import CachedResponse
from charonia.errors import InvalidArgumentError
from charonia.plugins import Plugins
from charonia.testing.cache_suite import CacheSuite
from charonia_cache_local.cache import LocalCache
from charonia_cache_local.frozen import memory_of
from hypothesis import given
from hypothesis import strategies as st

ROOM = 10_000


def response_of(elements, value=0):
    return CachedResponse({"Y": np.full(elements, value, np.uint8)})


def make(size=ROOM):
    return LocalCache({"size": str(size)})


class TestLocalCache(CacheSuite):
    def make_cache(self):
        return make(1 << 20)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("insert"), st.integers(0, 9), st.integers(0, 6000)),
            st.tuples(st.just("insert"), st.integers(0, 9), st.integers(6000, 20_000)),
            st.tuples(st.just("lookup"), st.integers(0, 9), st.just(0)),
        )
    )
)
def test_it_forgets_what_was_used_longest_ago_and_only_where_room_is_needed(steps):
    """After any steps the entries are those of the simplest possible cache of that size, and their sizes add up."""
    cache, expected = make(), OrderedDict()
    for step, number, elements in steps:
        key = bytes([number])
        if step == "insert":
            cache.insert(key, response_of(elements))
            size = memory_of(response_of(elements))
            if size <= ROOM:
                expected.pop(key, None)
                expected[key] = size
                while sum(expected.values()) > ROOM:
                    expected.popitem(last=False)
        else:
            assert (cache.lookup(key) is not None) == (key in expected)
            if key in expected:
                expected.move_to_end(key)
        assert cache.byte_size == sum(expected.values()) <= ROOM
        assert len(cache) == len(expected)


@pytest.mark.parametrize(
    "outputs",
    [
        {"Y": np.zeros((1, 16), np.float32)},
        {f"Y{index}": np.zeros((4, 4), np.float64) for index in range(4)},
        {"T": np.array([bytes([index]) * 30 for index in range(20)], dtype=np.object_)},
    ],
    ids=["one", "four", "texts"],
)
def test_counted_bytes_are_those_of_the_memory(outputs):
    """A thousand entries take no more memory than is counted, and not much less."""
    cache = make(1 << 30)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1000):
            fresh = {name: _fresh(array) for name, array in outputs.items()}
            cache.insert(number.to_bytes(32, "big"), CachedResponse(fresh))
            del fresh
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert cache.byte_size / 2 < taken <= cache.byte_size


def _fresh(array):
    if not array.dtype.hasobject:
        return array.copy()
    copy = np.empty(array.shape, dtype=np.object_)
    copy[:] = [bytes(bytearray(item)) for item in array]  # no element is shared with another entry
    return copy


def test_what_is_too_large_is_told_and_harms_nothing(caplog):
    """A response that alone is larger than the cache pushes nothing out, and the log says what to do."""
    cache = make()
    cache.insert(b"small", response_of(10))
    with caplog.at_level(logging.WARNING):
        cache.insert(b"large", response_of(ROOM))
    assert cache.lookup(b"large") is None
    assert cache.lookup(b"small") is not None
    assert "raise size in --cache-config=local,size=10000" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "say how large it may become"),
        ({"size": "0"}, "expected a number of bytes, 1 or more"),
        ({"size": "1k"}, "size=1k: expected a number of bytes"),
        ({"size": "-5"}, "expected a number of bytes"),
        ({"size": "1", "ttl": "3"}, "the local cache has one setting, size"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    """Each mistake has its sentence."""
    with pytest.raises(InvalidArgumentError, match=message):
        LocalCache(settings)


def test_it_is_found_by_its_name():
    """The installed plugin offers the cache under the reference's name."""
    assert Plugins().cache("local", asker="--cache-config") is LocalCache
