"""Libraries of operators that a model brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError

from charonia_backend_tensorflow.runtime import tensorflow

if TYPE_CHECKING:
    from charonia.backend import ModelContext

__all__ = ["load_operators"]


def load_operators(context: ModelContext) -> None:
    """Load the libraries that `model_operations.op_library_filename` names. They stay loaded as long as the process lives.

    Raises:
        InvalidArgumentError: one cannot be loaded.
    """
    for library in context.config.model_operations.op_library_filename:
        beside = context.directory / library  # an absolute path stays as it is
        try:
            tensorflow().load_op_library(str(beside) if beside.exists() else library)
        except Exception as error:  # the border of loading: TensorFlow's exceptions have no base of their own
            raise InvalidArgumentError(
                f"model '{context.name}' names '{library}' in model_operations.op_library_filename, which cannot be used "
                f"({' '.join(str(error).split())}): give a library of operators by its path from '{context.directory}', or by a "
                "name that the loader of shared libraries finds"
            ) from error
