"""What the server tells about itself and its models, as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_protos import grpc_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charonia.metadata import ModelMetadata, ServerMetadata, TensorMetadata, VersionStatistics
    from charonia.model_states import IndexEntry
    from charonia.statistics import Duration, StatisticsSnapshot

__all__ = ["index_message", "model_message", "server_message", "statistics_message"]


def server_message(metadata: ServerMetadata) -> pb.ServerMetadataResponse:
    """Write the server's metadata."""
    return pb.ServerMetadataResponse(name=metadata.name, version=metadata.version, extensions=metadata.extensions)


def model_message(metadata: ModelMetadata) -> pb.ModelMetadataResponse:
    """Write a model's metadata."""
    return pb.ModelMetadataResponse(
        name=metadata.name,
        versions=metadata.versions,
        platform=metadata.platform,
        inputs=map(_tensor, metadata.inputs),
        outputs=map(_tensor, metadata.outputs),
    )


def _tensor(tensor: TensorMetadata) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)


def index_message(rows: Iterable[IndexEntry]) -> pb.RepositoryIndexResponse:
    """Write the repository's index."""
    entry = pb.RepositoryIndexResponse.ModelIndex
    return pb.RepositoryIndexResponse(
        models=[entry(name=row.name, version=row.version, state=row.state, reason=row.reason) for row in rows]
    )


def statistics_message(rows: Iterable[VersionStatistics]) -> pb.ModelStatisticsResponse:
    """Write the counters of models; as in the reference, every duration is there, counted or not."""
    return pb.ModelStatisticsResponse(
        model_stats=[_model_statistics(row.name, row.version, row.counters) for row in rows]
    )


def _model_statistics(name: str, version: str, counters: StatisticsSnapshot) -> pb.ModelStatistics:
    return pb.ModelStatistics(
        name=name,
        version=version,
        last_inference=counters.last_inference_ms,
        inference_count=counters.inference_count,
        execution_count=counters.execution_count,
        inference_stats=pb.InferStatistics(
            success=_duration(counters.success),
            fail=_duration(counters.fail),
            queue=_duration(counters.queue),
            compute_input=_duration(counters.compute_input),
            compute_infer=_duration(counters.compute_infer),
            compute_output=_duration(counters.compute_output),
            cache_hit=_duration(counters.cache_hit),
            cache_miss=_duration(counters.cache_miss),
        ),
        batch_stats=[
            pb.InferBatchStatistics(
                batch_size=size,
                compute_input=_duration(batch.compute_input),
                compute_infer=_duration(batch.compute_infer),
                compute_output=_duration(batch.compute_output),
            )
            for size, batch in counters.batches.items()
        ],
        memory_usage=_memory(counters),
    )


def _memory(counters: StatisticsSnapshot) -> list[pb.MemoryUsage]:
    return [pb.MemoryUsage(type="CPU", byte_size=counters.host_byte_size)] if counters.host_byte_size else []


def _duration(duration: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=duration.count, ns=duration.ns)
