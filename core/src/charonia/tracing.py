"""Which requests are traced, and what their traces tell: times, and tensors where these are wanted.

A request that is to be traced gets a `Trace` before its model does. Nothing else of it is changed: the times are those that every
request has anyway, and they are written down when it is finished.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from charonia.datatypes import DataType
from charonia.tensor import as_numpy
from charonia.trace_file import TraceFile
from charonia.trace_settings import TraceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.request import InferenceRequest, InferenceResponse
    from charonia.tensor import Tensor
    from charonia.trace_settings import TraceSetting

__all__ = ["Trace", "Tracer"]

TIMESTAMPS = "TIMESTAMPS"
TENSORS = "TENSORS"


class Trace:
    """The trace of one request. Made by a `Tracer`; its methods are called on whichever thread answers the request.

    Args:
        number: its number, from 1 up.
        setting: what is traced.
        parent: the trace of the request on whose behalf this one was made, or None.
        version: the version of the model that answers.
        composed: whether that model has no execution of its own, but is an ensemble.
        file: where it is written.
    """

    __slots__ = ("_composed", "_file", "_parent", "_records", "_version", "number", "setting")

    def __init__(
        self, number: int, setting: TraceSetting, parent: Trace | None, *, version: int, composed: bool, file: TraceFile
    ) -> None:
        self.number = number
        self.setting = setting
        self._parent = parent
        self._version = version
        self._composed = composed
        self._file = file
        self._records: list[dict[str, Any]] = []

    def note(self, response: InferenceResponse) -> None:
        """Write down what a response has."""
        if TENSORS in self.setting.level:
            self._records += self._tensors("TENSOR_BACKEND_OUTPUT", response.outputs)

    def finish(self, request: InferenceRequest, response: InferenceResponse) -> None:
        """Write everything down: the request has its final response."""
        self.note(response)
        now = time.monotonic_ns()
        before: list[dict[str, Any]] = []
        after: list[dict[str, Any]] = []
        if TIMESTAMPS in self.setting.level:
            before = [
                self._head(request),
                *self._times(REQUEST_START=request.arrival_ns, QUEUE_START=request.queued_ns),
            ]
            answered = {"INFER_RESPONSE_COMPLETE": now} if self._parent is None else {}
            after = self._times(**answered, **self._compute_times(request), REQUEST_END=now)
        if TENSORS in self.setting.level:
            before += self._tensors("TENSOR_QUEUE_INPUT", request.inputs)
        self._file.write([*before, *self._records, *after], self.setting.log_frequency, ends=self._parent is None)

    def _head(self, request: InferenceRequest) -> dict[str, Any]:
        head: dict[str, Any] = {"id": self.number, "model_name": request.model_name, "model_version": self._version}
        if request.id:
            head["request_id"] = request.id
        if self._parent is not None:
            head["parent_id"] = self._parent.number
        return head

    def _compute_times(self, request: InferenceRequest) -> dict[str, int]:
        """Tell when the phases of the execution began; nothing where there was none, as for a hit of the response cache."""
        if self._composed or not any(request.compute_ns):
            return {}
        moments = itertools.accumulate(request.compute_ns, initial=request.started_ns)
        names = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")
        return dict(zip(names, moments, strict=True))

    def _times(self, **moments: int) -> list[dict[str, Any]]:
        return [{"id": self.number, "timestamps": [{"name": name, "ns": ns}]} for name, ns in moments.items()]

    def _tensors(self, activity: str, tensors: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        return [
            {"id": self.number, "activity": activity, "tensor": _described(name, tensor)}
            for name, tensor in tensors.items()
        ]


def _described(name: str, tensor: Tensor) -> dict[str, str]:
    array = as_numpy(tensor)
    return {
        "name": name,
        "data": ",".join([_text(element) for element in array.reshape(-1).tolist()]),
        "shape": ",".join(map(str, array.shape)),
        "dtype": DataType.of_dtype(array.dtype).name,
    }


def _text(element: object) -> str:
    if isinstance(element, bytes):
        return element.decode("utf-8", errors="backslashreplace")
    return f"{element:g}" if isinstance(element, float) else str(element)


class _Sampler:
    """Chooses requests: every one whose number `rate` divides, until `count` were chosen."""

    def __init__(self, setting: TraceSetting) -> None:
        self.setting = setting
        self.left = setting.count
        self._lock = threading.Lock()  # guards `left` and `_seen`
        self._seen = 0

    def take(self) -> bool:
        if not self.setting.level or not self.setting.rate:
            return False
        with self._lock:
            self._seen += 1
            if self._seen % self.setting.rate or not self.left:
                return False
            self.left -= self.left > 0
            return True


class Tracer:
    """Traces the requests of a server. Its methods may be called from any thread.

    Args:
        setting: what is to be traced, as long as nobody changes it.

    Attributes:
        on: whether anything is traced at all. While it is not, models do not call `begin`.
    """

    def __init__(self, setting: TraceSetting) -> None:
        self._settings = TraceSettings(setting)
        self._file = TraceFile(setting.file)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # lets changes come one after the other
        self._samplers: dict[str, _Sampler] = {}  # replaced as a whole
        self.on = False
        self._follow_settings()

    def begin(self, request: InferenceRequest, version: int, *, composed: bool) -> None:
        """Have a request traced if it is its turn: of requests that others make, those whose makers are traced.

        Args:
            request: a request that its model has just accepted.
            version: the version of that model.
            composed: whether it is an ensemble.
        """
        if request.parent is not None:
            parent = request.parent.trace
            setting = None if parent is None else parent.setting
        else:
            parent = None
            sampler = self._sampler(request.model_name)
            setting = sampler.setting if sampler.take() else None
        if setting is not None:
            request.trace = Trace(
                next(self._numbers), setting, parent, version=version, composed=composed, file=self._file
            )

    def update(self, changes: Mapping[str, Sequence[str] | None], model: str = "") -> TraceSetting:
        """Change settings as `TraceSettings.update` does, and tell them; of the count what is left of it. Raises the same."""
        with self._lock:
            setting = self._settings.update(changes, model)
            self._follow_settings()
        return replace(setting, count=self._sampler(model).left)

    def _sampler(self, model: str) -> _Sampler:
        return self._samplers.get(model) or self._samplers[""]

    def _follow_settings(self) -> None:
        """Take over changed settings. Where they are what they were, the counts go on."""
        before = self._samplers
        self._samplers = {
            scope: before[scope] if scope in before and before[scope].setting == setting else _Sampler(setting)
            for scope, setting in self._settings.scopes().items()
        }
        self.on = any(sampler.setting.level for sampler in self._samplers.values())

    def close(self) -> None:
        """Write what is left. Idempotent."""
        self._file.close()
