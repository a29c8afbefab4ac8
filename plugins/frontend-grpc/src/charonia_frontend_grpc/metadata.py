"""The metadata of a call, and those of its fields that go on to the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from charonia.header_forwarding import HeaderForwarding
    from charonia.request import InferenceRequest

__all__ = ["Metadata", "forward_metadata", "no_metadata"]

Metadata: TypeAlias = Callable[[], Iterable[tuple[str, str | bytes]] | None]
"""Gives the fields that came with a call: text, or bytes where a name ends in `-bin`. Reading them costs, so few calls do."""


def no_metadata() -> tuple[()]:
    """Give no field at all."""
    return ()


def forward_metadata(forwarding: HeaderForwarding, metadata: Metadata, request: InferenceRequest) -> None:
    """Write the chosen fields into a request's parameters; binary ones are no text, and stay behind.

    They win over the message's parameters: a proxy in front may vouch for them, and nobody for the message.

    Raises:
        InvalidArgumentError: a chosen name means something to the server.
    """
    texts = ((name, value) for name, value in metadata() or () if isinstance(value, str))
    request.parameters = {**request.parameters, **forwarding.parameters(texts)}
