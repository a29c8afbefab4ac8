"""What the model sees of a file: bytes of its beginning and of its end.

The numbers are those with which the model was trained; the package that it comes from states them in its configuration.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BLOCK = 4096
"""How many bytes are looked at, at either end of the file."""

KEPT = 1024
"""How many of them the model gets, once white space at the outer edge is gone."""

PADDING = 256
"""Stands where the file has no byte; no byte has this value."""


def features(content: bytes) -> npt.NDArray[np.int32]:
    """Turn a file's content into the model's input.

    Args:
        content: the whole file, or its first and last 4096 bytes joined.

    Returns:
        INT32 of shape [2048]: the beginning, padded at its end; then the end, padded at its beginning.
    """
    row = np.full(2 * KEPT, PADDING, np.int32)
    beginning = content[:BLOCK].lstrip()[:KEPT]
    end = content[-BLOCK:].rstrip()[-KEPT:]
    row[: len(beginning)] = np.frombuffer(beginning, np.uint8)
    row[2 * KEPT - len(end) :] = np.frombuffer(end, np.uint8)
    return row
