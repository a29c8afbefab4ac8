"""The standard tests of a backend for a framework that runs graphs of tensors, on a model that every such framework can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from charonia.testing.backend_suite import BackendSuite, Sample
from charonia.testing.builders import model_config, write_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from charonia.config import ModelConfig
    from charonia.tensor import Array

__all__ = ["FrameworkSuite"]


class FrameworkSuite(BackendSuite):
    """The suite of all backends, on a model that batches and refuses some data.

        class TestMyFramework(FrameworkSuite):
            backend = "mine"
            file = "model.mine"

            def save_model(self, path):
                mine.save(lambda x, i: {"Y": x / 2, "Z": TABLE[i]}, path)

    Y is X divided by 2, and Z is row I of the table [7, 8]. X and Y are FP32 and [batch, 2], I is INT64 and [batch, 1], Z is FP32
    and [batch, 1]. An I that is no row must fail.
    """

    file: ClassVar[str]
    """The name of the model's file, or directory, in its version's directory."""

    def save_model(self, path: Path) -> None:
        """Save the model, as a file or a directory."""
        raise NotImplementedError(f"{type(self).__name__} must define save_model")

    def save_broken_model(self, path: Path) -> None:
        """Save what cannot be loaded; a file of rubbish, unless this is overridden."""
        path.write_bytes(b"?")

    def write_model(self, repository: Path, name: str) -> None:
        """Write the model with its configuration."""
        self.save_model(write_model(repository, self._config(name)) / "1" / self.file)

    def write_broken_model(self, repository: Path, name: str) -> None:
        """Write what cannot be loaded with the same configuration."""
        self.save_broken_model(write_model(repository, self._config(name)) / "1" / self.file)

    def _config(self, name: str) -> ModelConfig:
        inputs, outputs = [("X", "FP32", [2]), ("I", "INT64", [1])], [("Y", "FP32", [2]), ("Z", "FP32", [1])]
        return model_config(name, backend=self.backend, inputs=inputs, outputs=outputs)

    def samples(self) -> Sequence[Sample]:
        """Ask for either row."""
        return [
            Sample(
                {"X": np.full((1, 2), number, np.float32), "I": np.array([[row]])},
                {"Y": np.full((1, 2), number / 2, np.float32), "Z": np.array([[7 + row]], np.float32)},
            )
            for number, row in ((1, 0), (4, 1))
        ]

    def failing_inputs(self) -> Mapping[str, Array]:
        """Ask for a row that the table has not."""
        return {"X": np.zeros((1, 2), np.float32), "I": np.array([[5]])}
