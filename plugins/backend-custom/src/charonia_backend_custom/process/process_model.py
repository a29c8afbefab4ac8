"""One loaded version of a Python model whose instances have processes of their own."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING

import triton_python_backend_utils as pb_utils
from charonia.backend import LoadedModel
from charonia.clock import Clock
from charonia.host_memory import resident_byte_size

from charonia_backend_custom.execution import initialize_arguments, remote_execution_of
from charonia_backend_custom.process.model_process import ModelProcess
from charonia_backend_custom.process.supervised import Crew, SupervisedProcess
from charonia_backend_custom.process.suspects import Suspects
from charonia_backend_custom.readiness import all_confirmed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from charonia.backend import Execution, InstanceContext, ModelContext
    from charonia.request import InferenceRequest

    from charonia_backend_custom.execution import ModelExecution
    from charonia_backend_custom.host import ServerHost
    from charonia_backend_custom.process.launch import Interpreter

__all__ = ["ProcessModel"]

_RESTARTS = "charonia_python_process_restarts_total"


class ProcessModel(LoadedModel):
    """One version. Each instance's process imports the model's file by itself.

    Args:
        context: the model.
        host: what the server does for it; closed with the model.
        interpreter: what the processes run in.
        clock: tells when a process may be started again.
    """

    def __init__(
        self, context: ModelContext, host: ServerHost, interpreter: Interpreter, clock: Clock | None = None
    ) -> None:
        super().__init__(context)
        self._host = host
        self._interpreter = interpreter
        self._processes: weakref.WeakSet[SupervisedProcess] = weakref.WeakSet()
        self._executions: weakref.WeakSet[ModelExecution] = weakref.WeakSet()
        self._crew = Crew(Clock() if clock is None else clock, Suspects(), self._count_restart)
        self._labels = {"model": context.name, "version": str(context.version)}
        host.metrics.declare(
            _RESTARTS,
            "Number of times that the process of a Python model was started again",
            pb_utils.MetricFamily.COUNTER,
        )
        host.metrics.add(_RESTARTS, self._labels, ())

    def _count_restart(self) -> None:
        self._host.metrics.apply(_RESTARTS, self._labels, "increment", 1.0)

    @property
    def ready(self) -> bool:
        """Whether a process is up."""
        return self._crew.up > 0

    def confirm_ready(self) -> bool:
        """Ask all instances that have a process."""
        return all_confirmed(execution.readiness for execution in list(self._executions))

    @property
    def host_byte_size(self) -> int:
        """How much memory the processes take that are up; what they share with each other counts for each."""
        return sum(resident_byte_size(process.pid) for process in list(self._processes) if process.pid is not None)

    def instantiate(self, context: InstanceContext) -> Execution:
        """Start the instance's first process."""
        calls = SupervisedProcess(context.name, partial(self._start, context), self._crew)
        self._processes.add(calls)
        execution = remote_execution_of(context, calls, self._host.graph)
        self._executions.add(execution)
        return execution

    def _start(self, context: InstanceContext, ended: Callable[[Sequence[InferenceRequest]], None]) -> ModelProcess:
        process = ModelProcess(self.context, self._host, self._interpreter, context.name, ended)
        process.make(initialize_arguments(context))
        return process

    def close(self) -> None:
        """Let go of the model's metrics. Its processes have ended."""
        self._host.close()
