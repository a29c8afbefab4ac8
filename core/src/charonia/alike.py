"""What requests have in common that ask the same of other tensors, so that it is read and checked once."""

from __future__ import annotations

__all__ = ["Alike"]

_SAID = (
    "model_version",
    "id",
    "requested_outputs",
    "parameters",
    "priority",
    "timeout_us",
    "correlation_id",
    "flags",
)


class Alike:
    """What is the same for requests that differ in their inputs' elements alone.

    Args:
        request: one of them.
        usual: a request that asks for nothing special.

    Attributes:
        said: what they say that is not usual, by the names of their attributes.
        fits: the signature that they are known to fit, or None.
        batch_size: their batch size, as that signature has it.
    """

    __slots__ = ("batch_size", "fits", "said")

    def __init__(self, request: object, usual: object) -> None:
        said = [(name, getattr(request, name)) for name in _SAID]
        self.said = tuple([(name, value) for name, value in said if value != getattr(usual, name)])
        self.fits: object = None
        self.batch_size = 1
