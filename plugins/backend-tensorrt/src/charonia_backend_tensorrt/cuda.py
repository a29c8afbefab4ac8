"""The few calls of CUDA that running a plan takes, each of them checked: devices, streams, memory.

Memory grows as it is needed, and is kept for the next execution.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Protocol

import numpy as np
from charonia.errors import InternalError, PluginError, UnavailableError

__all__ = ["DeviceMemory", "PinnedMemory", "Stream", "compute_capability", "gpus", "require_gpus", "use"]


@functools.cache
def _runtime() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise PluginError(f"CUDA's Python interface cannot be imported ({error}): pip install cuda-bindings") from error
    return runtime


def _call(name: str, *arguments: Any) -> Any:
    """Call a function of CUDA's runtime, and give what it gives beside its error.

    Raises:
        UnavailableError: there is no driver, no device or no memory.
        InternalError: anything else went wrong.
    """
    runtime = _runtime()
    error, *results = getattr(runtime, name)(*arguments)
    if error == runtime.cudaError_t.cudaSuccess:
        return results[0] if results else None
    for_now = (
        runtime.cudaError_t.cudaErrorInsufficientDriver,
        runtime.cudaError_t.cudaErrorNoDevice,
        runtime.cudaError_t.cudaErrorMemoryAllocation,
    )
    _, text = runtime.cudaGetErrorString(error)
    kind = UnavailableError if error in for_now else InternalError
    raise kind(f"{name} failed: {error.name}: {text.decode()}")


def gpus() -> range:
    """List the GPUs that CUDA can use; none where there is no driver.

    Raises:
        PluginError: CUDA's Python interface is not installed.
    """
    try:
        return range(_call("cudaGetDeviceCount"))
    except UnavailableError:
        return range(0)


def require_gpus() -> None:
    """Say what is missing where no GPU can be used.

    Raises:
        UnavailableError: there is no driver, an old one, or no device.
        PluginError: CUDA's Python interface is not installed.
    """
    runtime = _runtime()
    major, minor = divmod(_call("cudaRuntimeGetVersion") // 10, 100)
    driver = _call("cudaDriverGetVersion")
    error, *_ = runtime.cudaGetDeviceCount()
    if error == runtime.cudaError_t.cudaSuccess:
        return
    if driver == 0:
        missing = f"no NVIDIA driver was found: install one for CUDA {major}.{minor}"
    elif error == runtime.cudaError_t.cudaErrorInsufficientDriver:
        missing = f"the NVIDIA driver is for CUDA {driver // 1000}.{driver % 1000 // 10}: install one for CUDA {major}.{minor}"
    else:
        _, text = runtime.cudaGetErrorString(error)
        missing = f"CUDA finds no GPU ({text.decode()}): look at nvidia-smi and CUDA_VISIBLE_DEVICES"
    raise UnavailableError(f"TensorRT needs an NVIDIA GPU, and {missing}, or serve the model's ONNX form on the CPU")


def compute_capability(gpu: int) -> str:
    """Tell the compute capability of a GPU, such as "8.6"."""
    attribute = _runtime().cudaDeviceAttr
    major = _call("cudaDeviceGetAttribute", attribute.cudaDevAttrComputeCapabilityMajor, gpu)
    minor = _call("cudaDeviceGetAttribute", attribute.cudaDevAttrComputeCapabilityMinor, gpu)
    return f"{major}.{minor}"


def use(gpu: int) -> None:
    """Have the calls of this thread mean a GPU from now on."""
    _call("cudaSetDevice", gpu)


class Memory(Protocol):
    """What a stream copies from and to.

    Attributes:
        address: where it begins.
    """

    address: int


class DeviceMemory:
    """Memory of the GPU that is in use."""

    def __init__(self) -> None:
        self.address = 0
        self._size = 0

    def grow(self, size: int) -> int:
        """See that there are `size` bytes, and at least one, and give the address; what was in it is lost if it must grow."""
        if size > self._size or not self.address:
            self.close()
            self.address = int(_call("cudaMalloc", max(size, 1)))
            self._size = size
        return self.address

    def close(self) -> None:
        """Give the memory back. Idempotent."""
        if self.address:
            _call("cudaFree", self.address)
        self.address = self._size = 0


class PinnedMemory:
    """Memory of this machine that the GPU reads and writes by itself."""

    def __init__(self) -> None:
        self.address = 0
        self._size = 0

    def grow(self, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """See that there are `size` bytes, and show them; what was in them is lost if it must grow."""
        if size > self._size or not self.address:
            self.close()
            self.address = int(_call("cudaHostAlloc", max(size, 1), _runtime().cudaHostAllocDefault))
            self._size = size
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.address))

    def close(self) -> None:
        """Give the memory back. Idempotent."""
        if self.address:
            _call("cudaFreeHost", self.address)
        self.address = self._size = 0


class Stream:
    """A queue of work for a GPU, beside the queues of other instances.

    Args:
        gpu: the GPU's number.
    """

    def __init__(self, gpu: int) -> None:
        self.gpu = gpu
        use(gpu)
        self._stream = _call("cudaStreamCreateWithFlags", _runtime().cudaStreamNonBlocking)

    @property
    def handle(self) -> int:
        """What TensorRT knows it by."""
        return int(self._stream)

    def upload(self, source: PinnedMemory, target: DeviceMemory, size: int) -> None:
        """Queue a copy to the GPU."""
        self._copy(target, source, size, _runtime().cudaMemcpyKind.cudaMemcpyHostToDevice)

    def download(self, source: DeviceMemory, target: PinnedMemory, size: int) -> None:
        """Queue a copy from the GPU."""
        self._copy(target, source, size, _runtime().cudaMemcpyKind.cudaMemcpyDeviceToHost)

    def _copy(self, target: Memory, source: Memory, size: int, kind: Any) -> None:
        if size:
            _call("cudaMemcpyAsync", target.address, source.address, size, kind, self._stream)

    def wait(self) -> None:
        """Wait until all that was queued is done."""
        _call("cudaStreamSynchronize", self._stream)

    def close(self) -> None:
        """Let the stream go, when its work is done."""
        use(self.gpu)
        _call("cudaStreamDestroy", self._stream)
