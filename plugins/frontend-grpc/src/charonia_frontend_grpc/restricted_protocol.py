"""The parts of the protocol that only callers with a key may use. Without the option none of this reads anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.restricted_access import Restriction
    from charonia.rpc import Metadata

__all__ = ["CATEGORY", "HEALTH_CHECK", "RestrictedProtocol"]

HEALTH_CHECK = "Health.Check"
"""The call of the general health service."""

_PREFIX = "triton-grpc-protocol-"

CATEGORY: Mapping[str, str] = {
    **dict.fromkeys(("ServerLive", "ServerReady", "ModelReady", HEALTH_CHECK), "health"),
    **dict.fromkeys(("ServerMetadata", "ModelMetadata"), "metadata"),
    **dict.fromkeys(("ModelInfer", "ModelStreamInfer"), "inference"),
    **dict.fromkeys(
        (f"{kind}SharedMemory{verb}" for kind in ("System", "Cuda") for verb in ("Status", "Register", "Unregister")),
        "shared-memory",
    ),
    "ModelConfig": "model-config",
    **dict.fromkeys(("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"), "model-repository"),
    "ModelStatistics": "statistics",
    "TraceSetting": "trace",
    "LogSettings": "logging",
}
"""The category of each call, as in the reference."""


class RestrictedProtocol:
    """Knows which calls ask for a key.

    Args:
        restrictions: by category. A call carries the value in its metadata, under the key with a prefix before it and in lower
            case, since metadata knows no other.
    """

    def __init__(self, restrictions: Mapping[str, Restriction]) -> None:
        self._restrictions = {
            call: (_PREFIX + restrictions[category].key.lower(), restrictions[category])
            for call, category in CATEGORY.items()
            if category in restrictions
        }

    def check(self, call: str, metadata: Metadata) -> None:
        """Let a call pass that carries the key, or needs none; as in the reference, before anything else is looked at.

        Raises:
            UnavailableError: the key is missing, or has another value.
        """
        restricted = self._restrictions.get(call)
        if restricted is None:
            return
        key, restriction = restricted
        values = [_as_text(value) for name, value in metadata() or () if name == key]
        told = ", ".join(values) if values else None  # several are one list, as `header_fields` has it
        if not restriction.admits(told):
            raise UnavailableError(f"This protocol is restricted, expecting header '{key}'")


def _as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
