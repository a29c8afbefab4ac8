"""From an engine's answers to tensors: a stand-in for the engine, which only a GPU gives, with the library's real enums."""

from __future__ import annotations

import pytest
from charonia.datatypes import DataType
from charonia.errors import UnsupportedError
from charonia_backend_tensorrt.layout import LINEAR, layout_of
from charonia_backend_tensorrt.library import Library
from charonia_backend_tensorrt.tensors import EngineTensor, Span, graph_of, read_tensors

TRT = Library.RTX.module


class StandInEngine:
    """Answers as `ICudaEngine` does, from a table: name → (mode, datatype, shape, location, format, spans)."""

    def __init__(self, table, profiles=1):
        self._table = table
        self.num_io_tensors = len(table)
        self.num_optimization_profiles = profiles

    def get_tensor_name(self, index):
        return list(self._table)[index]

    def get_tensor_mode(self, name):
        return getattr(TRT.TensorIOMode, self._table[name][0])

    def get_tensor_dtype(self, name):
        return getattr(TRT.DataType, self._table[name][1])

    def get_tensor_shape(self, name):
        return TRT.Dims(self._table[name][2])

    def get_tensor_location(self, name):
        return getattr(TRT.TensorLocation, self._table[name][3])

    def get_tensor_format(self, name):
        return getattr(TRT.TensorFormat, self._table[name][4])

    def get_tensor_profile_shape(self, name, profile):
        return [TRT.Dims(shape) for shape in self._table[name][5][profile]]


def test_tensors_are_read():
    """Inputs with their profiles, a shape tensor on the host, an output in another order of elements."""
    spans = [((1, 3), (4, 3), (8, 3)), ((8, 3), (16, 3), (32, 3))]
    table = {
        "x": ("INPUT", "FLOAT", (-1, 3), "DEVICE", "LINEAR", spans),
        "s": ("INPUT", "INT64", (2,), "HOST", "LINEAR", None),
        "y": ("OUTPUT", "HALF", (-1, 8, 4, 4), "DEVICE", "HWC8", None),
    }
    tensors = read_tensors(TRT, StandInEngine(table, 2))
    assert tensors == [
        EngineTensor("x", True, DataType.FP32, (-1, 3), spans=tuple(Span(*span) for span in spans)),
        EngineTensor("s", True, DataType.INT64, (2,), True, LINEAR),
        EngineTensor("y", False, DataType.FP16, (-1, 8, 4, 4), False, layout_of("y", "HWC8")),
    ]
    graph = graph_of(tensors)
    assert [(each.name, each.shape) for each in graph.inputs] == [("x", (-1, 3)), ("s", (2,))]
    assert [(each.name, each.datatype) for each in graph.outputs] == [("y", DataType.FP16)]


@pytest.mark.parametrize("dtype", ["FLOAT", "HALF", "BF16", "INT8", "UINT8", "INT32", "INT64", "BOOL"])
def test_every_datatype_of_the_protocol_is_served(dtype):
    """An element is as large for us as for the library."""
    (tensor,) = read_tensors(TRT, StandInEngine({"y": ("OUTPUT", dtype, (1,), "DEVICE", "LINEAR", None)}))
    assert tensor.datatype.size == getattr(TRT.DataType, dtype).itemsize


@pytest.mark.parametrize("dtype", ["FP8", "INT4", "FP4", "E8M0"])
def test_other_datatypes_are_refused(dtype):
    """The text names the tensor and the type."""
    with pytest.raises(UnsupportedError, match=f"output 'y' of the engine has type {dtype}.*cast it"):
        read_tensors(TRT, StandInEngine({"y": ("OUTPUT", dtype, (1,), "DEVICE", "LINEAR", None)}))
