"""A trained recurrent net that finds speech, with its state at the server: many streams at once are answered as each alone."""

from __future__ import annotations

import socket
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor

import listen
import numpy as np
import onnxruntime
import pytest
import sounds
from hypothesis import given
from hypothesis import strategies as st


def alone(sample, sound):
    """Give the net's answers where nobody else is there, and nothing between it and the caller."""
    net = sample / "model_repository" / "voice_activity" / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(net, providers=["CPUExecutionProvider"])
    state = np.zeros((2, 1, 128), np.float32)
    answers = []
    for window in listen.windows(sound):
        output, state = session.run(
            ["output", "stateN"], {"input": window, "state": state, "sr": np.array(sounds.RATE)}
        )
        answers.append(output.item())
    return answers


def write_wav(file, rows, rate, width=2):
    """Write a sound of shape [samples, channels]."""
    with wave.open(str(file), "wb") as content:
        content.setnchannels(rows.shape[1])
        content.setsampwidth(width)
        content.setframerate(rate)
        content.writeframes((rows * 2**15).astype("<i2").tobytes())
    return file


def test_many_speakers_at_once(sample, address):
    """Each stream has the answers that the net gives to it alone, in their order, whoever else is there."""
    voices = list(listen.made_voices().values())
    names = [f"speaker {place}" if place % 2 else place + 1 for place in range(len(voices))]
    with ThreadPoolExecutor(len(voices)) as speakers:
        told = list(speakers.map(lambda voice, name: listen.hear(address, voice, name), voices, names))
    expected = [alone(sample, voice) for voice in voices]
    for answers, own in zip(told, expected, strict=True):
        np.testing.assert_allclose(answers, own, rtol=1e-5, atol=1e-6)
    assert len({tuple(np.round(answers, 4)) for answers in expected}) == len(voices)


def test_speech_is_found_where_it_is(address):
    """Of each made voice its two sayings are found, from their beginnings to their ends, within the time of a syllable."""
    first, second = (count * sounds.SYLLABLE for count in sounds.SYLLABLES)
    for speaker in range(1, listen.VOICES + 1):
        start = sounds.beginning(speaker)
        again = start + first + sounds.PAUSE
        found = list(listen.speech(listen.hear(address, sounds.voice(speaker), speaker)))
        np.testing.assert_allclose(found, [(start, start + first), (again, again + second)], atol=sounds.SYLLABLE)


def test_the_samples_own_script_tells_where_speech_is(sample, address):
    """`listen.py` needs nothing but an address, and compares what it heard at once with what it hears of each alone."""
    words = [sys.executable, sample / "listen.py", f"--url={address}"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.partition(": speech from ")[0] for line in told[:-1]] == list(listen.made_voices())
    assert told[-1].endswith("answers are the same when each sound is alone")


def test_answers_that_are_not_the_same_are_told(monkeypatch, capsys):
    """Were a stream alone answered otherwise, the script would say so, and fail."""
    answers = {"one": iter([[0.1, 0.9], [0.1, 0.9]]), "two": iter([[0.25, 0.75], [0.25, 0.5]])}
    monkeypatch.setattr(listen, "hear", lambda _, sound, __: next(answers[sound]))
    monkeypatch.setattr(listen, "made_voices", lambda: {name: name for name in answers})
    assert listen.main([]) == 1
    assert capsys.readouterr().out.endswith("4 answers differ, by up to 0.25, when each sound is alone\n")


def test_anybodys_files_are_listened_to(address, tmp_path, capsys):
    """A WAV file of any rate and number of channels is heard; in one of silence no speech is found."""
    voice = sounds.voice(3)
    rate = 22_050
    moments = np.arange(len(voice) * rate // sounds.RATE) / rate
    sound = np.interp(moments, np.arange(len(voice)) / sounds.RATE, voice)
    spoken = write_wav(tmp_path / "spoken.wav", np.stack([sound, sound], axis=1), rate)
    silent = write_wav(tmp_path / "silent.wav", np.zeros((8_000, 1)), 8_000)
    assert listen.main([f"--url={address}", str(spoken), str(silent)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{spoken}: speech from 0.8 s to 1.")
    assert told[1] == f"{silent}: no speech"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: None, "No such file"),
        (lambda file: file.write_text("no sound at all"), "sound.wav is no WAV file: file does not start with RIFF id"),
        (lambda file: file.write_bytes(b""), "sound.wav is no WAV file: it ends too early"),
        (
            lambda file: write_wav(file, np.zeros((8, 1)), 16_000, width=1),
            "sound.wav is a WAV file of 8 bits, and one of 16 bits is expected",
        ),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path, capsys, make, message):
    """The error names the file and says what is wrong with it."""
    make(tmp_path / "sound.wav")
    assert listen.main([str(tmp_path / "sound.wav")]) == 1
    assert message in capsys.readouterr().err


def test_asking_nobody(capsys):
    """A script that reaches no server says so."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer there
        assert listen.main([f"--url=127.0.0.1:{taken.getsockname()[1]}"]) == 1
    assert "failed to connect" in capsys.readouterr().err


@given(st.integers(0, 3 * listen.WINDOW))
def test_windows_overlap_by_what_the_net_hears_again(size):
    """The new samples of all windows are the sound, but for what fills none; each begins with the end of the one before."""
    sound = np.arange(1, size + 1, dtype=np.float32)
    cut = listen.windows(sound)
    assert len(cut) == size // listen.WINDOW
    heard = np.zeros(listen.CONTEXT, np.float32)
    for window in cut:
        assert window.shape == (1, listen.CONTEXT + listen.WINDOW)
        np.testing.assert_array_equal(window[0, : listen.CONTEXT], heard[-listen.CONTEXT :])
        heard = np.concatenate([heard, window[0, listen.CONTEXT :]])
    np.testing.assert_array_equal(heard[listen.CONTEXT :], sound[: len(cut) * listen.WINDOW])


@pytest.mark.parametrize(
    ("likely", "expected"),
    [
        ("", []),
        ("....", []),
        ("##..", [(0, 2)]),
        (".#......#", [(1, 9)]),  # 6 windows are 0.192 seconds
        (".#.......#", [(1, 2), (9, 10)]),
    ],
)
def test_short_silence_belongs_to_the_speech_around_it(likely, expected):
    """Windows of speech are one where no more than a breath is between them."""
    found = list(listen.speech([0.9 if mark == "#" else 0.1 for mark in likely]))
    np.testing.assert_allclose(np.ravel(found), np.ravel(expected) * listen.WINDOW / sounds.RATE)
