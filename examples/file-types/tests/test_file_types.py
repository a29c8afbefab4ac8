"""The sample gives right answers, through its own script and through clients that know nothing of it."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
import tarfile
import zipfile
import zlib

import ask
import numpy as np
import prepare
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from features import PADDING, features

SAMPLE = prepare.HERE

PYTHON = (SAMPLE / "ask.py").read_bytes()
MARKDOWN = (SAMPLE / "README.md").read_bytes()
HTML = b"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Shells</title><link rel="stylesheet" href="shells.css"></head>
<body><h1>Shells of the sea</h1><p>The <em>triton's trumpet</em> is a large sea snail.</p><ul><li>one</li></ul></body>
</html>
"""
JSON = json.dumps({"shells": [{"name": "triton", "size": 50, "rare": True}] * 9, "seas": ["south", "east"]}, indent=2)


def png() -> bytes:
    """A picture of 64 by 64 grey dots."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    header = (64).to_bytes(4) + (64).to_bytes(4) + bytes([8, 0, 0, 0, 0])
    rows = b"".join(b"\0" + bytes((3 * x * y) % 256 for x in range(64)) for y in range(64))
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zip_archive() -> bytes:
    """An archive with two files in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.txt", "one " * 300)
        archive.writestr("two.txt", "two " * 300)
    return file.getvalue()


def tar_archive() -> bytes:
    """An archive of the other kind."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.add(SAMPLE / "ask.py", "ask.py")
    return file.getvalue()


KNOWN = {
    "python": PYTHON,
    "markdown": MARKDOWN,
    "html": HTML,
    "json": JSON.encode(),
    "png": png(),
    "zip": zip_archive(),
    "tar": tar_archive(),
    "makefile": (SAMPLE.parents[1] / "Makefile").read_bytes(),
}


def request(contents: list[bytes], *, binary: bool, client=triton):
    """Make a client's input and wish."""
    rows = np.stack([features(content) for content in contents])
    tensor = client.InferInput("bytes", list(rows.shape), "INT32")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return [tensor], [client.InferRequestedOutput("target_label", binary_data=binary)]


@pytest.mark.parametrize("label", KNOWN)
def test_each_kind_of_file_is_known(url, label):
    """A file is taken for what it is, and with some confidence."""
    answer = ask.ask(url, [KNOWN[label]])[0]
    assert answer.label == label
    assert answer.confidence > ask.LIKELY


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
def test_the_blocking_client(url, binary):
    """The blocking client of tritonclient gets right answers for a batch, in JSON and in binary."""
    inputs, outputs = request(list(KNOWN.values()), binary=binary)
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        scores = client.infer("file_types", inputs, outputs=outputs).as_numpy("target_label")
    assert [answer.label for answer in ask.read(scores)] == list(KNOWN)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-4)


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
async def test_the_asyncio_client(url, binary):
    """The asyncio client of tritonclient gets right answers, in JSON and in binary."""
    inputs, outputs = request([PYTHON, KNOWN["png"]], binary=binary, client=triton_aio)
    async with triton_aio.InferenceServerClient(url.removeprefix("http://")) as client:
        answer = await client.infer("file_types", inputs, outputs=outputs)
    assert [answer.label for answer in ask.read(answer.as_numpy("target_label"))] == ["python", "png"]


def test_features_are_padded_between_the_ends():
    """A short file stands at both ends of the row, and padding in the middle."""
    row = features(b"  abc \n")
    assert row[:5].tolist() == [*b"abc \n"]
    assert row[-5:].tolist() == [*b"  abc"]
    assert set(row[5:-5].tolist()) == {PADDING}


def test_features_of_a_long_file_are_its_two_ends():
    """Of a long file the model sees 1024 bytes of either end, looked for within 4096."""
    row = features(b" " * 4000 + b"a" * 5000 + b"z" * 3000 + b"\n" * 10)
    assert row[:97].tolist() == [*b"a" * 96, PADDING]
    assert row[1024:].tolist() == [*b"z" * 1024]


def test_no_byte_is_invented_for_an_empty_file():
    """An empty file is nothing but padding."""
    assert set(features(b"").tolist()) == {PADDING}


def test_preparing_again_fetches_nothing(prepared, monkeypatch, capsys):
    """Once the model is there, preparing looks at it and is done."""
    monkeypatch.setattr(prepare, "fetch", None)
    prepare.main()
    assert capsys.readouterr().out.startswith("the file-type model is here already")


@pytest.mark.parametrize("found", ["another package", "nothing"])
def test_a_package_that_cannot_be_had(tmp_path, monkeypatch, capfd, found):
    """Where there is no package, or another than the expected one, pip and the sample say so, and nothing is put into place."""
    if found == "another package":
        with zipfile.ZipFile(tmp_path / "magika-1.0.3-py3-none-manylinux_2_28_x86_64.whl", "w") as wheel:
            wheel.writestr("magika/models/standard_v3_3/model.onnx", b"something else")
    monkeypatch.setattr(prepare, "DOWNLOAD", tmp_path / "download")
    monkeypatch.setattr(prepare, "MODEL", tmp_path / "1" / "model.onnx")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(
        SystemExit, match=r"prepare: the model could not be fetched, as pip says above: check the network"
    ):
        prepare.main()
    assert ("DO NOT MATCH THE HASHES" if found == "another package" else "magika==1.0.3") in capfd.readouterr().err
    assert not (tmp_path / "1" / "model.onnx").exists()


def test_asking_nobody(capsys):
    """A script that reaches no server says so, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer there
        port = taken.getsockname()[1]
        assert ask.main([str(SAMPLE / "ask.py"), "--url", f"http://127.0.0.1:{port}"]) == 1
    assert "make serve" in capsys.readouterr().err


def test_the_demo_asks_once_and_stops(prepared):
    """The demo serves, tells what its own README is, and ends well."""
    command = [sys.executable, SAMPLE / "demo.py", "--once"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "README.md is: Markdown document (markdown), " in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_demo_goes_on_until_it_is_told(prepared, number):
    """Without --once the demo serves until a signal, and then ends well, its server with it."""
    with subprocess.Popen([sys.executable, SAMPLE / "demo.py"], stdout=subprocess.PIPE, text=True) as demo:
        said = ""
        for line in demo.stdout:
            said += line
            if "by hand" in line:
                break
        url = next(word for word in said.split() if word.startswith("http://127.0.0.1:")).partition("/v2")[0]
        assert ask.ask(url, [PYTHON])[0].label == "python"
        demo.send_signal(number)
        demo.communicate(timeout=60)
    assert demo.returncode == 0
    with pytest.raises(ask.AskError):
        ask.ask(url, [PYTHON])
