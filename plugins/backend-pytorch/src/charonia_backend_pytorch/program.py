"""A program: what a model's file becomes on a device, whichever kind of file it is."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia_backend_pytorch.interface import Interface

__all__ = ["Program", "State"]


class State(enum.Enum):
    """Whether a program remembers something from one run to the next."""

    NONE = enum.auto()
    KEPT = enum.auto()
    UNKNOWN = enum.auto()


class Program(ABC):
    """What can be called. Several threads may call it at once, as long as it keeps no state.

    Attributes:
        interface: what it takes and gives.
        device: where its inputs must be.
        state: whether it remembers something; then what it gives may be its own memory.
        writes_inputs: whether it may write to the tensors that it is given.
        predictable: whether, on the CPU, its time depends on the size of what it is given alone.
    """

    interface: Interface
    device: Any
    state: State = State.NONE
    writes_inputs: bool = False
    predictable: bool = False

    @abstractmethod
    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Run it.

        Args:
            arguments: by the names of the interface's places, in their order; by the inputs' own where it has none.

        Returns:
            A tensor, a list of strings, a number, or a tuple, list or dictionary of these.

        Raises:
            Exception: whatever PyTorch, or the model's author, raises.
        """

    def close(self) -> None:
        """Let go of what it holds."""
