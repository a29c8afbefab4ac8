"""The graph that an ensemble's steps make: which step writes a tensor, and which steps read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia_protos.model_config_pb2 import ModelConfig

__all__ = ["EnsembleGraph", "Lack", "composing_models"]


class Lack(NamedTuple):
    """Why a tensor is never there.

    Attributes:
        tensor: the first tensor on the way back to the ensemble's inputs that nothing writes, or that waits for itself.
        reader: the index of the step that reads it, or None where it is an output of the ensemble.
        reason: the sentence for a person.
    """

    tensor: str
    reader: int | None
    reason: str


def composing_models(config: ModelConfig) -> list[tuple[str, int | None]]:
    """Give the model of each of an ensemble's steps: its name, and its version or None for the latest. Other models have none."""
    steps = config.ensemble_scheduling.step
    return [(step.model_name, None if step.model_version == -1 else step.model_version) for step in steps]


class EnsembleGraph:
    """The steps of an ensemble and the tensors between them. It need not be sound.

    Attributes:
        writers: ensemble tensor → the indices of the steps that write it.
        readers: ensemble tensor → the indices of the steps that read it.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._steps = config.ensemble_scheduling.step
        self._given = {tensor.name for tensor in config.input}
        self.writers: Mapping[str, Sequence[int]] = self._by_tensor("output_map")
        self.readers: Mapping[str, Sequence[int]] = self._by_tensor("input_map")

    def _by_tensor(self, part: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, step in enumerate(self._steps):
            for tensor in dict.fromkeys(getattr(step, part).values()):
                found.setdefault(tensor, []).append(index)
        return found

    def told(self, step: int) -> str:
        """Name a step for a person."""
        return f"step {step} (model '{self._steps[step].model_name}')"

    def input_field(self, step: int, tensor: str) -> str:
        """Give the path of the field by which a step reads an ensemble tensor."""
        return self._field(step, "input_map", tensor)

    def output_field(self, step: int, tensor: str) -> str:
        """Give the path of the field by which a step writes an ensemble tensor."""
        return self._field(step, "output_map", tensor)

    def _field(self, step: int, part: str, tensor: str) -> str:
        keys = [key for key, value in getattr(self._steps[step], part).items() if value == tensor]
        return f'ensemble_scheduling.step[{step}].{part}["{keys[0]}"]'

    def lack(self, tensor: str) -> Lack | None:
        """Find out why an ensemble tensor is never there; None if it is written in the end."""
        return self._lack(tensor, None, [], set())

    def _lack(self, tensor: str, reader: int | None, path: list[int], sound: set[int]) -> Lack | None:
        """Walk back from a tensor.

        Args:
            tensor: where to begin.
            reader: the step that reads it.
            path: the steps on the way to here, each a reader of what the next one writes.
            sound: steps that are known to get all they need.
        """
        if tensor in self._given:
            return None
        if tensor not in self.writers:
            who = "it is an output" if reader is None else f"{self.told(reader)} reads it"
            return Lack(tensor, reader, f"{who}, but no step writes it, nor is it an input")
        writer = self.writers[tensor][0]
        if writer in path:
            circle = ", ".join(self.told(step) for step in path[path.index(writer) :])
            return Lack(tensor, reader, f"these wait for each other: {circle}")
        if writer in sound:
            return None
        for source in self._steps[writer].input_map.values():
            lack = self._lack(source, writer, [*path, writer], sound)
            if lack is not None:
                return lack
        sound.add(writer)
        return None
