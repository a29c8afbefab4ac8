"""`charonia infer`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from charonia.cli.client import Client, infer_body, timeout_option, url_option
from charonia.cli.exit_codes import EXIT_CODES_EPILOG, RefusedError
from charonia.cli.named_inputs import ModelInput, read_inputs
from charonia.cli.tensor_text import json_output, read_output, show_output
from charonia.datatypes import DataType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.cli.client import ServerAnswer
    from charonia.tensor import Array

__all__ = ["infer"]

_HELP = """Ask a model of a running server.

Every input is NAME=VALUE. The value is a file of numpy (x=image.npy) or of JSON (x=rows.json), the bytes of any file
(x=@photo.jpg), or the value itself: x=[[1,2,3]], x=7, or a text for an input of type BYTES. Its datatype is what the
model takes; where the model wants a batch and the value is a single one, it becomes a batch of one.

\b
Examples:
  charonia infer double "x=[[1, 2, 3]]"
  charonia infer resnet image=cat.npy --output scores --json
"""


@click.command(help=_HELP, epilog=EXIT_CODES_EPILOG)
@click.argument("model")
@click.argument("inputs", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--version", "version", metavar="NUMBER", default="", help="The model's version; the latest if not given."
)
@click.option("--output", "outputs", multiple=True, metavar="NAME", help="An output that is wanted; all if not given.")
@url_option
@timeout_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def infer(
    *, model: str, inputs: Sequence[str], version: str, outputs: Sequence[str], url: str, timeout: float, as_json: bool
) -> None:
    """Ask what the model takes, send the inputs, and print the outputs."""
    client = Client(url, timeout)
    path = ["models", model, *(["versions", version] if version else [])]
    tensors = read_inputs(model, inputs, _inputs(client.get(*path).document))
    body, headers = infer_body(tensors, outputs)
    answer = client.post(*path, "infer", body=body, headers=headers)
    arrays = _outputs(answer)
    if as_json:
        told = {key: answer.document[key] for key in ("model_name", "model_version") if key in answer.document}
        told["outputs"] = [json_output(name, array) for name, array in arrays.items()]
        click.echo(json.dumps(told))
    else:
        click.echo("\n\n".join(show_output(name, array) for name, array in arrays.items()))


def _inputs(metadata: Any) -> dict[str, ModelInput]:
    """Read a model's inputs from its metadata.

    Raises:
        RefusedError: this is no metadata.
    """
    try:
        return {
            str(tensor["name"]): ModelInput(DataType[tensor["datatype"]], [int(size) for size in tensor["shape"]])
            for tensor in metadata["inputs"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(f"the model's metadata cannot be read: {type(error).__name__}: {error}") from error


def _outputs(answer: ServerAnswer) -> dict[str, Array]:
    rest = memoryview(answer.binary)
    arrays: dict[str, Array] = {}
    try:
        for output in answer.document["outputs"]:
            arrays[output["name"]], rest = read_output(output, rest)
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(f"the server's answer cannot be read: {type(error).__name__}: {error}") from error
    return arrays
