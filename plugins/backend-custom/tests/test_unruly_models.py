"""Models in processes that do what nobody expects of them: whatever that is, the server lives, tells, and starts them again."""

from __future__ import annotations

import pytest
from charonia.errors import UnavailableError
from models_apart import APART

LARGE = {"inputs": [("X", "INT32", [-1])], "outputs": [("Y", "INT32", [-1])]}

UNRULY = """
import os, signal, sys

class TritonPythonModel:
    def execute(self, requests):
        (request,) = requests
        x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
        y = x
        if x[0] < 0:
            {deed}
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)])]

    def say(self, content):
        for descriptor in range(3, 64):
            if "socket" in os.path.realpath(f"/proc/self/fd/{{descriptor}}"):
                os.write(descriptor, content)
        threading.Event().wait(60)
"""


def unruly(deed):
    """Write a model that answers with its input, unless it is negative."""
    return UNRULY.format(deed="; ".join(deed))


@pytest.mark.parametrize(
    "deed",
    [
        ["os.closerange(3, 256)"],
        ["os.closerange(0, 256)"],
        ["os.closerange(3, 256)", "self.files = [open('/dev/zero', 'r+b') for _ in range(64)]"],
        ["self.say(b'nonsense' * 9)"],
        ["self.say(bytes(99))"],
        ["self.say(bytes([3]) + bytes(8) + b'abc')"],
        ["os._exit(0)"],
        ["import faulthandler", "faulthandler._sigsegv()"],
        ["os.abort()"],
    ],
    ids=[
        "closes",
        "closes all",
        "opens others",
        "writes nonsense",
        "writes zeros",
        "writes a frame",
        "ends well",
        "falls",
        "aborts",
    ],
)
def test_what_breaks_the_line_ends_the_process(serve, deed):
    """Whatever a model does to its line, its request fails, and the next process answers as if nothing had been."""
    handle = serve(unruly(deed), **APART)
    assert handle.infer({"X": [1]})["Y"].tolist() == [1]
    with pytest.raises(UnavailableError, match="the process of model instance 'm_0'"):
        handle.infer({"X": [-1]})
    for number in range(3):
        assert handle.infer({"X": [number]})["Y"].tolist() == [number]
