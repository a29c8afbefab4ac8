"""What the parameters of a request say, whichever protocol they came in.

Each frontend reads them in its own form; what they mean is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia.request import InferenceRequest, Parameter

__all__ = ["ToldParameters"]


@dataclass(slots=True)
class ToldParameters:
    """The parameters that every protocol knows.

    Attributes:
        priority: 1 is highest; 0 asks for the model's default level.
        timeout_us: how long the request may wait in a queue, in microseconds; 0 means not said.
        sequence_id: the sequence to which the request belongs; 0 or "" for none.
        flags: 1 where the request starts its sequence, 2 where it ends it, 3 for both.
        custom: the rest, which goes on to the model.
    """

    priority: int = 0
    timeout_us: int = 0
    sequence_id: int | str = 0
    flags: int = 0
    custom: dict[str, Parameter] = field(default_factory=dict)

    def apply(self, request: InferenceRequest) -> None:
        """Write them into the request."""
        request.priority = self.priority
        request.timeout_us = self.timeout_us
        request.correlation_id = self.sequence_id
        request.flags = self.flags
        request.parameters = self.custom
