"""An object of a model's class, and the calls into its code.

What the model's code raises, or gives in a wrong form, becomes an InternalError in the reference's words.
"""

from __future__ import annotations

import asyncio
import logging
from inspect import iscoroutine, iscoroutinefunction
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils
from charonia.errors import InternalError

from charonia_backend_custom.activity import Activity, busy_with
from charonia_backend_custom.event_loop import LoopThread
from charonia_backend_custom.failures import execution_failure, is_interruption, load_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from triton_python_backend_utils.place import ModelPlace

__all__ = ["ModelObject"]

_log = logging.getLogger("charonia.backend_custom.model_object")

_UNLOADED = "the model was unloaded while the request was in progress"


class ModelObject:
    """One instance's object of the class TritonPythonModel. `close` finalises it.

    Args:
        kind: the class.
        place: the model.
        file: the model's file, for errors.
        arguments: what `initialize` is told.
        decoupled: whether requests are answered by senders only.

    Raises:
        InternalError: the object cannot be made or initialised.

    Attributes:
        is_async: whether `execute` is a coroutine.
    """

    def __init__(
        self, kind: type[Any], place: ModelPlace, file: Path, arguments: Mapping[str, str], *, decoupled: bool
    ) -> None:
        self._instance = arguments["model_instance_name"]
        self._idle = Activity(place.name, self._instance)
        self._file = file
        self._decoupled = decoupled
        self._loop: LoopThread | None = None
        self.is_async = iscoroutinefunction(getattr(kind, "execute", None))
        try:
            with busy_with(self._idle):
                self._model: Any = kind()
                if hasattr(self._model, "initialize"):
                    self._model.initialize(dict(arguments))
        except BaseException as error:  # the border of loading: what a model raises is the reason why it is not there
            if is_interruption(error):
                raise
            raise load_failure(error) from error

    def answers(
        self, requests: Sequence[pb_utils.InferenceRequest], task: object
    ) -> list[pb_utils.InferenceResponse | None] | None:
        """Have requests executed that get one response each, and wait for it.

        Args:
            requests: the batch.
            task: what the server knows the execution by.

        Returns:
            As many responses as requests, with None for one that is to be executed once more; None where senders have answered
            all of them.

        Raises:
            InternalError: the model failed, or its answer is wrong in form.
        """
        outcome = self._call(requests, task)
        if iscoroutine(outcome):
            outcome = self._start(self._finish(outcome), task).result()
        return self._checked(outcome, requests)

    def answers_later(
        self,
        requests: Sequence[pb_utils.InferenceRequest],
        task: object,
        take: Callable[[list[pb_utils.InferenceResponse | None] | None, InternalError | None], None],
    ) -> None:
        """Do as `answers` on the event loop, for an `execute` that is a coroutine, and do not wait.

        Args:
            requests: the batch.
            task: what the server knows the execution by.
            take: gets what `answers` gives, or raises. Called on the event loop's thread.
        """
        self._start(self._answer(requests, task, take), task)

    async def _answer(
        self,
        requests: Sequence[pb_utils.InferenceRequest],
        task: object,
        take: Callable[[list[pb_utils.InferenceResponse | None] | None, InternalError | None], None],
    ) -> None:
        answers: list[pb_utils.InferenceResponse | None] | None = None
        failure: InternalError | None = None
        try:
            outcome = self._call(requests, task)
            answers = self._checked(await self._finish(outcome) if iscoroutine(outcome) else outcome, requests)
        except InternalError as error:
            failure = error
        take(answers, failure)

    def begin(
        self,
        requests: Sequence[pb_utils.InferenceRequest],
        task: object,
        end: Callable[[InternalError | None], None],
    ) -> None:
        """Have requests executed that are answered by senders only.

        Args:
            requests: the batch.
            task: what the server knows the execution by.
            end: called when `execute` has returned, or its coroutine has ended, with what went wrong, if anything did.
        """
        try:
            outcome = self._call(requests, task)
            if iscoroutine(outcome):
                self._start(self._finish_decoupled(outcome, end), task)
                return
            self._check_decoupled(outcome)
        except InternalError as failure:
            end(failure)
        else:
            end(None)

    async def _finish_decoupled(
        self, coroutine: Coroutine[Any, Any, Any], end: Callable[[InternalError | None], None]
    ) -> None:
        """See a coroutine to its end, whose failure is the answer to those of its requests that have not ended."""
        failure: InternalError | None = None
        try:
            self._check_decoupled(await self._finish(coroutine))
        except InternalError as error:
            failure = error
        end(failure)

    async def _finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """See a coroutine to its end. What it raises is caught on its own thread, whose event loop an exit would end."""
        try:
            return await coroutine
        except BaseException as error:
            task = asyncio.current_task()
            unloaded = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
            raise self._failure(_UNLOADED if unloaded else error) from error

    def _call(self, requests: Sequence[pb_utils.InferenceRequest], task: object) -> Any:
        """Call the model's `execute`, and give what it returns: perhaps a coroutine."""
        if not hasattr(self._model, "execute"):
            raise self._failure(f"Python model {self._file} does not implement `execute` method.")
        try:
            with busy_with(self._activity(task)):
                return self._model.execute(list(requests))
        except BaseException as error:
            if is_interruption(error):
                raise
            raise self._failure(error) from error

    def _start(self, coroutine: Coroutine[Any, Any, Any], task: object) -> Future[Any]:
        """Run a coroutine on the instance's own event loop, which begins with the first one."""
        if self._loop is None:
            self._loop = LoopThread(f"charonia-coroutines-{self._instance}")
        with busy_with(self._activity(task)):
            return self._loop.start(coroutine)

    def _activity(self, task: object) -> Activity:
        return Activity(self._idle.model, self._instance, task)

    def _checked(
        self, answers: object, requests: Sequence[pb_utils.InferenceRequest]
    ) -> list[pb_utils.InferenceResponse | None] | None:
        if answers is None and all(request.answered for request in requests):
            return None
        if not isinstance(answers, list):
            raise self._failure(f"Expected a list in the execute return, found type '{type(answers)}'.")
        if len(answers) != len(requests):
            raise self._failure(
                "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
                f"InferenceRequest(s) size is:{len(requests)}, and InferenceResponse(s) size is:{len(answers)}\n"
            )
        for request, answer in zip(requests, answers, strict=True):
            if not request.rescheduled:
                if not isinstance(answer, pb_utils.InferenceResponse):
                    raise self._failure(
                        "Expected an 'InferenceResponse' object in the execute function return list, found type "
                        f"'{type(answer)}'."
                    )
            elif answer is not None:
                raise self._failure(
                    "Expected a None object in the execute function return list for rescheduled request, found type "
                    f"'{type(answer)}'."
                )
        return answers

    def _check_decoupled(self, outcome: object) -> None:
        if outcome is not None:
            raise self._failure(
                f"Python model '{self._instance}' is using the decoupled mode and the execute function must return None."
            )

    def _failure(self, cause: BaseException | str) -> InternalError:
        failure = execution_failure(self._instance, cause)
        _log.error("%s", failure)
        return failure

    def is_ready(self) -> bool:
        """Ask the model's `is_ready`, if it has one, and wait as long as it takes. What it raises means no, and is logged."""
        if not hasattr(self._model, "is_ready"):
            return True
        try:
            with busy_with(self._idle):
                outcome = self._model.is_ready()
                return bool(asyncio.run(outcome) if iscoroutine(outcome) else outcome)
        except BaseException as error:  # noqa: BLE001 - the border to the model's code
            _log.warning(
                "model instance '%s' failed to tell whether it is ready: %s", self._instance, load_failure(error)
            )
            return False

    def close(self) -> None:
        """Cancel coroutines that still run, have the model finalise itself, and let it go. Idempotent.

        Raises:
            InternalError: the model wants to exit, or raises something else that is no Exception.
            Exception: whatever else its `finalize` raises.
        """
        if self._loop is not None:
            self._loop.close()
        model, self._model = self._model, None
        try:
            if hasattr(model, "finalize"):
                with busy_with(self._idle):
                    model.finalize()
        except Exception:
            raise
        except BaseException as error:
            raise load_failure(error) from error
