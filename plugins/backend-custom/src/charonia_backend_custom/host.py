"""What the server does for a model: passing its calls on, loading for it, keeping its metrics."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import triton_python_backend_utils as pb_utils
from charonia.errors import InferenceError, InvalidArgumentError, NotFoundError, UnavailableError
from charonia.request import InferenceRequest
from charonia.tensor import as_numpy

from charonia_backend_custom.activity import current_activity
from charonia_backend_custom.answers import triton_error
from charonia_backend_custom.running import OwnThread, Running, Seat

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from charonia.backend import ModelContext
    from charonia.request import InferenceResponse
    from triton_python_backend_utils.host import Deliver

    from charonia_backend_custom.circles import WaitGraph
    from charonia_backend_custom.metric_values import HeldMetrics

__all__ = ["ServedCall", "ServerHost"]

_LATEST = -1


class ServerHost:
    """The host of one loaded version, for all its instances.

    Args:
        context: the model.
        graph: where executions that wait are known.
        metrics: the model's hold on the metrics.
    """

    def __init__(self, context: ModelContext, graph: WaitGraph, metrics: HeldMetrics) -> None:
        self.metrics = metrics
        self.graph = graph
        self._context = context
        self._model = context.key
        self._parent = Running(Seat(context.name, context.version), ()).parent

    def call(self, request: pb_utils.InferenceRequest, deliver: Deliver, *, decoupled: bool) -> ServedCall:
        """Pass a request on, on behalf of what the calling thread or coroutine is busy with.

        Where it is busy with nothing that is known here, it is one that the model has started itself.
        """
        activity = current_activity()
        if activity is not None and activity.task is None:
            raise pb_utils.TritonModelException("BLS is only supported during the 'execute' function.")
        running = None if activity is None else activity.task
        assert running is None or isinstance(running, Running)  # noqa: S101 - what executions here are known by
        made = self._passed_on(running, request, deliver, decoupled=decoupled)
        return ServedCall(self, running, made)

    def waiter(self, caller: Running | OwnThread | None) -> Running | OwnThread | None:
        """Tell who begins to wait for a call: its caller, unless that was left to another thread, or is not known.

        None where a coroutine waits, of which it is not known what waits for it.
        """
        here = threading.get_ident()
        if isinstance(caller, OwnThread) or (caller is not None and caller.thread in {0, here}):
            return caller
        if asyncio._get_running_loop():  # noqa: SLF001 - documented
            return None
        return OwnThread(self._model, self._context.version, here)

    def call_for(
        self, running: Running | None, request: pb_utils.InferenceRequest, deliver: Deliver, *, decoupled: bool
    ) -> ServedCall:
        """Pass a request on, on behalf of an execution in a process; None for a thread of the model's own. Does not block."""
        made = self._passed_on(running, request, deliver, decoupled=decoupled)
        return ServedCall(self, running or OwnThread(self._model, self._context.version, 0), made)

    def _passed_on(
        self, running: Running | None, request: pb_utils.InferenceRequest, deliver: Deliver, *, decoupled: bool
    ) -> InferenceRequest:
        if running is not None and not running.may_wait:
            raise pb_utils.TritonModelException(
                f"model '{self._context.name}' calls model '{request.model_name()}', but is taken for one that "
                "NEVER_WAITS: set that parameter to 0, since event loops, which serve everybody, would wait with it"
            )
        made = InferenceRequest(
            request.model_name(),
            {tensor.name(): tensor.data for tensor in request.inputs()},
            _Delivery(deliver, on_cpu=_wanted_on_cpu(request)),
            model_version=None if request.model_version() == _LATEST else request.model_version(),
            id=request.request_id(),
            requested_outputs=tuple(request.requested_output_names()),
            parameters=request.parameter_values(),
            timeout_us=request.timeout(),
            correlation_id=request.correlation_id(),
            flags=request.flags(),
            parent=self._parent if running is None else running.parent_for(request.trace().get_context()),
        )
        try:
            self._pass_on(made, decoupled=decoupled)
        except InferenceError as error:
            told = f"Model {made.model_name} - Error when running inference: {error}"
            made.fail(InferenceError.of(error.code, told))
        return made

    def _pass_on(self, request: InferenceRequest, *, decoupled: bool) -> None:
        models = self._context.models
        try:
            config = models.model_config(request.model_name, request.model_version)
        except (NotFoundError, UnavailableError) as error:
            raise InferenceError.of(
                error.code,
                f"Failed for execute the inference request. Model '{request.model_name}' is not ready.",
            ) from error
        if config.model_transaction_policy.decoupled and not decoupled:
            raise InvalidArgumentError(
                f"Model {request.model_name} is using the decoupled. The current BLS request call doesn't support models using "
                "the decoupled transaction policy. Please use 'decoupled=True' argument to the 'exec' or 'async_exec' calls for "
                "decoupled models.'"
            )
        models.submit(request)

    def waiting(self, who: Running | OwnThread | None, call: InferenceRequest) -> AbstractContextManager[None]:
        """Stand around the time in which somebody waits for a call."""
        return self.graph.waiting(who, call, self._context.models)

    def load_model(self, name: str, config: str, files: Mapping[str, bytes]) -> None:
        """Load a model, unless it is the one that is just being made."""
        activity = current_activity()
        if activity is not None and activity.task is None and activity.model == name:
            raise self._refusal("load model", f"model '{name}' cannot load itself while it is being initialised")
        try:
            self._context.models.require_explicit_control()
            self._context.models.load(
                name,
                config=config or None,
                files={path.removeprefix("file:"): content for path, content in files.items()},
            )
        except InferenceError as error:
            raise self._refusal("load model", str(error)) from error

    def unload_model(self, name: str, *, unload_dependents: bool) -> None:
        """Unload a model."""
        try:
            self._context.models.require_explicit_control()
            self._context.models.unload(name, unload_dependents=unload_dependents)
        except InferenceError as error:
            raise self._refusal("unload model", str(error)) from error

    def is_model_ready(self, name: str, version: str) -> bool:
        """Tell whether a model serves."""
        if version and not (version.isascii() and version.isdecimal()):
            raise self._refusal(
                "check model readiness",
                f"failed to get model version from specified version string '{version}' (details: stol), version should be an "
                "integral value > 0",
            )
        return self._context.models.can_serve(name, int(version) if version else None)

    def _refusal(self, what: str, text: str) -> pb_utils.TritonModelException:
        activity = current_activity()
        instance = self._context.name if activity is None else activity.instance
        return pb_utils.TritonModelException(
            f"Failed to {what}: Failed to process the request for model '{instance}', message: {text}"
        )

    def close(self) -> None:
        """Let go of the model's metrics. The model's code does not run any more."""
        self.metrics.close()


class ServedCall:
    """A call that was passed on.

    Args:
        host: the host of the model that calls.
        caller: the execution that calls, or the process's thread that does; None where it is not known.
        request: what was passed on, or failed already.
    """

    def __init__(self, host: ServerHost, caller: Running | OwnThread | None, request: InferenceRequest) -> None:
        self._host = host
        self._caller = caller
        self._request = request

    def waiting(self) -> AbstractContextManager[None]:
        """Stand around the time in which the caller waits for a response."""
        return self._host.waiting(self._host.waiter(self._caller), self._request)

    def cancel(self) -> None:
        """Take the request back."""
        self._request.cancel()


def _wanted_on_cpu(request: pb_utils.InferenceRequest) -> bool:
    memory = request.preferred_memory()
    return memory is not None and memory.memory_type is pb_utils.TRITONSERVER_MEMORY_CPU


class _Delivery:
    """The sink of a call. After the final response it lets go of who gets them, and who in turn holds the call.

    Args:
        deliver: gets the responses as models see them.
        on_cpu: whether outputs are brought to the CPU.
    """

    __slots__ = ("_deliver", "_on_cpu")

    def __init__(self, deliver: Deliver, *, on_cpu: bool) -> None:
        self._deliver: Deliver | None = deliver
        self._on_cpu = on_cpu

    def __call__(self, response: InferenceResponse) -> None:
        deliver = self._deliver
        if response.final:
            self._deliver = None
        outputs = [
            pb_utils.Tensor.around(name, as_numpy(tensor) if self._on_cpu else tensor)
            for name, tensor in response.outputs.items()
        ]
        error = None if response.error is None else triton_error(response.error)
        if deliver is not None:
            deliver(pb_utils.InferenceResponse(outputs, error, response.parameters), response.final)
