"""Engines: from a plan's file to one that executions can be made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError

from charonia_backend_tensorrt import cuda
from charonia_backend_tensorrt.plan import check_version, plan_file, read_header
from charonia_backend_tensorrt.tensors import read_tensors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from charonia.backend import ModelContext

    from charonia_backend_tensorrt.library import Library
    from charonia_backend_tensorrt.plan import PlanHeader
    from charonia_backend_tensorrt.settings import BackendSettings
    from charonia_backend_tensorrt.tensors import EngineTensor

__all__ = ["Engine", "open_engine"]


@dataclass(frozen=True)
class Engine:
    """A plan with its weights on a GPU, which all instances there share.

    Attributes:
        library: what made it and runs it.
        gpu: the GPU's number.
        handle: the library's `ICudaEngine`.
        tensors: its inputs and outputs.
    """

    library: Library
    gpu: int
    handle: Any
    tensors: Sequence[EngineTensor]


def open_engine(context: ModelContext, gpu: int, settings: BackendSettings) -> Engine:
    """Bring the plan for a GPU onto it.

    What is wrong with the plan is told before what is wrong with the machine, where both is known.

    Raises:
        NotFoundError: there is no plan for this GPU.
        InvalidArgumentError: what is there is no plan, or is damaged, or made for another GPU.
        UnsupportedError: another version made it, or it has inputs or outputs that cannot be served.
        UnavailableError: there is no driver, no GPU, or not enough memory on it.
        PluginError: the library is not installed.
    """
    capability = cuda.compute_capability(gpu) if cuda.gpus() else ""
    path = plan_file(context, capability)
    header = read_header(path)
    if not settings.version_compatible:
        check_version(path, header)
    library = header.library
    for plugin in (*settings.plugins, *context.config.model_operations.op_library_filename):
        beside = context.directory / plugin  # an absolute path stays as it is
        library.load_plugins(beside if beside.exists() else plugin)
    cuda.require_gpus()
    cuda.use(gpu)
    handle = deserialise(path, header, host_code=settings.version_compatible)
    return Engine(library, gpu, handle, read_tensors(library.module, handle))


def deserialise(path: Path, header: PlanHeader, *, host_code: bool) -> Any:
    """Have the library read a plan onto the GPU that is in use, and give its `ICudaEngine`.

    Args:
        path: the plan.
        header: what it says of itself.
        host_code: whether the plan may run code of its own in this process.

    Raises:
        InvalidArgumentError: the library refuses it; the text has the library's own words.
    """
    library = header.library
    runtime = library.module.Runtime(library.logger)
    runtime.engine_host_code_allowed = host_code
    with library.complaints() as complaints:
        handle = runtime.deserialize_cuda_engine(path.read_bytes())
    if handle is None:
        raise InvalidArgumentError(
            f"{library} {library.version} cannot use '{path}', made by {header} ({'; '.join(complaints)}): build the plan anew, "
            "on this machine, with charonia build-plan"
        )
    return handle
