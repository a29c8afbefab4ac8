"""One instance of a Python model: an object of its class, called with batches."""

from __future__ import annotations

import asyncio
import json
import logging
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, ClassVar

import triton_python_backend_utils as pb_utils
from charonia.arrays import TensorLayout
from charonia.backend import Execution
from charonia.config import config_to_json
from charonia.errors import InternalError

from charonia_backend_custom.answers import Answers
from charonia_backend_custom.event_loop import LoopThread
from charonia_backend_custom.failures import MODEL_FAILURES, execution_failure, load_failure
from charonia_backend_custom.served import RequestMaker, ServedRequest

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from concurrent.futures import Future

    from charonia.backend import Batch, InstanceContext
    from charonia.request import InferenceRequest

__all__ = ["DecoupledExecution", "UnaryExecution"]

_log = logging.getLogger(__name__)


class _ModelExecution(Execution):
    """What both kinds of instances share: the model's object, and calls into it.

    Args:
        context: the instance.
        kind: the class TritonPythonModel.

    Raises:
        InternalError: the model cannot be made or initialised.
    """

    def __init__(self, context: InstanceContext, kind: type[Any]) -> None:
        super().__init__(context)
        config = context.model.config
        layout = TensorLayout(config)
        decoupled = config.model_transaction_policy.decoupled
        self._requests = RequestMaker(layout, Answers(config, layout), decoupled=decoupled)
        self._loop: LoopThread | None = None
        try:
            self._model: Any = kind()
            if hasattr(self._model, "initialize"):
                self._model.initialize(_arguments(context))
        except MODEL_FAILURES as error:  # the border of loading: what a model raises is the reason why it is not there
            raise load_failure(error) from error

    def _call(self, requests: Sequence[ServedRequest]) -> Any:
        """Call the model's `execute`, and give what it returns: perhaps a coroutine."""
        if not hasattr(self._model, "execute"):
            raise self._failure(f"Python model {self.context.model.model_path} does not implement `execute` method.")
        try:
            return self._model.execute(list(requests))
        except MODEL_FAILURES as error:  # the border of execution
            raise self._failure(error) from error

    def _start(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine on the instance's own event loop, which begins with the first one."""
        if self._loop is None:
            self._loop = LoopThread(f"charonia-coroutines-{self.context.name}")
        return self._loop.start(coroutine)

    def _failure(self, cause: BaseException | str) -> InternalError:
        failure = execution_failure(self.context.name, cause)
        _log.error("%s", failure)
        return failure

    def close(self) -> None:
        """Cancel coroutines that still run, have the model finalise itself, and let it go. Idempotent."""
        if self._loop is not None:
            self._loop.close()
        model, self._model = self._model, None
        try:
            if hasattr(model, "finalize"):
                model.finalize()
        except SystemExit as error:
            raise load_failure(error) from error


class UnaryExecution(_ModelExecution):
    """An instance that answers each request once: by what `execute` returns, or by a sender before it returns."""

    def execute(self, batch: Batch) -> None:
        """Have the model answer; as in the reference, an answer that is wrong in form fails the whole batch."""
        requests = batch.requests
        batch.mark_compute_start()
        answers = self._call([self._requests.of(request) for request in requests])
        if iscoroutine(answers):
            answers = self._start(self._finish(answers)).result()
        batch.mark_compute_end()
        if answers is None and all(request.done for request in requests):
            return
        self._check(answers, len(requests))
        make = self._requests.answers.response
        batch.respond_all([make(request, answer) for request, answer in zip(requests, answers, strict=True)])

    async def _finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """See a coroutine to its end. What it raises is caught on its own thread, whose event loop an exit would end."""
        try:
            return await coroutine
        except MODEL_FAILURES as error:  # the border of execution
            raise self._failure(error) from error

    def _check(self, answers: object, wanted: int) -> None:
        if not isinstance(answers, list):
            raise self._failure(f"Expected a list in the execute return, found type '{type(answers)}'.")
        if len(answers) != wanted:
            raise self._failure(
                "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
                f"InferenceRequest(s) size is:{wanted}, and InferenceResponse(s) size is:{len(answers)}\n"
            )
        for answer in answers:
            if not isinstance(answer, pb_utils.InferenceResponse):
                raise self._failure(
                    "Expected an 'InferenceResponse' object in the execute function return list, found type "
                    f"'{type(answer)}'."
                )


class DecoupledExecution(_ModelExecution):
    """An instance whose requests have any number of responses, through senders, perhaps long after `execute` has returned.

    Where `execute` is a coroutine, the next batch begins while earlier ones are still in progress.
    """

    answers_late: ClassVar[bool] = True

    def execute(self, batch: Batch) -> None:
        """Have the model begin to answer."""
        batch.mark_compute_start()
        outcome = self._call([self._requests.of(request) for request in batch.requests])
        if iscoroutine(outcome):
            self._start(self._finish(outcome, batch.requests))
        else:
            self._check(outcome)

    async def _finish(self, coroutine: Coroutine[Any, Any, Any], requests: Sequence[InferenceRequest]) -> None:
        """See a coroutine to its end, whose failure is the answer to those of its requests that have not ended."""
        try:
            self._check(await coroutine)
        except InternalError as failure:
            _fail(requests, failure)
        except asyncio.CancelledError:
            _fail(requests, self._failure("the model was unloaded while the request was in progress"))
            raise
        except MODEL_FAILURES as error:  # the border of execution
            _fail(requests, self._failure(error))

    def _check(self, outcome: object) -> None:
        if outcome is not None:
            raise self._failure(
                f"Python model '{self.context.name}' is using the decoupled mode and the execute function must return None."
            )


def _fail(requests: Sequence[InferenceRequest], failure: InternalError) -> None:
    for request in requests:
        request.fail(failure)


def _arguments(context: InstanceContext) -> dict[str, str]:
    """Give what `initialize` is told, as in the reference: all of it text."""
    model = context.model
    return {
        "model_config": json.dumps(config_to_json(model.config), separators=(",", ":")),
        "model_instance_kind": context.device.kind,
        "model_instance_name": context.name,
        "model_instance_device_id": str(context.device.id),
        "model_repository": str(model.directory),
        "model_version": str(model.version),
        "model_name": model.name,
    }
