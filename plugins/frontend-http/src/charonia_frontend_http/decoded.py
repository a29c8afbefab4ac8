"""An infer request as the frontend needs it: what the model gets, and how its answer is to be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.request import InferenceRequest

__all__ = ["Decoded", "Wanted"]


@dataclass(slots=True, eq=False)
class Wanted:
    """The form in which answers are wanted; requests that say the same share it.

    Attributes:
        binary: whether an output is wanted in binary form, for those that the request lists.
        binary_default: the same for all, where it lists none.
        classes: how many of its greatest elements are wanted instead of an output, for those that are to be classified.
        documents: the JSON of earlier answers, and its header fields, by the names and shapes of the outputs that it told of,
            all of which followed it in binary form: the next such answer has the same. The notes of who writes them.
    """

    binary: Mapping[str, bool]
    binary_default: bool
    classes: Mapping[str, int] = field(default_factory=dict)
    documents: dict[tuple[object, ...], tuple[bytes, Mapping[str, str]]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Decoded:
    """An infer request.

    Attributes:
        request: what the model gets.
        wanted: how its answer is to be written.
    """

    request: InferenceRequest
    wanted: Wanted
