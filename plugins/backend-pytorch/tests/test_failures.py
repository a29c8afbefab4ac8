"""What PyTorch says, worded for people."""

from __future__ import annotations

from pathlib import Path

import pytest
from charonia.errors import InternalError, InvalidArgumentError, UnsupportedError
from charonia_backend_pytorch.failures import load_failure, run_failure

TRACE = """The following operation failed in the TorchScript interpreter.
Traceback of TorchScript, serialized code (most recent call last):
  File "code/__torch__/net.py", line 12, in forward
    return torch.linear(input, weight, bias)
           ~~~~~~~~~~~~ <--- HERE
RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x5 and 3x2)
"""


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        (TRACE, InternalError, "mat1 and mat2 shapes cannot be multiplied (1x5 and 3x2)"),
        (
            "bad size\nException raised from meta at LinearAlgebra.cpp:194\nframe #0: c10::Error",
            InternalError,
            "bad size",
        ),
        ("Guard failed: x.size()[1] == 3", InvalidArgumentError, "Guard failed: x.size()[1] == 3"),
        ("", InternalError, "RuntimeError"),
    ],
    ids=["script", "c++", "guard", "silent"],
)
def test_caller_gets_the_sentence(text, kind, told):
    """Traces and places in sources stay out of the answer."""
    failure = run_failure(RuntimeError(text))
    assert type(failure) is kind
    assert str(failure) == f"PyTorch execute failure: {told}"


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (
            RuntimeError("PytorchStreamReader failed reading zip archive: not a ZIP"),
            InvalidArgumentError,
            "is damaged, or",
        ),
        (RuntimeError("Unknown builtin op: my::op"), UnsupportedError, "does not have: Unknown builtin op: my::op"),
        (RuntimeError("something else"), InvalidArgumentError, "cannot load 'model.pt': something else"),
        (UnsupportedError("already told"), UnsupportedError, "already told"),
    ],
    ids=["damaged", "operator", "other", "own"],
)
def test_reason_of_a_failed_load_says_what_to_do(error, kind, told):
    """Damaged files, missing operators and the rest are told apart, and an error of our own stays as it is."""
    failure = load_failure(Path("model.pt"), error)
    assert type(failure) is kind
    assert told in str(failure)
