"""The settings of the backend and the parameters of its models. The names are the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.model_parameters import ModelParameters, warn_of_misspelt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.config import ModelConfig

__all__ = [
    "GRAPH_TAG",
    "INIT_OPS_FILE",
    "INTER_THREADS",
    "INTRA_THREADS",
    "PER_SESSION_THREADS",
    "SESSION_SHARE_COUNT",
    "SIGNATURE_DEF",
    "BackendSettings",
    "parameters_of",
]

INTRA_THREADS = "TF_NUM_INTRA_THREADS"
INTER_THREADS = "TF_NUM_INTER_THREADS"
PER_SESSION_THREADS = "TF_USE_PER_SESSION_THREADS"
GRAPH_TAG = "TF_GRAPH_TAG"
SIGNATURE_DEF = "TF_SIGNATURE_DEF"
SESSION_SHARE_COUNT = "MAX_SESSION_SHARE_COUNT"
INIT_OPS_FILE = "TF_INIT_OPS_FILE"

_PARAMETERS = (
    INTRA_THREADS,
    INTER_THREADS,
    PER_SESSION_THREADS,
    GRAPH_TAG,
    SIGNATURE_DEF,
    SESSION_SHARE_COUNT,
    INIT_OPS_FILE,
)
_PARAMETERS_OF_THE_CORE = ("scheduler",)

_SOFT_PLACEMENT = "allow-soft-placement"
_MEMORY_FRACTION = "gpu-memory-fraction"
_MEMORY_GROWTH = "gpu-memory-growth"
_SETTINGS_OF_OTHERS = (
    "default-max-batch-size",  # the core reads it
    "version",  # the reference's choice between TensorFlow 1 and 2, where there is nothing left to choose
)


@dataclass(frozen=True)
class BackendSettings:
    """What `--backend-config=tensorflow,NAME=VALUE` says about all sessions.

    Attributes:
        soft_placement: whether an operator that a device lacks may run on another one.
        gpu_memory_fraction: the part of a GPU's memory that TensorFlow may take, above 0 and at most 1; 0 where nothing is said.
        gpu_memory_growth: whether TensorFlow takes that memory piece by piece, as it needs it, instead of at once.
    """

    soft_placement: bool
    gpu_memory_fraction: float
    gpu_memory_growth: bool

    @staticmethod
    def read(options: Mapping[str, str]) -> BackendSettings:
        """Read the settings.

        Raises:
            InvalidArgumentError: one has a value that is not allowed.
        """
        known = (_SOFT_PLACEMENT, _MEMORY_FRACTION, _MEMORY_GROWTH, *_SETTINGS_OF_OTHERS)
        warn_of_misspelt("setting of the backend tensorflow", options, known)
        settings = ModelParameters("tensorflow", None, options)
        fraction = settings.text(_MEMORY_FRACTION, r"0(\.\d*)?|\.\d+|1(\.0*)?", allowed="a number from 0 to 1")
        return BackendSettings(
            settings.flag(_SOFT_PLACEMENT, default=True),
            float(fraction or 0),
            settings.flag(_MEMORY_GROWTH, default=float(fraction or 0) == 0),
        )


def parameters_of(config: ModelConfig) -> ModelParameters:
    """Give the parameters of a model; a name that is nearly one of ours is told in the log."""
    warn_of_misspelt(f'model "{config.name}": parameter', config.parameters, (*_PARAMETERS, *_PARAMETERS_OF_THE_CORE))
    return ModelParameters("tensorflow", config)
