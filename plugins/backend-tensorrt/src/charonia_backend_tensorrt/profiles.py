"""An engine's optimisation profiles: which an instance may use, and which of them is the one for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.backend import InstanceContext

    from charonia_backend_tensorrt.tensors import EngineTensor, Span

__all__ = ["best_profile", "instance_profiles", "largest_batch"]


def largest_batch(tensors: Sequence[EngineTensor]) -> int:
    """Tell how large a batch may be, where the first dimension is the batch, in the profile that allows the most."""
    spans = [tensor.spans for tensor in tensors if tensor.spans and tensor.spans[0].most]
    return max((min(span.most[0] for span in profile) for profile in zip(*spans, strict=True)), default=1)


def instance_profiles(context: InstanceContext, count: int) -> list[int]:
    """Read the profiles that an instance's group names; the first one where it names none.

    Args:
        context: the instance.
        count: how many profiles the engine has.

    Raises:
        InvalidArgumentError: the engine has no such profile.
    """
    group_name = context.name.rpartition("_")[0]
    written = next((list(each.profile) for each in context.model.config.instance_group if each.name == group_name), [])
    for text in written:
        if not (text.isascii() and text.isdecimal() and int(text) < count):
            raise InvalidArgumentError(
                f"instance group '{group_name}' of model '{context.model.name}' names the profile '{text}', but the engine has "
                f"{count}: write numbers from 0 to {count - 1}"
            )
    return sorted({int(text) for text in written}) or [0]


def best_profile(
    tensors: Sequence[EngineTensor], shapes: Mapping[str, tuple[int, ...]], profiles: Sequence[int], instance: str
) -> int:
    """Choose, among the profiles that allow these inputs, the one whose best shapes are the nearest.

    Args:
        tensors: the engine's.
        shapes: of the inputs of one execution.
        profiles: those that the instance may use; at least one.
        instance: whose they are, for the error's text.

    Raises:
        InvalidArgumentError: none allows them.
    """
    distances: dict[int, int] = {}
    refusals = []
    for profile in profiles:
        spans = {tensor.name: tensor.spans[profile] for tensor in tensors if tensor.spans}
        refusal = next((told for name, span in spans.items() if (told := _refusal(name, shapes[name], span))), "")
        if refusal:
            refusals.append(refusal)
        else:
            distances[profile] = sum(_distance(shapes[name], span) for name, span in spans.items())
    if not distances:
        which = f"; none of the profiles {', '.join(map(str, profiles))} allows it" if len(profiles) > 1 else ""
        raise InvalidArgumentError(f"{refusals[0]} (instance {instance}{which})")
    return min(distances, key=distances.__getitem__)


def _refusal(name: str, shape: tuple[int, ...], span: Span) -> str:
    """Say why a profile does not allow a shape; "" if it does."""
    start = f"request specifies invalid shape for input '{name}'. Error details: model expected "
    if len(shape) != len(span.least):
        return f"{start}{len(span.least)} dimensions but received {len(shape)}"
    for place, (size, least, most) in enumerate(zip(shape, span.least, span.most, strict=True)):
        if not least <= size <= most:
            return f"{start}the shape of dimension {place} to be between {least} and {most} but received {size}"
    return ""


def _distance(shape: tuple[int, ...], span: Span) -> int:
    return sum(abs(size - best) for size, best in zip(shape, span.best, strict=True))
