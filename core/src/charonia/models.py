"""What a model, or its scheduler, may ask of the other models of its server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from charonia.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest

__all__ = ["AllModels", "Models", "NoModels"]


class Models(Protocol):
    """The models of a server, as a part of one of them sees them.

    Whoever calls a model from within another one makes the request by `InferenceRequest.child`, so that cancellation is handed
    on, and so that the server lets it pass while it finishes what it has accepted.
    """

    def submit(self, request: InferenceRequest) -> None:
        """Pass a request to its model. Does not block; the request's sink gets the responses.

        Raises:
            NotFoundError: there is no such model or version.
            InvalidArgumentError: the request does not fit the model.
            UnavailableError: the model or the server does not take requests now.
        """

    def submit_direct(self, request: InferenceRequest) -> bool:
        """Execute a request in the calling thread, if an instance is free. False if not: then `submit` it. Raises the same."""

    def submit_prompt(self, request: InferenceRequest) -> bool:
        """Do as `submit_direct` if the model is so quick that passing the request to another thread would take longer."""

    def model_config(self, name: str, version: int | None = None) -> ModelConfig:
        """Give a serving model's configuration, complete and normalised; read only. None is the greatest version.

        Raises:
            NotFoundError: there is no such model or version.
            UnavailableError: the version is loading or unloading.
        """

    def labels(self, name: str, version: int | None = None) -> Mapping[str, Sequence[bytes]]:
        """Give the labels of a serving model's outputs, by output. Raises what `model_config` raises."""

    def can_serve(self, name: str, version: int | None = None) -> bool:
        """Tell whether a model, or one version of it, takes requests now. False, too, if there is none."""

    def model_ready(self, name: str, version: int | None = None) -> bool:
        """Tell whether a model, or one version of it, is ready, by its own word, too. It may take some seconds.

        Raises:
            NotFoundError: nobody ever asked to load such a model.
        """

    def key_of(self, name: str) -> str:
        """Give what the server knows a model by: its name alone does not do where models are told apart by their repositories.

        Names that mean one model have one key, whoever says them. It need not exist.
        """

    def require_explicit_control(self) -> None:
        """Refuse the wish of somebody else than the operator to load or unload, unless the control mode lets them have it.

        Raises:
            UnavailableError: the control mode is another one.
        """

    def load(self, name: str, *, config: str | None = None, files: Mapping[str, bytes] | None = None) -> None:
        """Load a model, or load it anew, and wait for it. Raises InferenceError: it cannot be loaded."""

    def unload(self, name: str, *, unload_dependents: bool = False) -> None:
        """Take a model out of service. Requests that it accepted still finish. No error if it is not loaded."""


class AllModels(Models, Protocol):
    """The models of a server, as the server itself sees them: `charonia.Server` is this.

    With a namespace, a name is that of the model in it, if there is one.
    """

    def model_config(self, name: str, version: int | None = None, namespace: str = "") -> ModelConfig:
        """Give a serving model's configuration."""

    def labels(self, name: str, version: int | None = None, namespace: str = "") -> Mapping[str, Sequence[bytes]]:
        """Give the labels of a serving model's outputs."""

    def can_serve(self, name: str, version: int | None = None, namespace: str = "") -> bool:
        """Tell whether a model takes requests now."""

    def model_ready(self, name: str, version: int | None = None, namespace: str = "") -> bool:
        """Tell whether a model is ready, by its own word, too."""

    def key_of(self, name: str, namespace: str = "") -> str:
        """Give what the server knows a model by."""

    def within(self, namespace: str, homes: Mapping[str, str]) -> Models:
        """Show them as the models of a namespace see them.

        Args:
            namespace: where a name is looked for first; "" where models are told apart by their names alone.
            homes: the namespaces of those that are looked for elsewhere, by name.
        """


class NoModels:
    """The other models where there is no server around: none."""

    def submit(self, request: InferenceRequest) -> None:
        """Refuse a request."""
        raise NotFoundError(
            f"Request for unknown model: '{request.model_name}' is not found: there is no server around"
        )

    def submit_direct(self, request: InferenceRequest) -> bool:
        """Refuse a request."""
        self.submit(request)
        return False

    def submit_prompt(self, request: InferenceRequest) -> bool:
        """Refuse a request."""
        return self.submit_direct(request)

    def model_config(self, name: str, version: int | None = None, namespace: str = "") -> ModelConfig:
        """Say that there is no such model."""
        del version, namespace
        raise NotFoundError(f"Request for unknown model: '{name}' is not found: there is no server around")

    def labels(self, name: str, version: int | None = None, namespace: str = "") -> Mapping[str, Sequence[bytes]]:
        """Say that there is no such model."""
        self.model_config(name, version, namespace)
        return {}

    def can_serve(self, name: str, version: int | None = None, namespace: str = "") -> bool:
        """Say that there is no such model."""
        del name, version, namespace
        return False

    def model_ready(self, name: str, version: int | None = None, namespace: str = "") -> bool:
        """Say that there is no such model."""
        self.model_config(name, version, namespace)
        return False

    def key_of(self, name: str, namespace: str = "") -> str:
        """Give the name."""
        del namespace
        return name

    def require_explicit_control(self) -> None:
        """Refuse nobody."""

    def load(self, name: str, *, config: str | None = None, files: Mapping[str, bytes] | None = None) -> None:
        """Refuse to load."""
        del config, files
        raise NotFoundError(f"failed to load '{name}': there is no server around")

    def unload(self, name: str, *, unload_dependents: bool = False) -> None:
        """Do nothing: it is not loaded."""

    def within(self, namespace: str, homes: Mapping[str, str]) -> NoModels:
        """Give none."""
        del namespace, homes
        return self
