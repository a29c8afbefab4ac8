"""What a program takes and gives, as far as its file tells."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.graph import Graph, GraphTensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.datatypes import DataType

__all__ = ["Interface", "Kind", "Place"]


class Kind(enum.Enum):
    """What may stand in a place."""

    TENSOR = "a tensor"
    STRINGS = "a list of strings"
    NUMBER = "a number"
    ANY = "anything"


@dataclass(frozen=True)
class Place:
    """A place for one argument or result of a program.

    Attributes:
        name: what the program calls it; "" for a result without a name.
        kind: what may stand there.
        required: whether an argument must be given.
        datatype: where the file tells it.
        shape: with variable dimensions as -1, where the file tells it.
        path: the reference's other name, which says where in the call the place is: `ARGS[0]`, `RESULT[scores]`.
    """

    name: str
    kind: Kind = Kind.TENSOR
    required: bool = True
    datatype: DataType | None = None
    shape: tuple[int, ...] | None = None
    path: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it goes by."""
        return tuple(name for name in (self.name, self.path) if name)


@dataclass(frozen=True)
class Interface:
    """What a program takes and gives.

    Attributes:
        arguments: in the order of the call; None where it takes any number of them.
        results: in their order; None where only a run tells.
        dictionary: whether the one argument is a dictionary, whose keys are the names of the inputs.
        most_batched: the greatest batch that it takes; None where nothing is known.
    """

    arguments: Sequence[Place] | None
    results: Sequence[Place] | None = None
    dictionary: bool = False
    most_batched: int | None = None

    def graph(self) -> Graph | None:
        """Give the inputs and outputs as a graph, or None where the file does not tell all of their datatypes."""
        inputs, outputs = _tensors(self.arguments, "INPUT"), _tensors(self.results, "OUTPUT")
        return None if inputs is None or outputs is None else Graph(inputs, outputs)


def _tensors(places: Sequence[Place] | None, word: str) -> list[GraphTensor] | None:
    if places is None:
        return None
    tensors = [
        GraphTensor(place.name or f"{word}__{index}", place.datatype, place.shape, optional=not place.required)
        for index, place in enumerate(places)
        if place.datatype is not None
    ]
    return tensors if len(tensors) == len(places) else None
