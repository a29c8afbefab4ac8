"""One instance's processes, one after the other: the next one is started when one has ended by itself."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING

import triton_python_backend_utils as pb_utils
from charonia.errors import InferenceError, UnavailableError

from charonia_backend_custom.process.model_process import NotBegunError
from charonia_backend_custom.process.parts import Parts, all_answers
from charonia_backend_custom.process.restart_pauses import RestartPauses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from charonia.clock import Clock
    from charonia.request import InferenceRequest

    from charonia_backend_custom.execution import Span, TakeAnswers
    from charonia_backend_custom.process.model_process import ModelProcess
    from charonia_backend_custom.process.suspects import Suspects
    from charonia_backend_custom.running import Running
    from charonia_backend_custom.served import ServedRequest

__all__ = ["Crew", "SupervisedProcess"]

_log = logging.getLogger("charonia.backend_custom.process.supervised")


class Crew:
    """What the instances of a model version have in common.

    Args:
        clock: tells when a pause is over.
        suspects: requests that ended processes.
        restarted: called whenever a process was started again.

    Attributes:
        changed: notified when a process has started or ended, or a pause begins. Guards `up`, and the instances' states.
        up: how many processes are up.
    """

    def __init__(self, clock: Clock, suspects: Suspects, restarted: Callable[[], None]) -> None:
        self.clock = clock
        self.suspects = suspects
        self.restarted = restarted
        self.changed = threading.Condition()
        self.up = 0


class SupervisedProcess:
    """Calls into a model's code, in whichever process there is; it has the methods of `ModelObject`. `close` ends it.

    Args:
        instance: the instance's name.
        start: starts a process; given what is to be called with the requests that it may have begun when it ends by itself.
        crew: what the instances share.

    Raises:
        InferenceError: the first process cannot be started.
    """

    def __init__(
        self,
        instance: str,
        start: Callable[[Callable[[Sequence[InferenceRequest]], None]], ModelProcess],
        crew: Crew,
    ) -> None:
        self._instance = instance
        self._start = start
        self._crew = crew
        self._pauses = RestartPauses()
        self._restarter: threading.Thread | None = None
        self._closed = False
        self._pausing = ""
        self._since_ns = crew.clock.now_ns()
        self._kept: list[tuple[Callable[[ModelProcess], None], TakeAnswers]] = []
        self._process: ModelProcess | None = None
        process = start(self._ended)
        self.is_async = process.is_async
        if not self._put_up(process):
            process.close()
            raise UnavailableError(f"the process of model instance '{instance}' has ended as soon as it was ready")

    @property
    def pid(self) -> int | None:
        """The number of the process that is up, if one is."""
        process = self._process
        return None if process is None else process.pid

    # -- executing

    def answers_later(self, requests: Sequence[ServedRequest], task: Running, take: TakeAnswers) -> None:
        """Have requests executed, and do not wait; as `ModelObject.answers_later`.

        Those with which a process has not begun when it ends are executed by the next one, unless that one has to wait.
        """
        process = self._process
        if process is None:
            self._keep(partial(self._pass_on, requests=requests, task=task, take=take), take)
        else:
            self._pass_on(process, requests, task, take)

    def _pass_on(
        self, process: ModelProcess, requests: Sequence[ServedRequest], task: Running, take: TakeAnswers
    ) -> None:
        if not self._crew.suspects:
            process.answers_later(requests, task, partial(self._receive, process, requests, requests, task, take))
            return
        innocent = self._innocent(requests)
        if not innocent:
            take(None, None)
            return
        parts = self._parts(innocent)
        if len(parts) == 1:
            process.answers_later(innocent, task, partial(self._receive, process, requests, innocent, task, take))
            return
        together = Parts(requests, len(parts), take)
        for part in parts:
            process.answers_later(
                part, task, partial(self._receive, process, part, part, task, partial(together.take, part))
            )

    def _parts(self, requests: Sequence[ServedRequest]) -> list[Sequence[ServedRequest]]:
        """Have each request executed alone that was there when a process ended, so that it shows which one it was."""
        suspects = self._crew.suspects
        suspected = [request for request in requests if suspects.suspected(request.core)]
        if not suspected:
            return [requests]
        for request in suspected:
            request.core.watch_final(partial(self._judge, request.core))
        rest = [request for request in requests if request not in suspected]
        return [rest, *([each] for each in suspected)] if rest else [[each] for each in suspected]

    def _judge(self, request: InferenceRequest) -> None:
        if not request.failed:
            self._crew.suspects.acquit(request)

    def _receive(
        self,
        process: ModelProcess,
        requests: Sequence[ServedRequest],
        innocent: Sequence[ServedRequest],
        task: Running,
        take: TakeAnswers,
        answers: list[pb_utils.InferenceResponse | None] | None,
        failure: InferenceError | None,
        span: Span | None = None,
    ) -> None:
        if isinstance(failure, NotBegunError):
            self._keep(partial(self._pass_on, requests=requests, task=task, take=take), take, process)
        else:
            take(all_answers(requests, innocent, answers), failure, span)

    def _keep(
        self, pass_on: Callable[[ModelProcess], None], take: TakeAnswers, ended: ModelProcess | None = None
    ) -> None:
        """Keep a batch for the next process; unless there is one already, or none is waited for.

        Args:
            pass_on: has the batch executed by a process.
            take: gets its answers, or the refusal.
            ended: a process that did not begin with it.
        """
        with self._crew.changed:
            process, refusal = self._process, self._refusal()
            if process in (None, ended) and not refusal:
                self._kept.append((pass_on, take))
                return
        if process is None or refusal:
            take(None, UnavailableError(refusal))
        else:
            pass_on(process)

    def _refuse_kept(self) -> None:
        """Refuse what is kept, if no process is waited for."""
        with self._crew.changed:
            refusal = self._refusal()
            if not refusal:
                return
            kept, self._kept = self._kept, []
        for _, take in kept:
            take(None, UnavailableError(refusal))

    def begin(
        self, requests: Sequence[ServedRequest], task: Running, end: Callable[[InferenceError | None], None]
    ) -> None:
        """Have requests executed that are answered by senders only; as `ModelObject.begin`."""
        left = self._innocent(requests)
        self._parts(left)  # all of them go together: how each one ends is seen nevertheless
        try:
            process = self._up() if left else None
        except UnavailableError as error:
            end(error)
            return
        if process is None:
            end(None)
        else:
            process.begin(left, task, end)

    def is_ready(self) -> bool:
        """Ask the model whether it is ready, if a process is up; another one may be. As `ModelObject.is_ready`."""
        process = self._process
        return process is None or process.is_ready()

    def _innocent(self, requests: Sequence[ServedRequest]) -> Sequence[ServedRequest]:
        """Refuse those that have ended a process twice, and give the others."""
        if not self._crew.suspects:
            return requests
        guilty = [request for request in requests if self._crew.suspects.guilty(request.core)]
        for request in guilty:
            refusal = pb_utils.TritonError(
                f"this request has twice ended the process of an instance of model '{request.core.model_name}', and is not "
                "executed again: find out why by the server's log, and mend the model",
                pb_utils.TritonError.INVALID_ARG,
            )
            request.get_response_sender().send(
                pb_utils.InferenceResponse(error=refusal), pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
            )
        return [request for request in requests if request not in guilty] if guilty else requests

    def _up(self) -> ModelProcess:
        """Give the process that is up. Wait where one is just being started; or, as long as others serve, in a pause, too."""
        crew = self._crew
        with crew.changed:
            while True:
                refusal = self._refusal()
                if refusal:
                    raise UnavailableError(refusal)
                if self._process is not None:
                    return self._process
                crew.clock.wait(crew.changed)

    def _refusal(self) -> str:
        """Tell why nothing is executed, and nothing waits for a process; "" if it is or does. The caller holds `changed`."""
        if self._closed:
            return f"model instance '{self._instance}' is being unloaded"
        return "" if self._crew.up else self._pausing

    # -- ending and starting again

    def _put_up(self, process: ModelProcess) -> bool:
        """Let a process serve, at first what was kept for it. False if it has ended already."""
        while not process.gone:
            with self._crew.changed:
                kept, self._kept = self._kept, []
                if not kept:
                    return self._serve(process)
            for pass_on, _ in kept:
                pass_on(process)
        return False

    def _serve(self, process: ModelProcess) -> bool:
        """Let a process serve what comes now. False if it has ended already. The caller holds `changed`."""
        if process.gone:
            return False
        self._process = process
        self._since_ns = self._crew.clock.now_ns()
        self._crew.up += 1
        self._crew.changed.notify_all()
        return True

    def _ended(self, requests: Sequence[InferenceRequest]) -> None:
        """A process has ended by itself. On the thread that reads from it."""
        self._crew.suspects.note(requests)
        with self._crew.changed:
            process, self._process = self._process, None
            if process is None:
                return  # it did not serve yet, and whoever wants to put it up sees that it has gone
            self._crew.up -= 1
            if self._closed:
                return
            self._restarter = threading.Thread(
                target=self._restart, args=(process,), name=f"charonia-restart-{self._instance}", daemon=True
            )
            self._restarter.start()

    def _restart(self, ended: ModelProcess) -> None:
        ended.close()
        crew = self._crew
        lived = (crew.clock.now_ns() - self._since_ns) / 1e9
        while self._paused(self._pauses.after(lived)):
            try:
                process = self._start(self._ended)
            except InferenceError as error:
                _log.error("the process of model instance '%s' cannot be started again: %s", self._instance, error)
                lived = 0.0
                continue
            if self._put_up(process):
                crew.restarted()
                return
            process.close()
            lived = 0.0
        self._refuse_kept()

    def _paused(self, seconds: float) -> bool:
        """Let a pause pass, and tell whether a process is still wanted after it."""
        crew = self._crew
        until = crew.clock.now_ns() + int(seconds * 1e9)
        with crew.changed:
            if seconds:
                self._pausing = (
                    f"the process of model instance '{self._instance}' has ended again and again: the next one is started in "
                    f"{seconds:g} s at the latest"
                )
                crew.changed.notify_all()
        self._refuse_kept()
        with crew.changed:
            while not self._closed and crew.clock.now_ns() < until:
                crew.clock.wait(crew.changed, until)
            self._pausing = ""
            return not self._closed

    def close(self) -> None:
        """Have the model finalise itself, end its process, and start none again. Idempotent."""
        with self._crew.changed:
            self._closed = True
            self._crew.changed.notify_all()
        if self._restarter is not None:
            self._restarter.join()
        with self._crew.changed:
            process, self._process = self._process, None
            self._crew.up -= process is not None
        if process is not None:
            process.close()
