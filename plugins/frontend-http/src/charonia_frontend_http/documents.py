"""What the server tells about itself and its models, as JSON documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.lifecycle import IndexEntry
    from charonia.metadata import ModelMetadata, ServerMetadata, TensorMetadata

__all__ = ["EXTENSIONS", "index_document", "model_document", "server_document"]

EXTENSIONS = ("model_repository", "schedule_policy", "model_configuration", "binary_tensor_data", "parameters")
"""The protocol's extensions that are there over HTTP, by the reference's names and in its order."""


def server_document(metadata: ServerMetadata) -> dict[str, Any]:
    """Write the server's metadata."""
    return {"name": metadata.name, "version": metadata.version, "extensions": EXTENSIONS}


def model_document(metadata: ModelMetadata) -> dict[str, Any]:
    """Write a model's metadata."""
    return {
        "name": metadata.name,
        "versions": metadata.versions,
        "platform": metadata.platform,
        "inputs": [_tensor(tensor) for tensor in metadata.inputs],
        "outputs": [_tensor(tensor) for tensor in metadata.outputs],
    }


def _tensor(tensor: TensorMetadata) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}


def index_document(rows: Sequence[IndexEntry]) -> list[dict[str, str]]:
    """Write the repository's index; as in the reference, a row tells only what there is to tell."""
    written = []
    for row in rows:
        entry = {"name": row.name}
        entry |= {
            key: value
            for key, value in (("version", row.version), ("state", row.state), ("reason", row.reason))
            if value
        }
        written.append(entry)
    return written
