"""What a server tells about itself and its models, in the protocol's terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from charonia.model import Model
    from charonia.signature import TensorSpec
    from charonia.statistics import StatisticsSnapshot

__all__ = ["EXTENSIONS", "ModelMetadata", "ServerMetadata", "TensorMetadata", "VersionStatistics"]


EXTENSIONS = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)
"""The protocol's extensions that there can be, by the reference's names and in its order."""


@dataclass(frozen=True)
class ServerMetadata:
    """The server's name and version, and the protocol's extensions that are there, in the reference's order."""

    name: str
    version: str
    extensions: tuple[str, ...] = EXTENSIONS

    @staticmethod
    def of(name: str, version: str, schedulers: Collection[str]) -> ServerMetadata:
        """Tell of a server with these schedulers: sequences are only there with theirs."""
        missing = set() if "sequence_batching" in schedulers else {"sequence"}
        return ServerMetadata(name, version, tuple(word for word in EXTENSIONS if word not in missing))


@dataclass(frozen=True)
class TensorMetadata:
    """An input or output as the protocol shows it: `datatype` is the wire name; -1 in `shape` is any size."""

    name: str
    datatype: str
    shape: list[int]

    @staticmethod
    def of(spec: TensorSpec) -> TensorMetadata:
        """Show a tensor of a model's signature."""
        return TensorMetadata(spec.name, spec.datatype.name, list(spec.shape))


@dataclass(frozen=True)
class ModelMetadata:
    """What the protocol shows of a model. `versions` are the ready ones, ascending."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]

    @staticmethod
    def of(model: Model, versions: Iterable[int]) -> ModelMetadata:
        """Show a model with the versions of it that are ready."""
        return ModelMetadata(
            model.name,
            [str(version) for version in versions],
            model.config.platform or model.config.backend,
            [TensorMetadata.of(spec) for spec in model.signature.inputs.values()],
            [TensorMetadata.of(spec) for spec in model.signature.outputs.values()],
        )


@dataclass(frozen=True)
class VersionStatistics:
    """What is counted of one model version.

    Attributes:
        name: the model's name.
        version: the version.
        counters: the counters, which begin at 0 whenever it is loaded.
        running: the same, but going on where a load replaces another one, until the version is unloaded; with what that one still
            has to do.
        load_seconds: how long the last load took.
        namespace: the model's repository, where that tells models apart; else "".
    """

    name: str
    version: str
    counters: StatisticsSnapshot
    running: StatisticsSnapshot
    load_seconds: float
    namespace: str = ""

    @staticmethod
    def of(model: Model, namespace: str = "") -> VersionStatistics:
        """Take them of a model, as they are now."""
        now = model.snapshot()
        running = model.statistics.running(now)
        return VersionStatistics(model.name, str(model.version), now, running, model.load_seconds, namespace)
