"""The fields of a call's metadata: those that go on to the model, and those that its trace is told by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.trace import Passage

if TYPE_CHECKING:
    from charonia.header_forwarding import HeaderForwarding
    from charonia.request import InferenceRequest
    from charonia.rpc import Metadata

__all__ = ["forward_metadata", "passage_with"]


def forward_metadata(forwarding: HeaderForwarding, metadata: Metadata, request: InferenceRequest) -> None:
    """Write the chosen fields into a request's parameters; binary ones are no text, and stay behind.

    They win over the message's parameters: a proxy in front may vouch for them, and nobody for the message.

    Raises:
        InvalidArgumentError: a chosen name means something to the server.
    """
    texts = ((name, value) for name, value in metadata() or () if isinstance(value, str))
    request.parameters = {**request.parameters, **forwarding.parameters(texts)}


def passage_with(metadata: Metadata) -> Passage:
    """Begin the passage of a request, for its trace."""

    def field(name: str) -> str | None:
        return next((value for key, value in metadata() or () if key == name and isinstance(value, str)), None)

    return Passage("GRPC_WAITREAD", "GRPC_SEND", field)
