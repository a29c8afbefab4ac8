"""The interface of a response cache: where the server keeps responses, to give them again for equal requests.

The core knows which requests are equal, and when a response may be given again; a cache knows where to put it and what to let
go. There is one cache for all models of a server that ask for it::

    class AcmeCache(ResponseCache):
        def __init__(self, settings):
            super().__init__(settings)
            self._store = acme.connect(settings["host"])

        def lookup(self, key):
            return thaw(self._store.get(key))

        def insert(self, key, response):
            self._store.put(key, freeze(response))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.metric_families import MetricFamily
    from charonia.request import Parameter
    from charonia.tensor import Array

__all__ = ["CachedResponse", "ResponseCache"]


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A response that went well, as far as it does not depend on who asks.

    Attributes:
        outputs: numpy arrays by name, in the order in which clients see them; those of BYTES are object arrays of `bytes`.
        parameters: what the model attached.
    """

    outputs: Mapping[str, Array]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


class ResponseCache(ABC):
    """Keeps responses. Its methods are called by any number of threads at once, the event loop's among them: they must be quick.

    Whatever they raise is logged, and the request goes on as if nothing were cached.

    Args:
        settings: what `--cache-config` says, by name.

    Raises:
        InvalidArgumentError: a setting is missing, wrong or unknown; the server does not start.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = settings

    @abstractmethod
    def lookup(self, key: bytes) -> CachedResponse | None:
        """Give what was inserted under a key, or None if it is not there any more.

        The arrays must be read only, or the caller's alone: many requests get them.
        """

    @abstractmethod
    def insert(self, key: bytes, response: CachedResponse) -> None:
        """Keep a response, or do not, as it fits; what is kept under the key already is as good.

        The arrays are a model's or a client's, who may write to them later: keep copies of their content.

        Args:
            key: 32 bytes that no other request has, nor the same request to the model after it is loaded anew.
            response: what to keep.
        """

    def metrics(self) -> Sequence[MetricFamily]:
        """Tell metrics of the cache, as they are now; asked whenever somebody looks."""
        return ()

    def close(self) -> None:
        """Let go of what the cache holds. Nobody asks it any more. Idempotent."""
