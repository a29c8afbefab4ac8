"""The interface of a backend: three small classes.

    Backend          one per framework and server: options, completion of a configuration, loading
      └ LoadedModel    one per model version: the weights, shared by its instances
          └ Execution    one per instance and device: called by one thread at a time

The simple way is a function of arrays::

    class Scale(ArrayExecution):
        def run(self, inputs):
            return {"OUTPUT0": inputs["INPUT0"] * 2}

    class ScaleModel(LoadedModel):
        def instantiate(self, context):
            return Scale(context)

    class ScaleBackend(Backend):
        def load(self, context):
            return ScaleModel(context)

The full way overrides `Execution.execute` and gets the requests themselves: it may answer each of them zero, one or many
times, late, and from another thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from charonia.arrays import TensorLayout
from charonia.batch import Batch
from charonia.models import Models, NoModels
from charonia.ragged import RaggedBatches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from charonia.config import ModelConfig
    from charonia.metric_families import MetricFamily
    from charonia.request import InferenceRequest
    from charonia.tensor import Tensor

__all__ = [
    "ArrayExecution",
    "Backend",
    "Batch",
    "Device",
    "Execution",
    "InstanceContext",
    "LoadedModel",
    "ModelContext",
]


@dataclass(frozen=True)
class Device:
    """Where an instance runs.

    Attributes:
        kind: "CPU", "GPU", or "MODEL" where the model itself decides.
        id: the GPU's number; 0 otherwise.
    """

    kind: str
    id: int = 0

    def __str__(self) -> str:
        return f"GPU {self.id}" if self.kind == "GPU" else self.kind


@dataclass(frozen=True)
class ModelContext:
    """All that a backend is told about one version of a model that is to be loaded.

    Attributes:
        name: the model's name.
        version: the version.
        directory: the model's directory on this machine.
        config: the configuration; complete and normalised when `Backend.load` gets it, perhaps partial in `complete_config`.
        auto_complete: whether a backend may complete the configuration.
        schedulers: names of the schedulers that are installed, so that a backend adds no section that nobody can serve.
        default_max_batch_size: what max_batch_size becomes where a model turns out to batch and nothing is configured.
        models: the other models of the server, for those that call some.
        key: what `models.key_of` gives for this one, when it serves; the name, unless it says otherwise.
    """

    name: str
    version: int
    directory: Path
    config: ModelConfig
    auto_complete: bool = True
    schedulers: frozenset[str] = frozenset()
    default_max_batch_size: int = 4
    models: Models = field(default_factory=NoModels)
    key: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.name)

    @property
    def version_directory(self) -> Path:
        """The directory of this version's files."""
        return self.directory / str(self.version)

    @property
    def model_path(self) -> Path:
        """The model file, or directory, that the configuration's `default_model_filename` names."""
        return self.version_directory / self.config.default_model_filename


@dataclass(frozen=True)
class InstanceContext:
    """What an execution is told about its instance.

    Attributes:
        name: `<group>_<index>`, as in the reference.
        device: where the instance runs.
        model: the model's context.
        instance_count: how many instances the model version has in all, so that they can share the machine; as it was when this
            one was made.
    """

    name: str
    device: Device
    model: ModelContext
    instance_count: int = 1


class Execution(ABC):
    """One instance of a model on one device. Its methods are called by one thread at a time, not always the same one.

    Args:
        context: the instance.
    """

    answers_late: ClassVar[bool] = False
    """Whether a request may still be without its final response when `execute` returns. Otherwise such a request fails.

    Where the computing itself goes on after that, the execution says so: see `Batch.outlast`."""

    counts_itself: ClassVar[bool] = False
    """Whether it counts its batches when they are answered, be it late: by `respond_all`, `fail_all` or `count`. Otherwise a
    batch counts as executed when `execute` returns."""

    predictable: bool = False
    """Whether the time of an execution depends on the size of its inputs alone, and is the processor's time of the thread that
    calls: it neither leaves the work to other threads, nor waits for anything, nor runs code of the model's author that
    might. Once such executions have proved to be quick, event loops run them on their own thread, which saves the way to
    another one and back. To pass the work on to another process is such an execution, too, as long as it `takes_at_once`."""

    runs_code: ClassVar[bool] = True
    """Whether code of the model's author may run in it. That finds itself in the trace of the request that it is run for."""

    def __init__(self, context: InstanceContext) -> None:
        self.context = context

    @abstractmethod
    def execute(self, batch: Batch) -> None:
        """Answer the requests of the batch.

        Raises:
            Exception: whatever is raised becomes the error of each request in the batch that has no answer yet; an
                InferenceError keeps its code, anything else is INTERNAL. The instance goes on.
        """

    def takes_at_once(self, request: InferenceRequest) -> bool:
        """Tell whether there is room for a request and one more, where an execution may be in progress when `execute` returns.

        Otherwise a request is left to the instance's own thread. Asked before another thread executes it.
        """
        return True

    def await_room(self) -> None:
        """Wait until there is room for one more batch. The instance's own thread does so before it asks for that."""

    def close(self) -> None:
        """Let go of what this instance holds. No `execute` is running."""


class ArrayExecution(Execution):
    """An execution that is a function of arrays."""

    def __init__(self, context: InstanceContext) -> None:
        super().__init__(context)
        self._layout = TensorLayout(context.model.config, RaggedBatches.of(context.model.config))

    @abstractmethod
    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Compute the outputs of one batch.

        Args:
            inputs: by name; numpy arrays, or what else an earlier model left on its device. With max_batch_size 1 or more
                the first dimension is the batch. Optional inputs that were not given are absent. Ragged inputs have one
                dimension, with all elements of the batch; those that describe them are there, too. Not to be written to.

        Returns:
            The outputs by name, in the order in which clients shall see them. Outputs not asked for are dropped.
        """

    def execute(self, batch: Batch) -> None:
        """Gather the inputs, run, and split the outputs among the requests."""
        inputs = self._layout.gather(batch.requests)
        batch.mark_compute_start()
        outputs = self.run(inputs)
        batch.mark_compute_end()
        batch.respond_all(self._layout.split(batch.requests, outputs))


class LoadedModel(ABC):
    """One version of a model with its weights, shared by the instances.

    Args:
        context: the model.
    """

    def __init__(self, context: ModelContext) -> None:
        self.context = context

    @abstractmethod
    def instantiate(self, context: InstanceContext) -> Execution:
        """Make an execution for one instance. May be called for several instances side by side, and while others execute.

        Raises:
            Exception: the model version fails to load, with the text as its reason.
        """

    @property
    def ready(self) -> bool:
        """Whether requests can be executed now. False, for example, while what executes them elsewhere is started again."""
        return True

    def confirm_ready(self) -> bool:
        """Ask the model itself whether it is ready, if it has something to say. It may take some seconds, on any thread."""
        return True

    @property
    def host_byte_size(self) -> int | None:
        """How many bytes of this machine's memory the model takes now, its instances included, as far as the backend knows.

        None where it does not (the default). Then the size of the version's files stands for it, or by how much the process grew
        while the model was loaded and warmed up, where that is more and nothing else was loaded at the same time. Asked whenever
        somebody looks.
        """
        return None

    def close(self) -> None:
        """Let go of the weights. All executions are closed."""


class Backend(ABC):
    """One framework. Made when the first model needs it, closed with the server; its methods may run side by side.

    Args:
        options: settings of `--backend-config` for this backend, by name.
    """

    default_model_filename: ClassVar[str] = ""
    """The model's file in its version directory, where the configuration names none; "" if there is no usual one."""

    default_cpu_instances: ClassVar[int] = 1
    """How many instances a model gets on the CPU where its configuration does not say."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self.options = options

    def gpus(self) -> Sequence[int]:
        """List the GPUs that this backend can use on this machine."""
        return ()

    def complete_config(self, context: ModelContext) -> ModelConfig:
        """Give the configuration with what the model itself tells filled in: inputs, outputs, max_batch_size, ….

        Work on a copy: `context.config` stays as it is. Only called where completion is wanted. The core takes over
        max_batch_size, input, output, model_transaction_policy, and the scheduling choice if none was made.

        Raises:
            InferenceError: the model and the configuration contradict each other.
        """
        return context.config

    @abstractmethod
    def load(self, context: ModelContext) -> LoadedModel:
        """Load one version of a model.

        Raises:
            Exception: the version fails to load, with the text as its reason. Say what was found and what to do.
        """

    def metrics(self) -> Sequence[MetricFamily]:
        """Tell metrics of the backend's own, as they are now; asked whenever somebody looks. They join those of the server."""
        return ()

    def close(self) -> None:
        """Let go of what the backend holds. All its models are closed."""
