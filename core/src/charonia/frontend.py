"""The interface of a frontend: what brings requests from the network to a server.

A frontend's application is free of its transport: it turns what came in into calls of `charonia.server.Server`, and what
the server answers into bytes; an adapter to some network library does the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from charonia.frontend_offer import OptionValue
    from charonia.server import Server

__all__ = ["Frontend", "network_place"]


class Frontend(ABC):
    """One protocol on one transport. Lives on an event loop; made, started and stopped by whoever runs the loop.

    It is made before models are loaded, so that wrong options are told at once, and holds nothing to be closed until it starts.

    Args:
        server: the server that answers; the frontend does not own it.
        options: a value for every option of the frontend's offer, by name.
    """

    def __init__(self, server: Server, options: Mapping[str, OptionValue]) -> None:
        self.server = server
        self.options = options

    @classmethod
    def event_loop(cls) -> Callable[[], asyncio.AbstractEventLoop] | None:
        """Tell which event loop serves this frontend best, or None if it does not care."""
        return None

    @property
    def enabled(self) -> bool:
        """Whether the options want this frontend at all."""
        return True

    @abstractmethod
    async def start(self) -> Sequence[str]:
        """Listen. Gives the URLs at which models can now be asked; none where the frontend serves something else.

        Raises:
            OSError: the address cannot be bound.
        """

    @abstractmethod
    async def stop(self, grace_seconds: float) -> None:
        """Accept nothing new, let requests in progress finish for at most `grace_seconds`, then close. Idempotent."""

    def describe(self) -> Mapping[str, Any]:
        """Tell what the start-up screen should add for this frontend, as label → value."""
        return {}


def network_place(address: str, port: int) -> str:
    """Write an address and a port as they stand in a URL, where one of IPv6 has brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
