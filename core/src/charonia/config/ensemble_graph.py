"""The graph that an ensemble's steps make: which step writes a tensor, and which steps read it."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from charonia_protos.model_config_pb2 import ModelConfig

__all__ = ["EnsembleGraph", "Lack", "composing_models", "mapped", "steps_in_order"]


class Lack(NamedTuple):
    """Why a tensor is never there.

    Attributes:
        tensor: the first tensor on the way back to the ensemble's inputs that nothing writes, or that waits for itself.
        reader: the index of the step that reads it, or None where it is an output of the ensemble.
        reason: the sentence for a person.
        circle: the steps that wait for each other; none where nothing writes the tensor.
    """

    tensor: str
    reader: int | None
    reason: str
    circle: frozenset[int] = frozenset()


def composing_models(config: ModelConfig) -> list[tuple[str, int | None]]:
    """Give the model of each of an ensemble's steps: its name, and its version or None for the latest. Other models have none."""
    steps = config.ensemble_scheduling.step
    return [(step.model_name, None if step.model_version == -1 else step.model_version) for step in steps]


class EnsembleGraph:
    """The steps of an ensemble and the tensors between them. It need not be sound, and may be of any depth.

    Attributes:
        writers: ensemble tensor → the indices of the steps that write it.
        readers: ensemble tensor → the indices of the steps that read it.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._steps = config.ensemble_scheduling.step
        self._given = {tensor.name for tensor in config.input}
        self._sound: set[int | None] = set()  # steps that are known to get all they need
        self.writers: Mapping[str, Sequence[int]] = self._by_tensor("output_map")
        self.readers: Mapping[str, Sequence[int]] = self._by_tensor("input_map")

    def _by_tensor(self, part: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, step in enumerate(self._steps):
            for tensor in dict.fromkeys(mapped(getattr(step, part))):
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
        keys = [key for key, value in sorted(getattr(self._steps[step], part).items()) if value == tensor]
        return f'ensemble_scheduling.step[{step}].{part}["{keys[0]}"]'

    def lack(self, tensor: str) -> Lack | None:
        """Find out why an ensemble tensor is never there; None if it is written in the end."""
        way: dict[int | None, Iterator[str]] = {
            None: iter([tensor])
        }  # from each reader on the way back: what is left of it
        while way:
            reader, sources = next(reversed(way.items()))
            source = next(sources, None)
            if source is None:
                self._sound.add(reader)
                del way[reader]
            elif source not in self._given:
                if source not in self.writers:
                    return self._unwritten(source, reader)
                writer = self.writers[source][0]
                if writer in way:
                    return self._circle(source, reader, way, writer)
                if writer not in self._sound:
                    way[writer] = iter(mapped(self._steps[writer].input_map))
        return None

    def lacks(self) -> Iterator[Lack]:
        """Find all tensors that steps read and nothing writes, and all circles of steps, a step being in one of them."""
        unwritten = [tensor for tensor in self.readers if tensor not in self._given and tensor not in self.writers]
        for tensor in unwritten:
            yield self._unwritten(tensor, self.readers[tensor][0])
        left = set(range(len(self._steps))).difference(self._in_order(self._given.union(unwritten)))
        seen: set[int] = set()
        for start in sorted(left):
            way: dict[int, str] = {}  # from each reader on the way back: the tensor by which it waits
            step = start
            while step not in seen:
                seen.add(step)
                read = mapped(self._steps[step].input_map)
                way[step] = next(it for it in read if it in self.writers and self.writers[it][0] in left)
                step = self.writers[way[step]][0]
            if step in way:
                last = next(reversed(way))
                yield self._circle(way[last], last, way, step)

    def _unwritten(self, tensor: str, reader: int | None) -> Lack:
        who = "it is an output" if reader is None else f"{self.told(reader)} reads it"
        return Lack(tensor, reader, f"{who}, but no step writes it, nor is it an input")

    def _circle(self, tensor: str, reader: int | None, way: Iterable[int | None], first: int) -> Lack:
        """Describe the circle that a way from readers back to writers ends in, by the tensor that closes it."""
        steps = [step for step in itertools.dropwhile(lambda it: it != first, way) if step is not None]
        told = ", ".join(map(self.told, steps))
        return Lack(tensor, reader, f"these wait for each other: {told}", frozenset(steps))

    def in_order(self) -> Iterator[int]:
        """Give the steps so that each comes after those that write what it reads. Steps that wait for each other do not come."""
        return self._in_order(self._given)

    def _in_order(self, there: Iterable[str]) -> Iterator[int]:
        return steps_in_order(
            [mapped(step.input_map) for step in self._steps],
            [mapped(step.output_map) for step in self._steps],
            there,
        )

    def origins(self, decoupled: Sequence[bool | None]) -> Mapping[str, int | None]:
        """Tell for each tensor which decoupled step's responses decide how often it comes; None where it comes once.

        Tensors of which that is not known, or that never come, are not among them. Where the ways to a tensor lead to several
        such steps, it is the one of the first input that has one.

        Args:
            decoupled: for each step, whether its model is; None where that is not known.
        """
        found: dict[str, int | None] = dict.fromkeys(self._given)
        for index in self.in_order():
            step = self._steps[index]
            read = mapped(step.input_map)
            if decoupled[index]:
                origin: int | None = index
            elif decoupled[index] is None or not found.keys() >= set(read):
                continue
            else:
                origin = next((found[tensor] for tensor in read if found[tensor] is not None), None)
            for tensor in mapped(step.output_map):
                found.setdefault(tensor, origin)
        return found


def mapped(tensors: Mapping[str, str]) -> list[str]:
    """Give the ensemble tensors of a step's map, in the order of the model's names: that of the map changes from run to run."""
    return [tensor for _, tensor in sorted(tensors.items())]


def steps_in_order(
    needs: Sequence[Iterable[str]], gives: Sequence[Iterable[str]], there: Iterable[str]
) -> Iterator[int]:
    """Give steps, by their indices, in an order in which each comes when all that it needs is there; others do not come.

    Args:
        needs: for each step, the tensors that it needs.
        gives: for each step, the tensors that it gives.
        there: the tensors that are there from the beginning.
    """
    known = set(there)
    missing = [set(tensors) - known for tensors in needs]
    readers: dict[str, list[int]] = {}
    for step, tensors in enumerate(missing):
        for tensor in tensors:
            readers.setdefault(tensor, []).append(step)
    ready = deque(step for step, tensors in enumerate(missing) if not tensors)
    while ready:
        step = ready.popleft()
        yield step
        for tensor in gives[step]:
            for reader in readers.pop(tensor, ()):
                missing[reader].discard(tensor)
                if not missing[reader]:
                    ready.append(reader)
