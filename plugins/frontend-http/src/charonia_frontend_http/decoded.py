"""An infer request as the frontend needs it: what the model gets, and how its answer is to be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.request import InferenceRequest

__all__ = ["Decoded"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """An infer request.

    Attributes:
        request: what the model gets.
        binary: whether an output is wanted in binary form, for those that the request lists.
        binary_default: the same for all, where it lists none.
        classes: how many of its greatest elements are wanted instead of an output, for those that are to be classified.
    """

    request: InferenceRequest
    binary: Mapping[str, bool]
    binary_default: bool
    classes: Mapping[str, int] = field(default_factory=dict)
