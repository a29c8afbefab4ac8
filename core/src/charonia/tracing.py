"""Which requests are traced.

That is decided at the server's doors, where requests come in: one that is to be traced gets a `Trace`, and so do the requests
that it causes. Nothing else is changed: the times are those that every request has anyway, and they are written down when it is
finished.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from charonia.trace import Trace
from charonia.trace_settings import TraceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from charonia.metric_families import MetricFamily
    from charonia.request import InferenceRequest
    from charonia.trace_settings import TraceSetting
    from charonia.trace_writer import TraceWriter

__all__ = ["Tracer"]

_ENDED: Iterator[bool] = iter(())
_NEVER: Iterator[bool] = itertools.repeat(object=False)


class _Sampler:
    """Chooses requests: every one whose number its rate divides, until its count were chosen.

    Args:
        setting: says so.
        on: whether anything is traced.

    Attributes:
        setting, on: see above.
        left: how many more are chosen; -1 is any number.
        between: how many are not chosen between two that are.
        turns: gives False for each request before the one that is chosen next, and then nothing more.
    """

    def __init__(self, setting: TraceSetting, *, on: bool) -> None:
        self.setting = setting
        self.on = on
        self.left = setting.count
        self.between = setting.rate - 1
        self.turns = itertools.repeat(object=False, times=self.between) if on and setting.rate and self.left else _NEVER


class Tracer:
    """Traces the requests of a server. Its methods may be called from any thread.

    One request of a hundred may be traced, and the others are to pay next to nothing for it. So whoever lets requests in asks an
    iterator first, which takes those that are not traced no call in Python:

        if next(tracer.turns, True):
            trace = tracer.begin(model)

    Args:
        writer: where traces go; closed with this one. Its settings hold as long as nobody changes them.

    Attributes:
        on: whether anything is traced at all.
        turns: gives False for a request that is not traced, unless its client does so. It has come to its end where `begin`
            has to be asked: when it may be a request's turn, and always while models have settings of their own.
        origin_field: the header field of a client's request that tells of a trace to which it belongs already; "" if none does.
    """

    def __init__(self, writer: TraceWriter) -> None:
        self._settings = TraceSettings(writer.setting)
        self._writer = writer
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # lets changes come one after the other, those of samplers included
        self._samplers: dict[str, _Sampler] = {}  # by model, and by "" for the others; replaced as a whole
        self._everywhere = self._made(writer.setting)
        self.origin_field = writer.origin_field
        self.on = False
        self.turns = self._everywhere.turns
        self._follow_settings()

    def begin(
        self,
        model: str,
        receiving: str = "",
        sending: str = "",
        field: Callable[[str], str | None] | None = None,
        began_ns: int = 0,
    ) -> Trace | None:
        """Begin the trace of a client's request if it is its turn, or if its client traces it; give None otherwise.

        Args:
            model: the model that is asked.
            receiving: see `Trace`.
            sending: see `Trace`.
            field: gives a header field of the request, by its name in lower case; None where it has no `origin_field`.
            began_ns: see `Trace`.
        """
        sampler = self._samplers.get(model) or self._everywhere
        if not sampler.on:
            return None
        origin = None if field is None else self._writer.origin(field)
        if origin is None:
            if not next(sampler.turns, True):
                return None
            with self._lock:
                if not next(sampler.turns, True):
                    return None  # another thread has been quicker
                sampler.left -= sampler.left > 0
                sampler.turns = turns = (
                    itertools.repeat(object=False, times=sampler.between) if sampler.left else _NEVER
                )
                if sampler is self._everywhere and self.turns is not _ENDED:
                    self.turns = turns
            if not receiving:
                origin = self._writer.caller()
        return Trace(next(self._numbers), sampler.setting, self._writer, None, origin, receiving, sending, began_ns)

    def begin_below(self, request: InferenceRequest) -> None:
        """Have a request traced that a model makes on behalf of another one, if that is; on the thread on which it is made."""
        parent = None if request.parent is None else request.parent.trace
        if parent is not None:
            trace = Trace(next(self._numbers), parent.setting, self._writer, parent)
            trace.carry(request)
            self._writer.begin_below(trace)

    def update(self, changes: Mapping[str, Sequence[str] | None], model: str = "") -> TraceSetting:
        """Change settings as `TraceSettings.update` does, and tell them; of the count what is left of it. Raises the same."""
        with self._lock:
            setting = self._settings.update(changes, model)
            self._follow_settings()
        return replace(setting, count=(self._samplers.get(model) or self._everywhere).left)

    def _follow_settings(self) -> None:
        """Take over changed settings. Where they are what they were, the counts go on."""
        before = self._samplers
        self._samplers = {
            scope: before[scope] if scope in before and before[scope].setting == setting else self._made(setting)
            for scope, setting in self._settings.scopes().items()
        }
        self._everywhere = self._samplers[""]
        self.on = any(sampler.on for sampler in self._samplers.values())
        own = self.on and len(self._samplers) > 1
        self.turns = _ENDED if own else self._everywhere.turns

    def _made(self, setting: TraceSetting) -> _Sampler:
        return _Sampler(setting, on=any(level in self._writer.levels for level in setting.level))

    def metrics(self) -> Sequence[MetricFamily]:
        """Give the metrics that the writer tells."""
        return self._writer.metrics()

    def close(self) -> None:
        """Write what is left. Idempotent."""
        self._writer.close()
