"""Running an engine, as far as that goes without a GPU: the calls are the libraries' own, and memory that lacks is told."""

from __future__ import annotations

import ast
import inspect

import pytest
from charonia.errors import UnavailableError
from charonia_backend_tensorrt import context, cuda
from charonia_backend_tensorrt.context import _allocator_class
from charonia_backend_tensorrt.library import Library
from cuda.bindings import runtime


def called_on(module, *names):
    """List the methods that a module's source calls on variables or attributes of these names."""
    nodes = ast.walk(ast.parse(inspect.getsource(module)))
    calls = [node.func for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return {call.attr for call in calls if getattr(call.value, "attr", getattr(call.value, "id", "")) in names}


def test_every_call_of_an_execution_context_is_the_librarys():
    """What is called on `IExecutionContext` and `ICudaEngine` is there in the installed library."""
    calls = called_on(context, "_context", "context")
    assert {"execute_async_v3", "set_input_shape", "infer_shapes", "set_output_allocator"} <= calls
    assert calls <= set(dir(Library.RTX.module.IExecutionContext))
    assert called_on(context, "handle") == {"create_execution_context"} <= set(dir(Library.RTX.module.ICudaEngine))


def test_every_call_of_cuda_is_the_librarys():
    """What is called by name is there in CUDA's Python interface."""
    nodes = ast.walk(ast.parse(inspect.getsource(cuda)))
    names = {
        node.args[0].value
        for node in nodes
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "_call"
        and isinstance(node.args[0], ast.Constant)
    }
    assert {"cudaMalloc", "cudaMemcpyAsync", "cudaStreamSynchronize"} <= names
    assert names <= set(dir(runtime))


def test_allocator_takes_note_of_shapes():
    """TensorRT tells an output's shape through the library's own interface."""
    allocator = _allocator_class(Library.RTX.module)({})
    assert isinstance(allocator, Library.RTX.module.IOutputAllocator)
    allocator.notify_shape("y", Library.RTX.module.Dims((3, 4)))
    assert allocator.shapes == {"y": (3, 4)}


@pytest.mark.skipif(bool(cuda.gpus()), reason="shows what happens without a GPU, and this machine has one")
def test_memory_that_lacks_is_told_once():
    """TensorRT gets no address, and whoever started the execution gets CUDA's error."""
    allocator = _allocator_class(Library.RTX.module)({"y": cuda.DeviceMemory()})
    assert allocator.reallocate_output_async("y", 0, 64, 256, 0) == 0
    assert isinstance(allocator.take_failure(), UnavailableError)
    assert allocator.take_failure() is None
