"""The process of a model's instance, from the server's side: what it is asked, what it says, and its end."""

from __future__ import annotations

import itertools
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import triton_python_backend_utils as pb_utils
from charonia.errors import InferenceError, InternalError, UnavailableError
from charonia.mailbox import Wakeups

from charonia_backend_custom.process.launch import RunningProcess
from charonia_backend_custom.process.link import Link, LinkEndedError
from charonia_backend_custom.process.log_lines import log_line
from charonia_backend_custom.process.messages import (
    KEY,
    Call,
    CallAnswer,
    CancelCall,
    Complete,
    Execute,
    Finish,
    HostWish,
    IsCancelled,
    IsReady,
    LogLine,
    Make,
    Open,
    Send,
    WaitForCall,
)
from charonia_backend_custom.process.open_call import OpenCall
from charonia_backend_custom.process.open_requests import OpenRequests
from charonia_backend_custom.process.wishes import Wishes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from charonia.backend import ModelContext
    from charonia.request import InferenceRequest

    from charonia_backend_custom.execution import TakeAnswers
    from charonia_backend_custom.host import ServerHost
    from charonia_backend_custom.process.launch import Interpreter
    from charonia_backend_custom.process.messages import ResponseData
    from charonia_backend_custom.running import Running
    from charonia_backend_custom.served import ServedRequest

__all__ = ["ModelProcess", "NotBegunError"]

_FINISH_SECONDS = 30.0
"""So long a model may take to finalise itself, as in the reference."""

_CLOSED_SECONDS = 5.0
"""So long a process may live on when it has closed the line."""


class _InProgress(NamedTuple):
    task: Running
    requests: Sequence[ServedRequest]


class NotBegunError(UnavailableError):
    """The process has ended before the model began with these requests: another one can execute them."""


class ModelProcess:
    """One process. It starts to run, and its model's file is imported, by the constructor; `close` ends it.

    Args:
        context: the model.
        host: what the server does for the model.
        interpreter: what runs.
        instance: the instance's name.
        ended: called when the process ends unasked, with the requests that it may have begun, before these get their errors.

    Raises:
        InferenceError: the model's file cannot be imported, or the process not be started.

    Attributes:
        is_async: whether `execute` is a coroutine; known after `make`.
        gone: whether the process has ended.
    """

    def __init__(
        self,
        context: ModelContext,
        host: ServerHost,
        interpreter: Interpreter,
        instance: str,
        ended: Callable[[Sequence[InferenceRequest]], object] = len,  # does nothing
    ) -> None:
        self.is_async = False
        self.gone = False
        self._decoupled = context.config.model_transaction_policy.decoupled
        self._instance = instance
        self._host = host
        self._ended = ended
        self._logger = logging.getLogger(f"charonia.model.{context.name}")
        self._log_level = self._logger.getEffectiveLevel
        self._numbers = itertools.count(1)
        self._requests = OpenRequests()
        self._running: dict[int, _InProgress] = {}
        self._calls: dict[int, OpenCall] = {}
        self._closing = False
        self._started = False
        try:
            self._process = RunningProcess(interpreter)
        except OSError as error:
            raise InternalError(
                f"the process of model instance '{instance}' cannot be started: {interpreter.python}: {error.strerror}"
            ) from error
        self._link = Link(*self._process.channels, self._process.last_words, serves=True)
        self._wishes = Wishes(host, self._link, context.name, instance, self)
        self._reader = threading.Thread(target=self._read, name=f"charonia-process-{instance}", daemon=True)
        self._reader.start()
        place = str(context.version_directory.absolute())
        self._set_up(Open(context.name, context.version, place, str(context.model_path), self._log_level()))

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def make(self, arguments: dict[str, str]) -> None:
        """Have the model's object made and initialised. The process is closed where that fails."""
        self.is_async = self._set_up(Make(arguments, self._decoupled))
        self._started = True

    def complete(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """Have `auto_complete_config` fill a configuration in, given in its JSON form. None if the model has no such method."""
        completed: dict[str, Any] | None = self._set_up(Complete(config))
        return completed

    def _set_up(self, question: Any) -> Any:
        try:
            return self._link.ask(question)
        except LinkEndedError as error:
            self._abandon()
            raise InternalError(
                f"the process of model instance '{self._instance}' {self._process.how_it_ended()} while its model was loaded"
            ) from error
        except BaseException:
            self._abandon()
            raise

    # -- executing

    def answers_later(self, requests: Sequence[ServedRequest], task: Running, take: TakeAnswers) -> None:
        """Have requests executed, and do not wait; as `ModelObject.answers_later`. Those that were asked for first come first.

        The failure is a `NotBegunError` where the process has ended before.
        """
        question = self._enter(requests, task)
        self._link.ask_later(question, partial(self._receive, question, take))

    def _receive(
        self,
        question: Execute,
        take: TakeAnswers,
        told: tuple[list[ResponseData | None] | None, int, int] | None,
        error: Exception | None,
    ) -> None:
        begun = self._leave(question, None if told is None else told[0])
        if error is None and told is not None:
            responses, begun_ns, ended_ns = told
            take(self._unpacked(responses), None, (begun_ns, ended_ns))
        elif isinstance(error, LinkEndedError) and not begun:
            take(None, NotBegunError(str(self._failure(error))))
        else:
            take(None, self._failure(error or LinkEndedError()))

    def begin(
        self, requests: Sequence[ServedRequest], task: Running, end: Callable[[InferenceError | None], None]
    ) -> None:
        """Have requests executed that are answered by senders only; as `ModelObject.begin`."""
        question = self._enter(requests, task)

        def receive(given_back: Sequence[int] | None, error: Exception | None) -> None:
            self._running.pop(question.batch, None)
            self._requests.rest(given_back or ())
            end(None if error is None else self._failure(error))

        if self.is_async:
            self._link.ask_later(question, receive)
            return
        try:
            given_back = self._link.ask(question)
        except (InferenceError, LinkEndedError) as error:
            receive(None, error)
        else:
            receive(given_back, None)

    def is_ready(self) -> bool:
        """Ask the model whether it is ready; as `ModelObject.is_ready`. False, too, if the process ends meanwhile."""
        try:
            return bool(self._link.ask_aside(IsReady()))
        except LinkEndedError:
            return False

    def _enter(self, requests: Sequence[ServedRequest], task: Running) -> Execute:
        batch = next(self._numbers)
        self._running[batch] = _InProgress(task, requests)
        pack, enter = self._link.asking.carrier.pack_served, self._requests.enter
        return Execute(batch, tuple([pack(request, enter(request)) for request in requests]), self._log_level())

    def _task(self, batch: int | None) -> Running | None:
        """Give the execution to which a batch belongs, where that is known and still in progress."""
        found = None if batch is None else self._running.get(batch)
        return None if found is None else found.task

    def _leave(self, question: Execute, responses: Sequence[ResponseData | None] | None) -> bool:
        """Forget a batch, and tell whether the process may have begun with it."""
        keys = [data[KEY] for data in question.requests]
        if responses is not None and None in responses:
            self._requests.rest(key for key, response in zip(keys, responses, strict=True) if response is None)
        self._requests.leave(keys)
        return self._running.pop(question.batch, None) is not None

    def _unpacked(self, told: list[ResponseData | None] | None) -> list[pb_utils.InferenceResponse | None] | None:
        unpack = self._link.asking.carrier.unpack_answer
        return None if told is None else [None if answer is None else unpack(answer) for answer in told]

    def _failure(self, error: Exception) -> InferenceError:
        if isinstance(error, InferenceError):
            return error
        return UnavailableError(
            f"the process of model instance '{self._instance}' {self._process.how_it_ended()} while it had this request; it is "
            "started again"
        )

    # -- what the process says, on the thread that reads

    def _read(self) -> None:
        """Read until the process has gone. Event loops are woken when all that has come so far is passed on.

        Not so where a model is decoupled, whose responses may have to wait until earlier ones are read.
        """
        self._wakeups = Wakeups()
        self._wakeups.held = not self._decoupled
        self._link.read(self)

    def on_pause(self) -> None:
        """Wake whoever has got something."""
        self._wakeups.send()

    def on_told(self, message: Any) -> None:
        """Take what the process tells."""
        if isinstance(message, Send):
            self._send(message)
        elif isinstance(message, Call):
            self._call(message)
        elif isinstance(message, CancelCall) and message.number in self._calls:
            self._calls[message.number].cancel()
        elif isinstance(message, WaitForCall) and message.number in self._calls:
            self._calls[message.number].wait(begins=message.begins)
        elif isinstance(message, HostWish):
            self._wishes.grant(message)
        elif isinstance(message, LogLine):
            log_line(message, self._task(message.batch))

    def on_question(self, number: int, question: Any) -> None:
        """Answer what the process asks."""
        if isinstance(question, IsCancelled):
            request = self._requests.get(question.key)
            self._link.answer(number, request is not None and request.is_cancelled())
        else:
            self._wishes.answer(number, question)

    def _send(self, message: Send) -> None:
        request = self._requests.get(message.key)
        if request is None:
            return  # it has ended
        response = None if message.response is None else self._link.saying.carrier.unpack_answer(message.response)
        if message.final:
            self._requests.leave([message.key])
        try:
            request.get_response_sender().send(response, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL * message.final)
        except InferenceError as error:  # the response does not fit the configuration's reshape
            request.core.fail(error)

    def _call(self, message: Call) -> None:
        request = self._link.saying.carrier.unpack_request(message.request)
        running = self._task(message.batch)

        def deliver(response: pb_utils.InferenceResponse, final: bool) -> None:  # noqa: FBT001 - as `Deliver` says it
            if message.number not in self._calls:
                return  # it has had its last response
            if final:
                call.end()
                del self._calls[message.number]
            self._link.tell(CallAnswer(message.number, self._link.saying.carrier.pack_response(response), final))

        call = self._calls[message.number] = OpenCall()
        call.passed_on(self._host.call_for(running, request, deliver, decoupled=message.decoupled))

    def on_end(self) -> None:
        """Free what the process had, and say that it has gone, unless it was told to go."""
        self.gone = True
        self._wakeups.held = False
        self._process.ended_within(_CLOSED_SECONDS)
        self._process.end()
        for call in list(self._calls.values()):
            call.cancel()
            call.end()
        begun = self._begun()
        if self._started and not self._closing:
            self._logger.error("%s", self._failure(LinkEndedError()))
            self._ended(begun)
        for request in (*begun, *self._requests.resting):
            request.fail(self._failure(LinkEndedError()))

    def _begun(self) -> Sequence[InferenceRequest]:
        """List the requests with which the process may have begun, and forget that others are in progress.

        Batches are executed one after the other, and each is answered before the next one begins; unless `execute` is a
        coroutine, or answers through senders.
        """
        if self.is_async or self._decoupled:
            return self._requests.begun
        batches = list(self._running.copy().items())  # at one stroke, since other threads may enter and leave meanwhile
        for batch, _ in batches[1:]:
            self._running.pop(batch, None)
        return [request.core for _, running in batches[:1] for request in running.requests]

    # -- ending

    def close(self) -> None:
        """Have the model finalise itself, and end the process. Idempotent.

        Raises:
            InternalError: the model's `finalize` failed.
        """
        if self._closing:
            return
        self._closing = True
        finished = threading.Event()
        failures: list[Exception] = []

        def receive(_: None, error: Exception | None) -> None:
            failures.extend([] if error is None or isinstance(error, LinkEndedError) else [error])
            finished.set()

        self._link.ask_later(Finish(), receive)
        if not finished.wait(_FINISH_SECONDS) or not self._process.ended_within(_FINISH_SECONDS):
            self._logger.error("the process of model instance '%s' does not end, and is killed", self._instance)
        self._abandon()
        if failures:
            raise failures[0]

    def _abandon(self) -> None:
        self._closing = True
        self._process.end()
        self._link.end()
        self._reader.join()
        self._wishes.join()
        self._link.close()
