"""The access log: a line for each request that a model accepted, when it is finished, under the logger `charonia.access`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia.request import InferenceRequest, InferenceResponse

__all__ = ["log_access"]

_log = logging.getLogger("charonia.access")
_TEXT = (
    "model=%(model)s version=%(version)d id=%(request_id)s status=%(status)s total_us=%(total_us)d "
    "queue_us=%(queue_us)d compute_us=%(compute_us)d"
)


def log_access(request: InferenceRequest, version: int, response: InferenceResponse, total_ns: int) -> None:
    """Log how a request fared, with its times in microseconds. The record has them as attributes, too.

    Args:
        request: the request.
        version: the version of the model that answered.
        response: the final response.
        total_ns: from its arrival to that response.
    """
    told: dict[str, str | int] = {
        "model": request.model_name,
        "version": version,
        "request_id": request.id,
        "status": "OK" if response.error is None else response.error.code.name,
        "total_us": total_ns // 1000,
        "queue_us": (request.started_ns - request.queued_ns if request.started_ns else total_ns) // 1000,
        "compute_us": sum(request.compute_ns) // 1000,
    }
    text = _TEXT
    if request.trace is not None:
        told["trace_id"] = request.trace.id
        text += " trace_id=%(trace_id)s"
    _log.info(text, told, extra=told)
