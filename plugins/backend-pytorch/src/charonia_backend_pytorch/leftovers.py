"""What PyTorch keeps of each exported program that it has read, after the program itself has gone; and making it forget that.

There are two such things: the sources of the code that it generates, which it and `linecache` keep for tracebacks, and what the
methods of `ShapeEnv` have found out about the program's variable sizes, in caches of their own. Neither has a public way out.
Both are there for speed or for reading only, so that another program, which is still loaded, computes the same without them.
"""

from __future__ import annotations

import linecache
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Leftovers"]


class Leftovers:
    """What PyTorch keeps of the program that is read while the block lasts. If that fails, it is forgotten at the block's end.

    Sources that another thread has generated meanwhile count as the program's: only tracebacks would miss them.
    """

    def __init__(self) -> None:
        self._before: frozenset[str] = frozenset()
        self._sources: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        self._before = frozenset(_kept_sources())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sources = frozenset(_kept_sources()) - self._before
        if kind is not None:
            self.forget()

    def forget(self) -> None:
        """Have PyTorch forget it. A release that keeps things elsewhere keeps them."""
        kept = _kept_sources()
        for name in self._sources:
            kept.pop(name, None)
            linecache.cache.pop(name, None)
        for cache in _caches_of_sizes():
            cache.cache_clear()


def _kept_sources() -> dict[str, str]:
    """Give PyTorch's own table of the sources that it has generated, by the names that their code has for a file."""
    from torch.fx import graph_module

    return getattr(getattr(graph_module, "_loader", None), "eval_cache", {})


def _caches_of_sizes() -> list[Any]:
    """List the methods of `ShapeEnv` that keep what they have answered, each with the `ShapeEnv` that it was asked of."""
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    return [method for method in vars(ShapeEnv).values() if hasattr(method, "cache_clear")]
