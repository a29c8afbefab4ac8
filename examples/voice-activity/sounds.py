"""Sounds to listen to: voices made of nothing but numbers, or anybody's WAV files."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16_000
"""Samples a second of every sound here."""

Sound = npt.NDArray[np.float32]
"""A sound of one channel: FP32 of shape [samples], from -1 to 1."""

VOWELS = np.array(
    [[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480], [570, 840, 2410]]  # a i u e o
)
"""For each vowel, where its three strongest bands lie, in hertz."""

WIDTHS = np.array([80, 110, 160])
"""How wide these bands are, in hertz."""

LOUDNESS = np.array([1, 0.5, 0.25])
"""How loud these bands are, beside the first."""

HIGHEST = 4_000
"""The highest harmonic, in hertz."""

SYLLABLE = 0.16
"""How long a syllable is, in seconds."""

SYLLABLES = (6, 4)
"""How many syllables a voice says before its pause, and after it."""

PAUSE = 1.0
"""How long a voice is silent between its two sayings, and after them, in seconds."""


def beginning(speaker: int) -> float:
    """Tell after how many seconds a voice begins to speak."""
    return 0.5 + 0.1 * speaker


def voice(speaker: int) -> Sound:
    """Make a voice that says some vowels, pauses, and says some more.

    Args:
        speaker: from 1, the lowest, to 6, the highest; each has its own pitch and words, and is always the same.

    Returns:
        FP32 of shape [samples].
    """
    chance = np.random.default_rng(speaker)
    parts = [_silence(beginning(speaker))]
    for count in SYLLABLES:
        parts += [_saying(90 + 12 * speaker, chance.permutation(VOWELS.repeat(2, axis=0))[:count]), _silence(PAUSE)]
    sound = np.concatenate(parts)
    return (sound + chance.normal(scale=0.001, size=sound.size)).astype(np.float32)


def read_wav(file: Path) -> Sound:
    """Read a WAV file of 16 bits; its channels become one, and its rate becomes ours.

    Returns:
        FP32 of shape [samples].

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no WAV file of 16 bits.
    """
    try:
        with wave.open(str(file)) as content:
            width, rate, channels = content.getsampwidth(), content.getframerate(), content.getnchannels()
            frames = content.readframes(content.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{file} is no WAV file: {str(error) or 'it ends too early'}") from error
    if width != np.dtype("<i2").itemsize:
        raise ValueError(f"{file} is a WAV file of {8 * width} bits, and one of 16 bits is expected")
    sound = np.frombuffer(frames, "<i2").reshape(-1, channels).mean(axis=1) / 2**15
    moments = np.arange(sound.size * RATE // rate) / RATE
    resampled: npt.NDArray[np.float64] = np.interp(moments, np.arange(sound.size) / rate, sound)
    return resampled.astype(np.float32)


def _silence(seconds: float) -> npt.NDArray[np.float64]:
    return np.zeros(round(seconds * RATE))


def _saying(base: float, vowels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Say vowels one after the other: the harmonics of a pitch that falls, loud where the vowels' bands lie."""
    count, size = len(vowels), round(SYLLABLE * RATE)
    place = np.arange(count * size) / size
    bands = np.stack([np.interp(place, np.arange(count) + 0.5, band) for band in vowels.T])
    pitch = base * (1.1 - 0.2 * place / count + 0.05 * np.sin(1.4 * np.pi * place))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = np.zeros(count * size)
    for harmonic in range(1, int(HIGHEST / pitch.max())):
        apart = (harmonic * pitch - bands) / WIDTHS[:, None]
        sound += (LOUDNESS[:, None] / (1 + apart**2)).sum(axis=0) * np.sin(harmonic * phase) * harmonic**-0.3
    sound *= 1 - 0.9 * np.cos(np.pi * place) ** 8  # softer between two syllables
    sound *= np.clip(4 * np.minimum(place, count - place), 0, 1)
    sound *= 0.3 / np.abs(sound).max()
    return sound
