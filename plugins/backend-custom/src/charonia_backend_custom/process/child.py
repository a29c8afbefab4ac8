"""The process of a model's instance, from within: it does what the server says, one thing after the other."""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils
from charonia.errors import InferenceError, InternalError
from charonia.mailbox import Wakeups
from charonia.process_tuning import keep_freed_memory
from charonia.promptness import Promptness
from triton_python_backend_utils.place import ModelPlace

from charonia_backend_custom.activity import current_activity
from charonia_backend_custom.failures import load_failure
from charonia_backend_custom.imports import ModelFinder
from charonia_backend_custom.model_file import ModelFile
from charonia_backend_custom.model_object import ModelObject
from charonia_backend_custom.process.channel import Channel
from charonia_backend_custom.process.child_host import RemoteHost
from charonia_backend_custom.process.child_requests import RemoteRequest
from charonia_backend_custom.process.last_words import LastWords
from charonia_backend_custom.process.link import Link
from charonia_backend_custom.process.messages import (
    TRACE,
    CallAnswer,
    Complete,
    Execute,
    Finish,
    LogLine,
    Make,
    Open,
)
from charonia_backend_custom.process.patience import Patience
from charonia_backend_custom.process.trace_context import current_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["serve"]

_HOLD_NS = 500_000
"""No answer waits for later ones for longer than half a millisecond and one execution, and for no slow one."""


def serve(main: int, side: int, kept: int) -> None:
    """Serve one instance over two sockets, until the server says that it is enough, or has gone; `kept` is its last words'."""
    keep_freed_memory()
    faulthandler.enable()  # what ends the process is told on the server's stderr
    for descriptor in (main, side):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the system's signature
    with os.fdopen(kept, "r+b") as memory:
        last_words = LastWords(memory)
    link = Link(Channel(socket.socket(fileno=main)), Channel(socket.socket(fileno=side)), last_words, serves=False)
    logging.getLogger().addHandler(_ToServer(link))
    logging.captureWarnings(capture=True)
    child = _Child(link)
    threading.Thread(target=link.read, args=(child,), name="charonia-line", daemon=True).start()
    child.work()


class _ToServer(logging.Handler):
    """Sends the records of the log to the server."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, with its text made, since not everything in it can be sent.

        A fork of the process has no line to the server: what is wrong there is written to stderr, as where logging is not set up.
        """
        if self._link.ended:
            if logging.lastResort is not None and record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)
            return
        try:
            text = record.getMessage()
            if record.exc_info and not record.exc_text:
                record.exc_text = (self.formatter or logging.Formatter()).formatException(record.exc_info)
            plain = {key: value for key, value in vars(record).items() if isinstance(value, str | int | float)}
            activity = current_activity()
            batch = activity.task if activity is not None and isinstance(activity.task, int) else None
            self._link.tell(LogLine({**plain, "msg": text, "args": None, "exc_info": None}, batch))
        except Exception:  # noqa: BLE001 - as logging's own handlers: a log that fails must not fail what it tells about
            self.handleError(record)


class _Child:
    """What the server's questions lead to.

    Args:
        link: the line to the server.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._host = RemoteHost(link)
        self._finder = ModelFinder(alone=True)
        self._file: ModelFile | None = None
        self._object: ModelObject | None = None
        self._decoupled = False
        self._log_level = logging.NOTSET
        self._promptness = Promptness()
        self._patience = Patience(link.asking.send)
        threading.Thread(target=self._patience.watch, name="charonia-patience", daemon=True).start()

    # -- on the thread that reads

    def on_told(self, message: Any) -> None:
        """Take a response to a call."""
        if isinstance(message, CallAnswer):
            self._host.take(message)

    def on_question(self, number: int, question: Any) -> None:
        """Ask the model whether it is ready, which is the only question that comes here. It may take for ever."""
        del question
        threading.Thread(target=self._tell_ready, args=(number,), name="charonia-ready", daemon=True).start()

    def _tell_ready(self, number: int) -> None:
        self._link.answer(number, self._object is not None and self._object.is_ready())

    def on_pause(self) -> None:
        """Nothing is held back."""

    def on_end(self) -> None:
        """Without its server, a process has nothing to do, whatever it is doing."""
        os._exit(1)

    # -- on the main thread

    def work(self) -> None:
        """Do what the server says, until it is enough, or it has gone.

        Once executions have proved to be quick, the answers to several are sent together.
        """
        wakeups = Wakeups()
        held_since = 0
        for number, question in self._link.questions(wakeups.send):
            now = time.monotonic_ns()
            if not wakeups.owed:
                held_since = now
            elif now - held_since > _HOLD_NS:
                wakeups.send()
            if wakeups.owed:
                self._link.keep_answer()
                self._patience.begin()
            wakeups.held = self._promptness.proven
            try:
                if isinstance(question, Execute):
                    self._execute(number, question)
                else:
                    self._link.answer(number, self._done(question))
            except (InferenceError, pb_utils.TritonModelException) as error:
                self._link.answer(number, error=error)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the border of the process; a model raised it
                self._link.answer(number, error=load_failure(error))
            if isinstance(question, Finish):
                wakeups.send()
                return

    def _done(self, question: Any) -> Any:
        if isinstance(question, Open):
            return self._open(question)
        if isinstance(question, Make):
            return self._make(question)
        if isinstance(question, Complete):
            return self._opened().complete(question.config)
        if self._object is not None:
            self._object.close()
        return None

    def _open(self, question: Open) -> None:
        self._set_log_level(question.log_level)
        place = ModelPlace(question.name, question.version, Path(question.directory), self._host)
        self._file = ModelFile(place, Path(question.file), self._finder)

    def _set_log_level(self, level: int) -> None:
        self._log_level = level
        logging.getLogger().setLevel(level)

    def _opened(self) -> ModelFile:
        if self._file is None:
            raise InternalError("the process was asked for something before its model was opened")
        return self._file

    def _make(self, question: Make) -> bool:
        file = self._opened()
        self._decoupled = question.decoupled
        self._object = ModelObject(file.kind, file.place, file.file, question.arguments, decoupled=question.decoupled)
        return self._object.is_async

    def _execute(self, number: int, question: Execute) -> None:
        made = self._object
        if made is None:
            raise InternalError("the process was asked to execute before its model was made")
        if self._log_level != question.log_level:  # to set it makes all loggers forget what they know
            self._set_log_level(question.log_level)
        requests = [RemoteRequest(data, self._link, decoupled=self._decoupled) for data in question.requests]
        trace = None
        for data in question.requests:
            trace = trace or data[TRACE]
        if trace is None:
            self._begin(made, number, question.batch, requests)
        else:
            with current_trace(trace):
                self._begin(made, number, question.batch, requests)

    def _begin(self, made: ModelObject, number: int, batch: int, requests: list[RemoteRequest]) -> None:
        if self._decoupled:
            made.begin(requests, batch, partial(self._end, number, requests))
        elif made.is_async:
            made.answers_later(requests, batch, partial(self._answer, number, time.monotonic_ns()))
        else:
            begun_ns = time.monotonic_ns()
            answers = made.answers(requests, batch)
            self._promptness.note(time.monotonic_ns() - begun_ns)
            self._answer(number, begun_ns, answers, None)

    def _end(self, number: int, requests: Sequence[RemoteRequest], failure: InferenceError | None) -> None:
        self._link.answer(number, [request.key for request in requests if request.rescheduled], failure)

    def _answer(
        self,
        number: int,
        begun_ns: int,
        answers: Sequence[pb_utils.InferenceResponse | None] | None,
        failure: InferenceError | None,
    ) -> None:
        ended_ns = time.monotonic_ns()
        pack = self._link.saying.carrier.pack_response
        told = None if answers is None else [None if answer is None else pack(answer) for answer in answers]
        self._link.answer(number, (told, begun_ns, ended_ns), failure)
