"""The trace of what a model's process executes, for spans that the model's own code makes with OpenTelemetry."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from triton_python_backend_utils import InferenceRequest

__all__ = ["current_trace"]


def current_trace(requests: Sequence[InferenceRequest]) -> AbstractContextManager[None]:
    """Have the span of the first request that is traced be the current one, for the time of the block.

    A process whose model does not use OpenTelemetry does not import it for that.
    """
    contexts = (request.trace().get_context() for request in requests)
    context = next((context for context in contexts if context is not None), None)
    return nullcontext() if context is None or "opentelemetry.trace" not in sys.modules else _attached(context)


@contextmanager
def _attached(context: str) -> Iterator[None]:
    from opentelemetry.context import attach, detach
    from opentelemetry.propagate import extract

    token = attach(extract(json.loads(context)))
    try:
        yield
    finally:
        detach(token)
