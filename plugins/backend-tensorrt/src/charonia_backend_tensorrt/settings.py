"""The settings of the backend and the parameters of its models. The names are the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.model_parameters import ModelParameters, warn_of_misspelt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.config import ModelConfig

__all__ = ["BackendSettings", "allocation_strategy"]

_PLUGINS = "plugins"
_VERSION_COMPATIBLE = "version-compatible"
_SETTINGS_OF_OTHERS = ("default-max-batch-size",)

_STRATEGY = "execution_context_allocation_strategy"
_PARAMETERS_OF_THE_CORE = ("scheduler",)


@dataclass(frozen=True)
class BackendSettings:
    """What `--backend-config=tensorrt,NAME=VALUE` says about all models.

    Attributes:
        plugins: shared libraries of plugins, which plans may use.
        version_compatible: whether plans may bring, and run, the code of the version that made them.
    """

    plugins: tuple[str, ...] = ()
    version_compatible: bool = False

    @staticmethod
    def read(options: Mapping[str, str]) -> BackendSettings:
        """Read the settings.

        Raises:
            InvalidArgumentError: one has a value that is not allowed.
        """
        warn_of_misspelt(
            "setting of the backend tensorrt", options, (_PLUGINS, _VERSION_COMPATIBLE, *_SETTINGS_OF_OTHERS)
        )
        settings = ModelParameters("tensorrt", None, options)
        return BackendSettings(
            tuple(path for path in settings.text(_PLUGINS).split(";") if path), settings.flag(_VERSION_COMPATIBLE)
        )


def allocation_strategy(config: ModelConfig) -> str:
    """Read when an execution's own memory is taken: STATIC, once, or ON_PROFILE_CHANGE, as much as the profile needs.

    Raises:
        InvalidArgumentError: it is neither.
    """
    warn_of_misspelt(f'model "{config.name}": parameter', config.parameters, (_STRATEGY, *_PARAMETERS_OF_THE_CORE))
    words = {name.lower(): name for name in ("STATIC", "ON_PROFILE_CHANGE")}
    return ModelParameters("tensorrt", config).choice(_STRATEGY, words, "STATIC", allowed="STATIC or ON_PROFILE_CHANGE")
