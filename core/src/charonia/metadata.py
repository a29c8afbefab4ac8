"""What a server tells about itself and its models, in the protocol's terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia.signature import TensorSpec
    from charonia.statistics import StatisticsSnapshot

__all__ = ["ModelMetadata", "ServerMetadata", "TensorMetadata", "VersionStatistics"]


@dataclass(frozen=True)
class ServerMetadata:
    """The server's name and version."""

    name: str
    version: str


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


@dataclass(frozen=True)
class VersionStatistics:
    """The counters of one model version."""

    name: str
    version: str
    counters: StatisticsSnapshot
