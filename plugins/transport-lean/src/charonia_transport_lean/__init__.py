"""The lean transport for the Charonia inference server. This module only tells where it is."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_transports() -> dict[str, str]:
    """Offer the transport for HTTP."""
    return {"lean": "charonia_transport_lean.transport:LeanTransport"}


@hookimpl
def charonia_rpc_transports() -> dict[str, str]:
    """Offer the transport for gRPC."""
    return {"lean": "charonia_transport_lean.rpc.transport:LeanRpcTransport"}
