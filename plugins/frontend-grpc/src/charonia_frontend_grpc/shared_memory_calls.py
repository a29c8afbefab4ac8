"""The calls of shared memory: register, unregister and status, for the system's memory and for that of GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_protos import grpc_service_pb2 as pb

if TYPE_CHECKING:
    from charonia.shared_memory import SharedMemory

__all__ = ["SharedMemoryCalls"]


class SharedMemoryCalls:
    """Answers the calls of shared memory.

    Args:
        shared_memory: the server's regions.
    """

    def __init__(self, shared_memory: SharedMemory) -> None:
        self._memory = shared_memory

    async def system_status(self, message: pb.SystemSharedMemoryStatusRequest) -> pb.SystemSharedMemoryStatusResponse:
        """Tell about one region, or about all."""
        told = pb.SystemSharedMemoryStatusResponse()
        for region in self._memory.system_regions(message.name):
            entry = told.regions[region.name]
            entry.name, entry.key = region.name, region.key
            entry.offset, entry.byte_size = region.offset, region.byte_size
        return told

    async def system_register(
        self, message: pb.SystemSharedMemoryRegisterRequest
    ) -> pb.SystemSharedMemoryRegisterResponse:
        """Register a region of the system's memory."""
        self._memory.register_system(message.name, message.key, message.offset, message.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    async def system_unregister(
        self, message: pb.SystemSharedMemoryUnregisterRequest
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        """Forget one region, or all of the system's memory."""
        self._memory.unregister_system(message.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    async def cuda_status(self, message: pb.CudaSharedMemoryStatusRequest) -> pb.CudaSharedMemoryStatusResponse:
        """Tell that there is no region in the memory of a GPU."""
        self._memory.require_cuda_region(message.name)
        return pb.CudaSharedMemoryStatusResponse()

    async def cuda_register(self, message: pb.CudaSharedMemoryRegisterRequest) -> pb.CudaSharedMemoryRegisterResponse:
        """Refuse a region in the memory of a GPU."""
        self._memory.register_cuda(message.name)
        return pb.CudaSharedMemoryRegisterResponse()

    async def cuda_unregister(
        self, message: pb.CudaSharedMemoryUnregisterRequest
    ) -> pb.CudaSharedMemoryUnregisterResponse:
        """Forget nothing, which is no error: there is no region in the memory of a GPU."""
        self._memory.require_allowed()
        return pb.CudaSharedMemoryUnregisterResponse()
