"""A model's inputs on the command line: `NAME=VALUE`, as the model wants them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from charonia.cli.tensor_text import read_value
from charonia.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.datatypes import DataType
    from charonia.tensor import Array

__all__ = ["ModelInput", "read_inputs"]


@dataclass(frozen=True)
class ModelInput:
    """What a model takes under one name."""

    datatype: DataType
    shape: Sequence[int]

    def __str__(self) -> str:
        return f"{self.datatype.name} {list(self.shape)}"


def read_inputs(model: str, inputs: Sequence[str], known: Mapping[str, ModelInput]) -> dict[str, Array]:
    """Read the inputs as the model wants them.

    Raises:
        click.UsageError: an input is written or named wrongly, comes twice, or its value does not fit.
    """
    tensors: dict[str, Array] = {}
    for text in inputs:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"{text!r} is no input: write NAME=VALUE. {_takes(model, known)}")
        if name in tensors:
            raise click.UsageError(f"The input {name!r} is given twice.")
        if name not in known:
            near = nearest(name, known)
            hint = f" Did you mean {near!r}?" if near else ""
            raise click.UsageError(f"The model {model!r} has no input {name!r}.{hint} {_takes(model, known)}")
        tensors[name] = read_value(name, value, known[name].datatype, known[name].shape)
    if known and not tensors:
        raise click.UsageError(f"Give the inputs as NAME=VALUE. {_takes(model, known)}")
    return tensors


def _takes(model: str, known: Mapping[str, ModelInput]) -> str:
    told = ", ".join(f"{name} ({tensor})" for name, tensor in known.items())
    return f"{model} takes: {told}." if known else f"{model} takes no inputs."
