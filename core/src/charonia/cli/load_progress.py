"""How the loads of all models get on, for the live table and the summary."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from charonia.cli.console import make_table
from charonia.load_teller import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from charonia.load_teller import LoadEvent

__all__ = ["LoadProgress", "ModelProgress", "told_bytes"]

_ENDED = {Phase.READY, Phase.FAILED}
_BAR_CELLS = 20


@dataclass
class ModelProgress:
    """How the load of one model gets on.

    Attributes:
        name: the model's name.
        phase: what it is busy with.
        version: which version that is about, or None.
        versions: all that were begun.
        begun: when, by the monotonic clock.
        seconds: how long it took, when it has ended.
        reason, errors: why it failed.
        brought: how many bytes of its files are here, and how many there are, while they are brought.
    """

    name: str
    phase: Phase
    begun: float
    version: int | None = None
    versions: set[int] = field(default_factory=set)
    seconds: float = 0.0
    reason: str = ""
    errors: Sequence[BaseException] = ()
    brought: tuple[int, int] = (0, 0)

    @property
    def told_phase(self) -> str:
        """What it is busy with, for people: with a bar where files are brought."""
        return f"{self.phase.value} {_bar(*self.brought)}" if self.phase is Phase.BRINGING else self.phase.value

    @property
    def ended(self) -> bool:
        """Whether the load is over, one way or the other."""
        return self.phase in _ENDED

    @property
    def told_versions(self) -> str:
        """The versions, for people."""
        if not self.ended and self.version is not None:
            return str(self.version)
        return ", ".join(map(str, sorted(self.versions))) or "-"


class LoadProgress:
    """Keeps the latest step of every model. `note` is called on loader threads, the rest on the main thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards `_models` and what it holds
        self._models: dict[str, ModelProgress] = {}

    def note(self, event: LoadEvent) -> None:
        """Take note of a step."""
        with self._lock:
            model = self._models.get(event.model)
            if model is None:
                model = ModelProgress(event.model, event.phase, time.monotonic() - event.seconds)
                self._models[event.model] = model
            model.phase, model.version, model.seconds = event.phase, event.version, event.seconds
            model.reason, model.errors, model.brought = event.reason, event.errors, event.brought
            if event.version is not None:
                model.versions.add(event.version)

    def models(self, *phases: Phase) -> list[ModelProgress]:
        """List the models in these phases, sorted by name. The loads are over when this is called."""
        with self._lock:
            return [model for _, model in sorted(self._models.items()) if model.phase in phases]

    def table(self, height: int) -> Table:
        """Draw the models: all, or if they are more than `height` rows those that are busy, and how many are not."""
        now = time.monotonic()
        with self._lock:
            models = sorted(self._models.values(), key=lambda model: model.name)
            busy = [model for model in models if not model.ended]
            shown = models if len(models) <= height else busy[:height]
            rows = [(model.name, model.told_versions, model.told_phase, _seconds(model, now)) for model in shown]
        table = make_table(("Model", "Version", "Phase", "Seconds"), rows)
        if len(shown) < len(models):
            table.caption = f"{len(models) - len(busy)} models done, {len(busy)} busy"
        return table


def _seconds(model: ModelProgress, now: float) -> str:
    return f"{model.seconds if model.ended else now - model.begun:.1f}"


def _bar(done: int, total: int) -> str:
    cells = _BAR_CELLS * done // max(total, 1)
    return f"{'█' * cells}{'░' * (_BAR_CELLS - cells)} {told_bytes(done, total)}"


def told_bytes(done: int, total: int) -> str:
    """Tell how much of something there is, in megabytes."""
    return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
