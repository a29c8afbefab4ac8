"""The shapes that a plan is to be made for, as people write them: `x=1x3:4x3:8x3 y=2x2`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError

from charonia_backend_tensorrt.tensors import Span

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["batch_profile", "parse_profile"]

_SIZES = r"(?:\d+(?:x\d+)*)?"
_SPAN = re.compile(rf"(?P<name>[^=\s]+)=(?P<spans>{_SIZES}(?::{_SIZES}:{_SIZES})?)")


def parse_profile(text: str) -> dict[str, Span]:
    """Read a profile: for each input, by name, the least, best and greatest shape, or one that is all three.

    Of a shape tensor, the numbers are its values.

    Raises:
        InvalidArgumentError: it cannot be read, or the sizes contradict each other.
    """
    profile: dict[str, Span] = {}
    for word in text.split():
        found = _SPAN.fullmatch(word)
        if found is None:
            raise InvalidArgumentError(
                f"'{word}' in the profile '{text}' cannot be read: expected NAME=LEAST:BEST:GREATEST, such as x=1x3:4x3:8x3"
            )
        shapes = [tuple(map(int, filter(None, shape.split("x")))) for shape in found["spans"].split(":")]
        least, best, most = shapes if len(shapes) > 1 else shapes * 3
        if not (len(least) == len(best) == len(most)) or any(
            not low <= middle <= high for low, middle, high in zip(least, best, most, strict=False)
        ):
            raise InvalidArgumentError(
                f"'{word}' in the profile '{text}' contradicts itself: each size must grow from the least shape to the greatest"
            )
        profile[found["name"]] = Span(least, best, most)
    return profile


def batch_profile(shapes: Mapping[str, tuple[int, ...]], max_batch_size: int) -> dict[str, Span]:
    """Make the profile of a model of which nothing varies but the batch, the first dimension.

    Args:
        shapes: of those inputs that vary, by name; -1 for what varies.
        max_batch_size: the greatest batch, for which the plan is made best.

    Raises:
        InvalidArgumentError: something else varies.
    """
    open_ended = [f"{name} {list(shape)}" for name, shape in shapes.items() if -1 in shape[1:]]
    if open_ended:
        raise InvalidArgumentError(
            f"more than the first dimension varies of {', '.join(open_ended)}: say with --profile for which shapes to make the "
            "plan, such as --profile 'NAME=1x3x128:4x3x128:8x3x512'"
        )
    return {
        name: Span((1, *shape[1:]), (max_batch_size, *shape[1:]), (max_batch_size, *shape[1:]))
        for name, shape in shapes.items()
    }
