"""CUDA without a driver: what is missing is told, by the real CUDA runtime."""

from __future__ import annotations

import pytest
from charonia.errors import UnavailableError
from charonia_backend_tensorrt import cuda

pytestmark = pytest.mark.skipif(bool(cuda.gpus()), reason="shows what happens without a GPU, and this machine has one")


def test_there_are_no_gpus():
    """A machine without a driver has none, and that is no error."""
    assert list(cuda.gpus()) == []


def test_what_is_missing_is_told():
    """The text names what was not found, and what to do."""
    with pytest.raises(
        UnavailableError, match=r"TensorRT needs an NVIDIA GPU, and no NVIDIA driver was found: install"
    ):
        cuda.require_gpus()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: cuda.Stream(0), "cudaSetDevice"),
        (lambda: cuda.DeviceMemory().grow(8), "cudaMalloc"),
        (lambda: cuda.PinnedMemory().grow(8), "cudaHostAlloc"),
        (lambda: cuda.compute_capability(0), "cudaDeviceGetAttribute"),
    ],
    ids=["stream", "device", "pinned", "capability"],
)
def test_calls_fail_with_their_name_and_cudas_words(call, name):
    """Nothing goes on after a call that failed."""
    with pytest.raises(UnavailableError, match=rf"{name} failed: cudaErrorInsufficientDriver: CUDA driver version"):
        call()


def test_memory_that_was_never_taken_can_be_given_back():
    """Closing without a driver is no error, and neither is closing twice."""
    for memory in (cuda.DeviceMemory(), cuda.PinnedMemory()):
        memory.close()
        memory.close()
