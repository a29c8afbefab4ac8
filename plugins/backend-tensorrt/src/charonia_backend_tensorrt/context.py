"""Running an engine: the calls that need a GPU, in the order in which TensorRT wants them, and nothing else."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.errors import CharoniaError, InternalError, InvalidArgumentError, UnavailableError

from charonia_backend_tensorrt.cuda import DeviceMemory, PinnedMemory, use

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.tensor import Array

    from charonia_backend_tensorrt.cuda import Stream
    from charonia_backend_tensorrt.engine import Engine
    from charonia_backend_tensorrt.tensors import EngineTensor

__all__ = ["EngineContext"]


class Place:
    """Where a tensor lies: in pinned memory, and on the GPU where the engine wants it there."""

    def __init__(self, tensor: EngineTensor) -> None:
        self.tensor = tensor
        self.pinned = PinnedMemory()
        self.device = DeviceMemory()

    def put(self, array: Array, stream: Stream) -> int:
        """Bring an input to where the engine reads it, by the stream, and give the address."""
        packed = np.ascontiguousarray(self.tensor.layout.pack(array))
        self.pinned.grow(packed.nbytes)[:] = packed.reshape(-1).view(np.uint8)
        if self.tensor.on_host:
            return self.pinned.address
        address = self.device.grow(packed.nbytes)
        stream.upload(self.pinned, self.device, packed.nbytes)
        return address

    def size(self, shape: tuple[int, ...]) -> int:
        """Tell how many bytes a tensor of this shape takes here."""
        return math.prod(self.tensor.layout.packed_shape(shape)) * self.tensor.datatype.dtype.itemsize

    def get(self, shape: tuple[int, ...]) -> Array:
        """Copy an output out of the pinned memory."""
        raw = self.pinned.grow(self.size(shape)).copy()
        packed = raw.view(self.tensor.datatype.dtype).reshape(self.tensor.layout.packed_shape(shape))
        return np.ascontiguousarray(self.tensor.layout.unpack(packed, shape))

    def close(self) -> None:
        """Give the memory back."""
        self.pinned.close()
        self.device.close()


class EngineContext:
    """One profile of an engine, with the memory of its inputs and outputs. Used by one thread at a time.

    The GPU writes an output as far as its shape, which may depend on the data, turns out to need; hence the memory of outputs is
    given when TensorRT asks for it.

    Args:
        engine: the engine.
        profile: the number of the profile.
        strategy: when memory for the execution itself is taken: the name of one of the library's own strategies.
        stream: where the work is queued.

    Raises:
        UnavailableError: the GPU has not enough memory.
    """

    def __init__(self, engine: Engine, profile: int, strategy: str, stream: Stream) -> None:
        module = engine.library.module
        self._library = engine.library
        self._stream = stream
        self._inputs = {tensor.name: Place(tensor) for tensor in engine.tensors if tensor.is_input}
        self._outputs = {tensor.name: Place(tensor) for tensor in engine.tensors if not tensor.is_input}
        self._allocator = _allocator_class(module)({name: place.device for name, place in self._outputs.items()})
        use(engine.gpu)
        with self._library.complaints() as complaints:
            self._context = engine.handle.create_execution_context(
                getattr(module.ExecutionContextAllocationStrategy, strategy)
            )
            chosen = self._context is not None and self._context.set_optimization_profile_async(profile, stream.handle)
        if not chosen:
            raise UnavailableError(
                f"{self._library} cannot make an execution context for profile {profile}: {'; '.join(complaints)}"
            )
        stream.wait()
        for name, place in self._outputs.items():
            if not place.tensor.on_host:
                self._context.set_output_allocator(name, self._allocator)

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Execute once.

        Args:
            arrays: all inputs, contiguous, in shapes that the profile allows.

        Returns:
            All outputs.

        Raises:
            InvalidArgumentError: TensorRT refuses the inputs.
            UnavailableError: the GPU has not enough memory.
            InternalError: the execution failed.
        """
        use(self._stream.gpu)
        self._allocator.shapes.clear()
        with self._library.complaints() as complaints:
            if not self._bind(arrays, complaints):
                raise InvalidArgumentError(f"{self._library} refuses the inputs: {'; '.join(complaints)}")
            done = self._context.execute_async_v3(self._stream.handle)
            if self._allocator.failure is not None:
                raise self._allocator.take_failure()
            if not done:
                raise InternalError(f"{self._library} failed: {'; '.join(complaints)}")
        return self._fetch()

    def _bind(self, arrays: Mapping[str, Array], complaints: list[str]) -> bool:
        """Tell TensorRT where the inputs are, and where those outputs shall be that the machine's memory takes."""
        context = self._context
        for name, place in self._inputs.items():
            if not context.set_input_shape(name, arrays[name].shape):
                return False
            context.set_tensor_address(name, place.put(arrays[name], self._stream))
        try:
            unknown = context.infer_shapes()
        except RuntimeError as error:
            unknown = [str(error)]
        complaints += unknown
        if unknown:
            return False
        for name, place in self._outputs.items():
            if place.tensor.on_host:
                place.pinned.grow(place.size(tuple(context.get_tensor_shape(name))))
                context.set_tensor_address(name, place.pinned.address)
        return True

    def _fetch(self) -> dict[str, Array]:
        shapes: dict[str, tuple[int, ...]] = {}
        for name, place in self._outputs.items():
            shapes[name] = self._allocator.shapes.get(name) or tuple(self._context.get_tensor_shape(name))
            if not place.tensor.on_host:
                size = place.size(shapes[name])
                place.pinned.grow(size)
                self._stream.download(place.device, place.pinned, size)
        self._stream.wait()
        return {name: place.get(shapes[name]) for name, place in self._outputs.items()}

    def close(self) -> None:
        """Let the context and its memory go."""
        self._context = None
        for place in (*self._inputs.values(), *self._outputs.values()):
            place.close()


@functools.cache
def _allocator_class(module: Any) -> Any:
    class OutputAllocator(module.IOutputAllocator):  # type: ignore[misc]  # a class of a module without types
        """Gives the outputs memory of the GPU, and takes note of their shapes. Called by TensorRT, within an execution.

        Attributes:
            shapes: those of the latest execution.
            failure: why there was no memory, or None.
        """

        def __init__(self, memories: Mapping[str, DeviceMemory]) -> None:
            module.IOutputAllocator.__init__(self)  # as the library asks for, instead of super()
            self._memories = memories
            self.shapes: dict[str, tuple[int, ...]] = {}
            self.failure: CharoniaError | None = None

        def reallocate_output_async(self, name: str, memory: int, size: int, alignment: int, stream: int) -> int:
            """Give the address of `size` bytes; 0 where there are none. What CUDA gives is aligned for everything."""
            try:
                return self._memories[name].grow(size)
            except CharoniaError as error:  # a border: an exception would get lost in TensorRT
                self.failure = error
                return 0

        def reallocate_output(self, name: str, memory: int, size: int, alignment: int) -> int:
            """Do the same, for versions of TensorRT that ask so."""
            return self.reallocate_output_async(name, memory, size, alignment, 0)

        def notify_shape(self, name: str, shape: Any) -> None:
            """Take note of an output's shape."""
            self.shapes[name] = tuple(shape)

        def take_failure(self) -> CharoniaError | None:
            """Give the failure, and forget it."""
            failure, self.failure = self.failure, None
            return failure

    return OutputAllocator
