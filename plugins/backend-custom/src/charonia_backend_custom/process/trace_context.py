"""The trace of what a model's process executes, for spans that the model's own code makes with OpenTelemetry."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

__all__ = ["current_trace"]


def current_trace(context: str) -> AbstractContextManager[None]:
    """Have the span of a trace's context be the current one, for the time of the block.

    A process whose model does not use OpenTelemetry does not import it for that.
    """
    return _attached(context) if "opentelemetry.trace" in sys.modules else nullcontext()


@contextmanager
def _attached(context: str) -> Iterator[None]:
    from opentelemetry.context import attach, detach
    from opentelemetry.propagate import extract

    token = attach(extract(json.loads(context)))
    try:
        yield
    finally:
        detach(token)
