"""The access log: a line for each request that has come to a model, when it is finished, under the logger `charonia.access`.

It is written by a thread of its own, some lines at a time.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING, NamedTuple

from charonia.gathering import Gathering
from charonia.log_line import in_one_line

if TYPE_CHECKING:
    from charonia.request import InferenceRequest, InferenceResponse

__all__ = ["MORE", "AccessLog"]

MORE = "more"
"""The attribute of a record, true where others follow at once: a handler may flush them together."""

_log = logging.getLogger("charonia.access")
_TEXT = (
    "model=%(model)s version=%(version)d id=%(request_id)s status=%(status)s total_us=%(total_us)d "
    "queue_us=%(queue_us)d compute_us=%(compute_us)d"
)


class _Finished(NamedTuple):
    """A request that is finished. Times are in nanoseconds, and `at` in seconds since 1970."""

    at: float
    model: str
    version: int
    request_id: str
    status: str
    total_ns: int
    queue_ns: int
    compute_ns: int
    trace_id: str | None


class AccessLog:
    """Logs how requests fared, with their times in microseconds, a tenth of a second later at most.

    The records have all that they tell as attributes, too.
    """

    def __init__(self) -> None:
        self._finished: Gathering[_Finished] = Gathering("charonia-access-log", _write)

    def note(
        self, request: InferenceRequest, version: int, response: InferenceResponse, total_ns: int, *, composed: bool
    ) -> None:
        """Have a request logged. Any thread.

        Args:
            request: the request.
            version: the version of the model that answered.
            response: the final response.
            total_ns: from its arrival to that response.
            composed: whether the model has no execution of its own, but is an ensemble.
        """
        if _log.isEnabledFor(logging.INFO):
            self._finished.put(
                _Finished(
                    time.time(),
                    request.model_name,
                    version,
                    request.id,
                    "OK" if response.error is None else response.error.code.name,
                    total_ns,
                    request.started_ns - request.queued_ns if request.started_ns else total_ns,
                    sum(request.compute_ns) if composed else _computed_ns(request, total_ns),
                    None if request.trace is None else request.trace.id,
                )
            )

    def close(self) -> None:
        """Write what is left. Idempotent."""
        self._finished.close()


def _computed_ns(request: InferenceRequest, total_ns: int) -> int:
    """Tell how long an execution has taken, also where it has not returned: decoupled ones have given all responses before."""
    known = sum(request.compute_ns)
    if known or request.started_ns in {0, request.queued_ns}:  # or nothing was executed
        return known
    return request.arrival_ns + total_ns - request.started_ns


def _write(group: list[_Finished]) -> None:
    for left, finished in zip(range(len(group) - 1, -1, -1), group, strict=True):
        try:
            _log.handle(_record(finished, more=left > 0))
        except Exception:  # noqa: BLE001 - a filter or handler of whoever reads the log: it must not cost the lines behind
            traceback.print_exc()


def _record(finished: _Finished, *, more: bool) -> logging.LogRecord:
    told: dict[str, str | int] = {
        "model": finished.model,
        "version": finished.version,
        "request_id": finished.request_id,
        "status": finished.status,
        "total_us": finished.total_ns // 1000,
        "queue_us": finished.queue_ns // 1000,
        "compute_us": finished.compute_ns // 1000,
    }
    text = _TEXT
    if finished.trace_id is not None:
        told["trace_id"] = finished.trace_id
        text += " trace_id=%(trace_id)s"
    written = {**told, "request_id": in_one_line(finished.request_id)}
    record = _log.makeRecord(_log.name, logging.INFO, __file__, 0, text, (written,), None, extra={**told, MORE: more})
    record.created, record.msecs = finished.at, finished.at % 1 * 1000
    return record
