"""Stream sounds to a running server, all at once, and print where there is speech: `python listen.py [FILE.wav…]`.

Each sound is a sequence of windows on a stream of its own; what the net remembers from one window to the next stays at the
server. Afterwards each sound is streamed once more, alone: whoever else was there has made no difference.
"""

from __future__ import annotations

import argparse
import queue
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import tritonclient.grpc as triton
from sounds import RATE, Sound, read_wav, voice
from tritonclient.utils import InferenceServerException

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODEL = "voice_activity"
WINDOW = 512
"""How many new samples the net hears in each request."""

CONTEXT = 64
"""How many samples it hears again, from the end of the window before."""

LIKELY = 0.5
"""Above this, the net takes a window for speech."""

BREATH = 0.2
"""Silence of up to so many seconds belongs to the speech around it."""

VOICES = 6
"""How many made voices there are: more than the model has slots for, so that some of them wait."""

TOLERANCE = 1e-5
"""Answers that differ by no more are the same."""

PATIENCE_SECONDS = 60

Answers = queue.SimpleQueue[tuple[Any, InferenceServerException | None]]
"""What a stream brings, in order: each is a result or an error."""


def made_voices() -> dict[str, Sound]:
    """Make the sounds that are listened to where nobody names any."""
    return {f"voice {speaker}": voice(speaker) for speaker in range(1, VOICES + 1)}


def windows(sound: Sound) -> list[Sound]:
    """Cut a sound into what the net hears, one after the other; what is left at the end is no whole window, and left out.

    Returns:
        FP32, each of shape [1, 576].
    """
    heard = np.concatenate([np.zeros(CONTEXT, np.float32), sound])
    return [heard[None, start : start + CONTEXT + WINDOW] for start in range(0, len(sound) - WINDOW + 1, WINDOW)]


def hear(address: str, sound: Sound, sequence_id: str | int) -> list[float]:
    """Stream a sound to the server as one sequence; gives for each window how likely it is speech, from 0 to 1.

    Raises:
        InferenceServerException: the server cannot be reached, or refuses.
        TimeoutError: it does not answer.
    """
    answers: Answers = queue.SimpleQueue()
    said = windows(sound)
    with triton.InferenceServerClient(address) as client:
        client.is_model_ready(MODEL)  # tells in plain words where nobody answers; a stream would not
        client.start_stream(lambda result, error: answers.put((result, error)))
        for place, window in enumerate(said):
            client.async_stream_infer(
                MODEL,
                _inputs(window),
                sequence_id=sequence_id,
                sequence_start=place == 0,
                sequence_end=place == len(said) - 1,
            )
        return [_likelihood(answers) for _ in said]


def _inputs(window: Sound) -> list[triton.InferInput]:
    sound = triton.InferInput("input", window.shape, "FP32")
    sound.set_data_from_numpy(window)
    rate = triton.InferInput("sr", [1], "INT64")
    rate.set_data_from_numpy(np.array([RATE]))
    return [sound, rate]


def _likelihood(answers: Answers) -> float:
    """Wait for the next answer."""
    try:
        result, error = answers.get(timeout=PATIENCE_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"the server has not answered for {PATIENCE_SECONDS} seconds") from None
    if error is not None:
        raise error
    return float(result.as_numpy("output").item())


def speech(likelihoods: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Tell from when to when there is speech, in seconds."""
    seconds = WINDOW / RATE
    likely = [place for place, likelihood in enumerate(likelihoods) if likelihood > LIKELY]
    while likely:
        first = last = likely.pop(0)
        while likely and (likely[0] - last - 1) * seconds <= BREATH:
            last = likely.pop(0)
        yield first * seconds, (last + 1) * seconds


def listen(address: str, sounds: dict[str, Sound]) -> bool:
    """Stream all sounds at once and print where there is speech; then each alone. True where that makes no difference."""
    with ThreadPoolExecutor(len(sounds)) as speakers:
        together = list(speakers.map(lambda sound: hear(address, sound, uuid4().hex), sounds.values()))
    for name, likelihoods in zip(sounds, together, strict=True):
        found = ", ".join(f"{start:.1f} s to {end:.1f} s" for start, end in speech(likelihoods))
        print(f"{name}: speech from {found}" if found else f"{name}: no speech")
    alone = [hear(address, sound, uuid4().hex) for sound in sounds.values()]
    difference = np.abs(np.concatenate(together) - np.concatenate(alone)).max(initial=0)
    same = bool(difference <= TOLERANCE)
    count = sum(map(len, together))
    verdict = "are the same" if same else f"differ, by up to {difference:.2g},"
    print(f"{count} answers {verdict} when each sound is alone")
    return same


def main(arguments: Sequence[str] | None = None) -> int:
    """Listen to the files named on the command line, or to made voices."""
    parser = argparse.ArgumentParser(description="Stream sounds to a running server and print where there is speech.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.wav", help="16 bits (default: made voices)")
    parser.add_argument("--url", default="127.0.0.1:8001", help="the server's gRPC address (default: %(default)s)")
    told = parser.parse_args(arguments)
    try:
        sounds = {str(file): read_wav(file) for file in told.files}
        return 0 if listen(told.url, sounds or made_voices()) else 1
    except (InferenceServerException, OSError, ValueError) as error:
        print(f"listen: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
