"""What traces tell of tensors: their elements as text."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest
from charonia.options import ServerOptions
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia.trace_settings import TraceSetting


@pytest.mark.parametrize(
    ("datatype", "array", "told"),
    [
        ("BOOL", np.array([True, False]), "1,0"),
        ("INT8", np.array([-1, 65], np.int8), "-1,65"),
        ("UINT64", np.array([2**64 - 1], np.uint64), "18446744073709551615"),
        ("FP16", np.array([0.1, np.inf], np.float16), "0.0999756,inf"),
        ("BF16", np.array([1.5, np.nan], ml_dtypes.bfloat16), "1.5,nan"),
        ("FP64", np.array([123456789.123]), "1.23457e+08"),
        ("BYTES", np.array([b"a,b", b"", "\u00e9".encode()], np.object_), '"a,b","","\u00e9"'),
        ("BYTES", np.array([b'"\n', b"\xff\x00"], np.object_), r'"\"\n","\\xff\u0000"'),
        ("FP32", np.zeros(0, np.float32), ""),
    ],
)
def test_elements_are_written_as_the_reference_writes_them(server, model_repository, tmp_path, datatype, array, told):
    """Truth values are 1 and 0, numbers have six digits at most, and strings have quotes around them."""
    tensors = {"inputs": [("X", datatype, [-1])], "outputs": [("Y", datatype, [-1])]}
    write_model(model_repository, model_config("m", max_batch_size=0, **tensors))
    path = tmp_path / "trace.json"
    options = ServerOptions(trace=TraceSetting(level=("TENSORS",), rate=1, file=str(path)))
    running = server(model_repository, options=options, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]))
    running.model("m").infer({"X": array})
    running.close()
    tensors = [record["tensor"] for record in json.loads(path.read_text())]
    assert [(tensor["name"], tensor["data"], tensor["dtype"]) for tensor in tensors] == [
        ("X", told, datatype),
        ("Y", told, datatype),
    ]
