"""The label files that a model's configuration names for its outputs: one label a line, for the element of that index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from charonia.errors import InternalError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.config import ModelConfig

__all__ = ["read_labels"]


def read_labels(config: ModelConfig, directory: Path) -> Mapping[str, Sequence[bytes]]:
    """Read all label files of a model.

    Args:
        config: the model's configuration.
        directory: the model's directory, to which the names of the files are relative.

    Returns:
        The labels by output, for those outputs that have a file; a line without a label is b"".

    Raises:
        InternalError: a file cannot be read; as in the reference, the model does not load then.
        UnsupportedError: a name leads out of the directory.
    """
    return {
        output.name: _labels(config.name, output.name, directory, output.label_filename)
        for output in config.output
        if output.label_filename
    }


def _labels(model: str, output: str, directory: Path, name: str) -> Sequence[bytes]:
    path = directory / name
    if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(directory)):  # links are the owner's own affair
        raise UnsupportedError(
            f"label file path '{name}' for output '{output}' in model '{model}' is outside model directory"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InternalError(f"failed to open text file for read {path}: {error.strerror}") from error
    return tuple(line.removesuffix(b"\r") for line in content.split(b"\n"))
