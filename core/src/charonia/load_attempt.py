"""What a load has made so far, which serves as a whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia.instances import Lineup
    from charonia.model import Model

__all__ = ["LoadAttempt"]


class LoadAttempt:
    """The versions of a model that are to serve: those that were loaded for it, and those that serve already.

    Attributes:
        models: all of them.
    """

    def __init__(self) -> None:
        self.models: dict[int, Model] = {}
        self._loaded: list[Model] = []
        self._prepared: list[tuple[Model, Lineup]] = []

    def add(self, version: int, model: Model) -> None:
        """Take a model that was loaded for this."""
        self.models[version] = model
        self._loaded.append(model)

    def keep(self, version: int, model: Model, lineup: Lineup | None = None) -> None:
        """Take a model that serves already: as it is, or with other instances, which it uses only once all is well."""
        self.models[version] = model
        if lineup is not None:
            self._prepared.append((model, lineup))

    def settle(self) -> None:
        """Have the models that serve already use their new instances."""
        for model, lineup in self._prepared:
            model.use(lineup)

    def discard(self) -> None:
        """Close all that was made for this. Models that serve already go on as they are."""
        for model in self._loaded:
            model.close()  # waits for its threads only: nobody could send it a request
        for _, lineup in self._prepared:
            lineup.discard()
