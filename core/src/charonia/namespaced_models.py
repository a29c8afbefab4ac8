"""The models of a server as those of one namespace see them: a name is that of their own repository first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.config import ModelConfig
    from charonia.models import AllModels
    from charonia.request import InferenceRequest

__all__ = ["NamespacedModels"]


class NamespacedModels:
    """A `charonia.models.Models` for the models of a namespace. Loads and unloads go by the name alone, as those of clients.

    Args:
        models: all models of the server.
        namespace: where a model is looked for first.
        homes: the namespaces of the models that are looked for elsewhere, by name.
    """

    def __init__(self, models: AllModels, namespace: str, homes: Mapping[str, str]) -> None:
        self._models = models
        self._namespace = namespace
        self._homes = homes

    def _home(self, name: str) -> str:
        return self._homes.get(name, self._namespace)

    def submit(self, request: InferenceRequest) -> None:
        """Pass a request to its model."""
        request.model_namespace = self._home(request.model_name)
        self._models.submit(request)

    def submit_direct(self, request: InferenceRequest) -> bool:
        """Execute a request in the calling thread, if an instance is free."""
        request.model_namespace = self._home(request.model_name)
        return self._models.submit_direct(request)

    def submit_prompt(self, request: InferenceRequest) -> bool:
        """Execute a request in the calling thread, if the model is quick."""
        request.model_namespace = self._home(request.model_name)
        return self._models.submit_prompt(request)

    def model_config(self, name: str, version: int | None = None) -> ModelConfig:
        """Give a serving model's configuration."""
        return self._models.model_config(name, version, self._home(name))

    def labels(self, name: str, version: int | None = None) -> Mapping[str, Sequence[bytes]]:
        """Give the labels of a serving model's outputs."""
        return self._models.labels(name, version, self._home(name))

    def can_serve(self, name: str, version: int | None = None) -> bool:
        """Tell whether a model takes requests now."""
        return self._models.can_serve(name, version, self._home(name))

    def model_ready(self, name: str, version: int | None = None) -> bool:
        """Tell whether a model is ready, by its own word, too."""
        return self._models.model_ready(name, version, self._home(name))

    def key_of(self, name: str) -> str:
        """Give what the server knows a model by."""
        return self._models.key_of(name, self._home(name))

    def require_explicit_control(self) -> None:
        """Refuse a load or unload unless the control mode lets clients have it."""
        self._models.require_explicit_control()

    def load(self, name: str, *, config: str | None = None, files: Mapping[str, bytes] | None = None) -> None:
        """Load the models of a name."""
        self._models.load(name, config=config, files=files)

    def unload(self, name: str, *, unload_dependents: bool = False) -> None:
        """Take the models of a name out of service."""
        self._models.unload(name, unload_dependents=unload_dependents)
