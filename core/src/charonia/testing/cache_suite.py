"""The standard tests of a response cache."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import numpy as np

from charonia.cache import CachedResponse
from charonia.datatypes import DataType
from charonia.testing.patience import PATIENCE_SECONDS
from charonia.testing.suite import Suite

if TYPE_CHECKING:
    from charonia.cache import ResponseCache
    from charonia.request import Parameter
    from charonia.tensor import Array

__all__ = ["CacheSuite"]


class CacheSuite(Suite):
    """What every response cache must keep to.

        class TestMyCache(CacheSuite):
            def make_cache(self):
                return MyCache({"size": "1048576"})

    A cache may let go of anything at any time, but not of a small response that was inserted just now and is alone.
    """

    def make_cache(self) -> ResponseCache:
        """Make a cache that is empty, with room for a megabyte at least."""
        raise NotImplementedError(f"{type(self).__name__} must define make_cache")

    def test_nothing_is_found_that_was_not_inserted(self) -> None:
        """An unknown key has no response, also where another one has."""
        with closing(self.make_cache()) as cache:
            assert cache.lookup(_key(1)) is None
            cache.insert(_key(2), CachedResponse({"Y": np.zeros(4, np.float32)}))
            assert cache.lookup(_key(1)) is None

    def test_tensors_of_every_datatype_come_back(self) -> None:
        """Elements, datatype, shape and the order of the outputs are kept, for each datatype and for unusual shapes."""
        outputs: dict[str, Array] = {}
        for datatype in DataType:
            for shape in ((2, 3), (), (0, 5)):
                outputs[f"{datatype.name}{list(shape)}"] = _tensor(datatype, shape)
        outputs["transposed"] = np.arange(6, dtype=np.int32).reshape(2, 3).T
        with closing(self.make_cache()) as cache:
            cache.insert(_key(1), CachedResponse(outputs))
            found = cache.lookup(_key(1))
        assert found is not None
        assert list(found.outputs) == list(outputs)
        for name, expected in outputs.items():
            assert found.outputs[name].dtype == expected.dtype, name
            assert found.outputs[name].shape == expected.shape, name
            assert found.outputs[name].tolist() == expected.tolist(), name

    def test_parameters_come_back(self) -> None:
        """What the model attached is kept with its types."""
        parameters: dict[str, Parameter] = {"text": "ö", "whole": 1 << 60, "real": 0.5, "flag": True}
        with closing(self.make_cache()) as cache:
            cache.insert(_key(1), CachedResponse({"Y": np.zeros(1, np.int8)}, parameters))
            found = cache.lookup(_key(1))
        assert found is not None
        assert [(name, type(value), value) for name, value in found.parameters.items()] == [
            (name, type(value), value) for name, value in parameters.items()
        ]

    def test_later_changes_of_what_was_inserted_do_not_matter(self) -> None:
        """The arrays are copied: whoever owns them may write to them afterwards."""
        numbers, texts = np.zeros(4, np.float32), np.array([b"a", b"b"], dtype=np.object_)
        with closing(self.make_cache()) as cache:
            cache.insert(_key(1), CachedResponse({"N": numbers, "T": texts}))
            numbers[:] = 9
            texts[0] = b"z"
            found = cache.lookup(_key(1))
        assert found is not None
        assert found.outputs["N"].tolist() == [0, 0, 0, 0]
        assert found.outputs["T"].tolist() == [b"a", b"b"]

    def test_one_receiver_cannot_change_what_another_one_gets(self) -> None:
        """Arrays that were given cannot be written to, or writing to them has no effect on what is kept."""
        with closing(self.make_cache()) as cache:
            kept = {"N": np.zeros(4, np.float32), "T": np.array([b"a"], dtype=np.object_)}
            cache.insert(_key(1), CachedResponse(kept))
            first = cache.lookup(_key(1))
            assert first is not None
            for array, value in ((first.outputs["N"], 9), (first.outputs["T"], b"z")):
                with suppress(ValueError):  # read only
                    array.flags.writeable = True
                    array[0] = value
            second = cache.lookup(_key(1))
        assert second is not None
        assert second.outputs["N"].tolist() == [0, 0, 0, 0]
        assert second.outputs["T"].tolist() == [b"a"]

    def test_inserting_again_is_no_mistake(self) -> None:
        """Two equal requests may have been executed at the same time: the response is there once."""
        with closing(self.make_cache()) as cache:
            for _ in range(2):
                cache.insert(_key(1), CachedResponse({"Y": np.ones(4, np.float32)}))
            found = cache.lookup(_key(1))
        assert found is not None
        assert found.outputs["Y"].tolist() == [1, 1, 1, 1]

    def test_any_number_of_threads_use_it_at_once(self) -> None:
        """Whatever is found under a key is what was inserted under it."""
        with closing(self.make_cache()) as cache, ThreadPoolExecutor(4) as threads:

            def use(number: int) -> None:
                cache.insert(_key(number % 50), CachedResponse({"Y": np.full(100, number % 50, np.int64)}))
                found = cache.lookup(_key(number % 37))
                assert found is None or (found.outputs["Y"] == number % 37).all()

            for future in [threads.submit(use, number) for number in range(1000)]:
                future.result(PATIENCE_SECONDS)

    def test_close_is_idempotent(self) -> None:
        """Closing twice is no mistake."""
        cache = self.make_cache()
        cache.insert(_key(1), CachedResponse({"Y": np.zeros(4, np.float32)}))
        cache.close()
        cache.close()


def _key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _tensor(datatype: DataType, shape: tuple[int, ...]) -> Array:
    count = int(np.prod(shape))
    if datatype is DataType.BYTES:
        items = np.empty(count, dtype=np.object_)
        items[:] = [bytes([0, 255, number]) for number in range(count)]
        return items.reshape(shape)
    return np.arange(count).astype(datatype.dtype).reshape(shape)
