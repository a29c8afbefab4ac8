"""Which requests are traced.

A request that is to be traced gets a `Trace` before its model does. Nothing else of it is changed: the times are those that every
request has anyway, and they are written down when it is finished.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from charonia.trace import Trace
from charonia.trace_settings import TraceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.request import InferenceRequest
    from charonia.trace_settings import TraceSetting
    from charonia.trace_writer import TraceWriter

__all__ = ["Tracer"]


class _Sampler:
    """Chooses requests: every one whose number `rate` divides, until `count` were chosen.

    Args:
        setting: says so.
        on: whether anything is traced.
    """

    def __init__(self, setting: TraceSetting, *, on: bool) -> None:
        self.setting = setting
        self.on = on
        self.left = setting.count
        self._lock = threading.Lock()  # guards `left` and `_seen`
        self._seen = 0

    def take(self) -> bool:
        """Count a request, and tell whether it is chosen."""
        if not self.on or not self.setting.rate:
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
        writer: where traces go; closed with this one. Its settings hold as long as nobody changes them.

    Attributes:
        on: whether anything is traced at all. While it is not, models do not call `begin`, and frontends make no `Passage`.
    """

    def __init__(self, writer: TraceWriter) -> None:
        self._settings = TraceSettings(writer.setting)
        self._writer = writer
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # lets changes come one after the other
        self._samplers: dict[str, _Sampler] = {}  # replaced as a whole
        self.on = False
        self._follow_settings()

    def begin(self, request: InferenceRequest, version: int, *, composed: bool) -> None:
        """Have a request traced if it is its turn, or if its client traces it.

        Of requests that others make, those are traced whose makers are.

        Args:
            request: a request that its model has just accepted.
            version: the version of that model.
            composed: whether it is an ensemble.
        """
        if request.parent is not None:
            parent = request.parent.trace
            if parent is not None:
                self._trace(request, parent.setting, parent, version=version, composed=composed)
            return
        sampler = self._sampler(request.model_name)
        passage = request.passage
        origin = None if passage is None or not sampler.on else self._writer.origin(passage)
        if origin is not None or sampler.take():
            self._trace(request, sampler.setting, None, origin, version=version, composed=composed)

    def _trace(
        self,
        request: InferenceRequest,
        setting: TraceSetting,
        parent: Trace | None,
        origin: object | None = None,
        *,
        version: int,
        composed: bool,
    ) -> None:
        trace = Trace(
            next(self._numbers), setting, parent, request, version=version, composed=composed, writer=self._writer
        )
        self._writer.begin(trace, origin)
        if request.passage is not None:
            trace.enter_frontend()
        request.trace = trace

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
            scope: before[scope] if scope in before and before[scope].setting == setting else self._made(setting)
            for scope, setting in self._settings.scopes().items()
        }
        self.on = any(sampler.on for sampler in self._samplers.values())

    def _made(self, setting: TraceSetting) -> _Sampler:
        return _Sampler(setting, on=any(level in self._writer.levels for level in setting.level))

    def close(self) -> None:
        """Write what is left. Idempotent."""
        self._writer.close()
