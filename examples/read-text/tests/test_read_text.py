"""The sample reads what is written, through its own script and through clients that know nothing of it."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from PIL import Image, ImageDraw, ImageFont
from tritonclient.utils import InferenceServerException

SAMPLE = Path(__file__).parents[1]
SIGN = (SAMPLE / "sign.png").read_bytes()
LINES = ["Hello inference server 42", "Charonia tritonis", "50cm", "Open from 9 to 17"]


def drawn(*lines, size=(700, 160), kind="PNG"):
    """Draw a picture of some lines, each as (text, left, top, height)."""
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for text, left, top, height in lines:
        pen.text((left, top), text, font=ImageFont.load_default(height), fill="black")
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def asked(client_module, address, picture):
    """Ask through a client; gives its answer."""
    tensor = client_module.InferInput("PICTURE", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([picture], np.object_))
    with client_module.InferenceServerClient(address) as client:
        return client.infer("read_text", [tensor])


@pytest.mark.parametrize("client", [triton_http, triton_grpc])
def test_one_request_with_a_picture_is_answered_with_its_text(addresses, client):
    """The lines come in the order of reading, each with how sure the net is and where it stands."""
    answer = asked(client, addresses["http" if client is triton_http else "grpc"], SIGN)
    assert [line.decode() for line in answer.as_numpy("TEXT")] == LINES
    assert (answer.as_numpy("CONFIDENCE") > 0.9).all()
    left, top, right, bottom = answer.as_numpy("BOXES").T
    assert ((left < right) & (top < bottom)).all()
    assert top[1] < bottom[2]  # side by side
    assert right[1] < left[2]


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP"])
def test_any_usual_format_is_read(addresses, kind):
    """The bytes are decoded on the server, whatever their format."""
    answer = asked(triton_grpc, addresses["grpc"], drawn(("The triton trumpet", 40, 50, 44), kind=kind))
    assert answer.as_numpy("TEXT").tolist() == [b"The triton trumpet"]


@pytest.mark.parametrize("size", [(40, 30), (700, 160), (3000, 200)])
def test_a_picture_without_text_has_none(addresses, size):
    """The answer has no lines, and is no error."""
    answer = asked(triton_grpc, addresses["grpc"], drawn(size=size))
    assert answer.as_numpy("TEXT").tolist() == []
    assert answer.as_numpy("CONFIDENCE").shape == (0,)
    assert answer.as_numpy("BOXES").shape == (0, 4)


@pytest.mark.parametrize(
    ("content", "message"), [(b"no picture", "no format that Pillow reads"), (SIGN[:900], "broken")]
)
def test_what_is_no_picture_is_refused_with_the_step(addresses, content, message):
    """The error says what is wrong and which step says so."""
    with pytest.raises(InferenceServerException, match=f"{message}.*step 0, model 'decode'") as caught:
        asked(triton_grpc, addresses["grpc"], content)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_the_samples_own_script_tells_the_lines(addresses):
    """`ask.py` needs nothing but an address and a picture."""
    words = [sys.executable, SAMPLE / "ask.py", f"--url=http://{addresses['http']}", SAMPLE / "sign.png"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert [line.rpartition("  (")[0] for line in told.splitlines()] == LINES
    refused = subprocess.run([*words[:3], __file__], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "no format that Pillow reads" in refused.stderr


@pytest.fixture(scope="module")
def cutting():
    """The program that cuts lines out, by itself."""
    path = SAMPLE / "model_repository" / "cut_lines" / "1" / "model.py"
    spec = importlib.util.spec_from_file_location("cut_lines_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["....", "....", "...."], []),
        (["##..", "##..", "...#"], [(0, 2, 0, 2), (2, 3, 3, 4)]),
        (["#.#.", "#.#.", "###."], [(0, 3, 0, 3)]),
        (["#.#.#", "#.###", "###.."], [(0, 3, 0, 5)]),
        (["#.#", ".#.", "#.#"], [(0, 1, 0, 1), (0, 1, 2, 3), (1, 2, 1, 2), (2, 3, 0, 1), (2, 3, 2, 3)]),
    ],
)
def test_patches_are_what_hangs_together(cutting, rows, expected):
    """Runs of neighbouring rows that touch are one patch, however they branch and meet again; corners do not touch."""
    marked = np.array([[dot == "#" for dot in row] for row in rows])
    found = sorted((y.start, y.stop, x.start, x.stop) for y, x in cutting.patches(marked))
    assert found == expected
