"""What the server tells about itself and its models, as JSON documents."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.metadata import ModelMetadata, ServerMetadata, TensorMetadata, VersionStatistics
    from charonia.model_states import IndexEntry
    from charonia.statistics import BatchStatistics, Duration, StatisticsSnapshot

__all__ = ["index_document", "model_document", "server_document", "statistics_document"]


def server_document(metadata: ServerMetadata) -> dict[str, Any]:
    """Write the server's metadata."""
    return {"name": metadata.name, "version": metadata.version, "extensions": metadata.extensions}


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


def index_document(rows: Sequence[IndexEntry]) -> list[dict[str, str | int]]:
    """Write the repository's index; as in the reference, a row tells only what there is to tell. `host_byte_size` is our own."""
    return [{key: value for key, value in asdict(row).items() if value} for row in rows]


def statistics_document(rows: Sequence[VersionStatistics]) -> dict[str, Any]:
    """Write the counters of models; as in the reference, every key is there, counted or not.

    One key more, `batch_reasons`, is there once a batch was executed.
    """
    return {"model_stats": [_version_statistics(row.name, row.version, row.counters) for row in rows]}


def _version_statistics(name: str, version: str, counters: StatisticsSnapshot) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "last_inference": counters.last_inference_ms,
        "inference_count": counters.inference_count,
        "execution_count": counters.execution_count,
        "inference_stats": {
            "success": _duration(counters.success),
            "fail": _duration(counters.fail),
            "queue": _duration(counters.queue),
            **_phases(counters),
            "cache_hit": _duration(counters.cache_hit),
            "cache_miss": _duration(counters.cache_miss),
        },
        "response_stats": {},  # no backend here reports single responses
        "batch_stats": [{"batch_size": size, **_phases(batch)} for size, batch in counters.batches.items()],
        **({"batch_reasons": counters.batch_reasons} if counters.batch_reasons else {}),
        "memory_usage": _memory(counters),
    }


def _memory(counters: StatisticsSnapshot) -> list[dict[str, Any]]:
    return [{"type": "CPU", "id": 0, "byte_size": counters.host_byte_size}] if counters.host_byte_size else []


def _phases(counted: StatisticsSnapshot | BatchStatistics) -> dict[str, Any]:
    return {
        "compute_input": _duration(counted.compute_input),
        "compute_infer": _duration(counted.compute_infer),
        "compute_output": _duration(counted.compute_output),
    }


def _duration(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}
