"""The fields of a call's metadata that go on to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia.header_forwarding import HeaderForwarding
    from charonia.request import InferenceRequest
    from charonia.rpc import Metadata

__all__ = ["forward_metadata"]


def forward_metadata(forwarding: HeaderForwarding, metadata: Metadata, request: InferenceRequest) -> None:
    """Write the chosen fields into a request's parameters; binary ones are no text, and stay behind.

    They win over the message's parameters: a proxy in front may vouch for them, and nobody for the message.

    Raises:
        InvalidArgumentError: a chosen name means something to the server.
    """
    texts = ((name, value) for name, value in metadata() or () if isinstance(value, str))
    request.parameters = {**request.parameters, **forwarding.parameters(texts)}
