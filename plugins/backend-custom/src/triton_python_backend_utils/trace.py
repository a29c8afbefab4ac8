"""The trace to which a request belongs."""

from __future__ import annotations

__all__ = ["InferenceTrace"]


class InferenceTrace:
    """What `InferenceRequest.trace()` gives, to be handed to calls: `InferenceRequest(…, trace=request.trace())`.

    Args:
        context: the trace's context, as the header fields of OpenTelemetry in JSON; None where nobody traces.
    """

    __slots__ = ("_context",)

    def __init__(self, context: str | None = None) -> None:
        self._context = context

    def get_context(self) -> str | None:
        """Give the trace's context, for spans of the model's own. None where nobody traces."""
        return self._context
