"""Trained nets that their makers give in two forms: the answers are equal, over HTTP, over gRPC and in process.

The nets are files of packages that are installed where the tests run; none is part of this repository.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from asking import WAYS_OF_ASKING, Served, addresses_of, frontends
from charonia import Server

CHUNK = 512
CONTEXT = 64
RATE = 16_000

TORCHSCRIPT = """
    backend: "pytorch"
    input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 512 ] }, { name: "sr" data_type: TYPE_INT64 dims: [ 1 ] } ]
    output [ { name: "speech" data_type: TYPE_FP32 dims: [ -1, 1 ] } ]
"""


@pytest.fixture(params=WAYS_OF_ASKING)
def way(request):
    return request.param


@pytest.fixture
def detectors(tmp_path, way):
    """Serve the two forms of a net that finds speech in sound. TorchScript keeps its state by itself, ONNX gives it back."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None:
        pytest.skip("needs the files of the distribution silero-vad: pip install --no-deps silero-vad")
    data = Path(spec.origin).parent / "data"
    for name, file, made_from in (
        ("torchscript", "model.pt", "silero_vad.jit"),
        ("onnx", "model.onnx", "silero_vad.onnx"),
    ):
        (tmp_path / name / "1").mkdir(parents=True)
        shutil.copy(data / made_from, tmp_path / name / "1" / file)
    (tmp_path / "torchscript" / "config.pbtxt").write_text(TORCHSCRIPT)
    with Server(tmp_path) as server, frontends(server) as urls:
        yield Served(server, way, addresses_of(urls))


@pytest.fixture
def transcribers(tmp_path, way):
    """Serve the two forms of a net that finds notes in music. Neither needs a configuration."""
    spec = importlib.util.find_spec("basic_pitch")
    if spec is None:
        pytest.skip("needs the files of the distribution basic-pitch: pip install --no-deps basic-pitch")
    data = Path(spec.origin).parent / "saved_models" / "icassp_2022"
    for name in ("onnx", "tensorflow"):
        (tmp_path / name / "1").mkdir(parents=True)
    shutil.copy(data / "nmp.onnx", tmp_path / "onnx" / "1" / "model.onnx")
    shutil.copytree(data / "nmp", tmp_path / "tensorflow" / "1" / "model.savedmodel")
    with Server(tmp_path) as server, frontends(server) as urls:
        yield Served(server, way, addresses_of(urls))


def sound(batch):
    """Make two seconds of something between a hum and noise, as [chunks, batch, CHUNK]."""
    time = np.arange(62 * CHUNK) / RATE
    tones = sum(np.sin(2 * np.pi * 120 * harmonic * time) / harmonic for harmonic in range(1, 12))
    syllables = np.maximum(np.sin(2 * np.pi * 3 * time), 0)
    voices = [tones * syllables * (index + 1) / batch for index in range(batch)]
    noise = np.random.default_rng(1).normal(scale=0.01, size=(batch, len(time)))
    return (np.array(voices) * 0.3 + noise).astype(np.float32).reshape(batch, -1, CHUNK).swapaxes(0, 1)


@pytest.mark.parametrize("batch", [1, 3])
def test_speech_is_found_by_both_forms(detectors, batch):
    """Chunk after chunk, the TorchScript with its own state and the ONNX model with the one handed back agree."""
    rate = np.array([RATE])
    state = np.zeros((2, batch, 128), np.float32)
    context = np.zeros((batch, CONTEXT), np.float32)
    found = []
    for chunk in sound(batch):
        answer = detectors.ask("onnx", {"input": np.concatenate([context, chunk], axis=1), "state": state, "sr": rate})
        state, context = answer["stateN"], chunk[:, -CONTEXT:]
        speech = detectors.ask("torchscript", {"x": chunk, "sr": rate})["speech"]
        np.testing.assert_allclose(speech, answer["output"], atol=1e-4)
        found.append(speech)
    assert np.ptp(found) > 0.1, "the sound must tell the two forms apart"


@pytest.mark.parametrize("batch", [1, 2])
def test_notes_are_found_by_both_forms(transcribers, batch):
    """The SavedModel and the ONNX model, whose tensors have other names, give the same three maps of notes."""
    source, other = (transcribers.server.model_metadata(form).inputs[0] for form in ("onnx", "tensorflow"))
    window = source.shape[1]
    music = sound(batch).swapaxes(0, 1).reshape(batch, -1)
    music = np.tile(music, (1, window // music.shape[1] + 1))[:, :window, np.newaxis]
    expected = transcribers.ask("onnx", {source.name: music})
    answer = transcribers.ask("tensorflow", {other.name: music})
    by_width = [sorted(each.values(), key=lambda array: (array.shape[2], array.sum())) for each in (answer, expected)]
    for found, wanted in zip(*by_width, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        assert np.ptp(found) > 0.1, "the music must tell the two forms apart"
