"""A trained recurrent net that finds voices, with its state at the server: many streams at once are answered as each alone."""

from __future__ import annotations

import importlib.util
import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc
from charonia import Server
from charonia.serving import serve_in_thread

CONFIG = """
backend: "onnxruntime"
input [ { name: "input" data_type: TYPE_FP32 dims: [ 1, 576 ] }, { name: "sr" data_type: TYPE_INT64 dims: [ 1 ] } ]
output [ { name: "output" data_type: TYPE_FP32 dims: [ 1, 1 ] } ]
instance_group [ { kind: KIND_CPU count: 2 } ]
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  oldest { max_candidate_sequences: 2 }
  state [
    {
      input_name: "state" output_name: "stateN" data_type: TYPE_FP32 dims: [ 2, 1, 128 ]
      initial_state [ { name: "silence" data_type: TYPE_FP32 dims: [ 2, 1, 128 ] zero_data: true } ]
    }
  ]
}
"""
RATE = 16_000
WINDOW = 512
CONTEXT = 64
SPEAKERS = 6
"""More than the model has slots for, so that some of them wait."""

PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def net():
    """Give the file of the net, or tell what is missing."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or spec.origin is None:
        pytest.skip("needs the files of the distribution silero-vad: pip install --no-deps silero-vad")
    return Path(spec.origin).parent / "data" / "silero_vad.onnx"


@pytest.fixture
def address(net, tmp_path):
    """Serve the net over gRPC."""
    version = tmp_path / "voice" / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    (version / "model.onnx").write_bytes(net.read_bytes())
    with Server(tmp_path) as server, serve_in_thread(server, {"grpc-port": 0, "allow-http": False}) as (url,):
        yield url.removeprefix("grpc://")


def windows_of(speaker):
    """Make the windows of a sound that has harmonics of a voice's pitch now and then; each has the end of the one before."""
    seconds = np.arange(RATE * 2) / RATE
    pitch = 110 * (1 + speaker / 8)
    tone = sum(np.sin(2 * np.pi * pitch * harmonic * seconds) / harmonic for harmonic in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * (2 + speaker / 4) * seconds), 0, 1)
    noise = np.random.default_rng(speaker).normal(scale=0.003, size=seconds.size)
    sound = np.concatenate([np.zeros(CONTEXT), 0.2 * tone * syllables + noise]).astype(np.float32)
    return [sound[None, start : start + CONTEXT + WINDOW] for start in range(0, len(sound) - CONTEXT - WINDOW, WINDOW)]


def alone(net, windows):
    """Give the net's answers where nobody else is there, and nothing between it and the caller."""
    session = onnxruntime.InferenceSession(net, providers=["CPUExecutionProvider"])
    state = np.zeros((2, 1, 128), np.float32)
    answers = []
    for window in windows:
        output, state = session.run(["output", "stateN"], {"input": window, "state": state, "sr": np.array(RATE)})
        answers.append(output.item())
    return answers


def streamed(address, speaker, windows):
    """Send the windows as one sequence over a stream of its own, and give the answers."""
    answers = queue.SimpleQueue()
    with tritonclient.grpc.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for place, window in enumerate(windows):
            sound = tritonclient.grpc.InferInput("input", window.shape, "FP32")
            sound.set_data_from_numpy(window)
            rate = tritonclient.grpc.InferInput("sr", [1], "INT64")
            rate.set_data_from_numpy(np.array([RATE]))
            client.async_stream_infer(
                "voice",
                [sound, rate],
                sequence_id=f"speaker {speaker}" if speaker % 2 else speaker + 1,
                sequence_start=place == 0,
                sequence_end=place == len(windows) - 1,
            )
        told = [answers.get(timeout=PATIENCE_SECONDS) for _ in windows]
        client.stop_stream()
    assert [error for _, error in told if error is not None] == []
    return [result.as_numpy("output").item() for result, _ in told]


def test_many_speakers_at_once(net, address):
    """Each stream has the answers that the net gives to it alone, in their order, whoever else is there."""
    sounds = [windows_of(speaker) for speaker in range(SPEAKERS)]
    with ThreadPoolExecutor(SPEAKERS) as speakers:
        told = list(speakers.map(lambda speaker: streamed(address, speaker, sounds[speaker]), range(SPEAKERS)))
    expected = [alone(net, sound) for sound in sounds]
    np.testing.assert_allclose(told, expected, rtol=1e-5, atol=1e-6)
    assert len({tuple(np.round(answers, 4)) for answers in expected}) == SPEAKERS
