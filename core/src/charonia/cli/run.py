"""`charonia run`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from charonia.cli.exit_codes import EXIT_CODES_EPILOG
from charonia.cli.log import writing_log
from charonia.cli.named_inputs import ModelInput, read_inputs
from charonia.cli.tensor_text import json_output, show_output
from charonia.datatypes import DataType
from charonia.log_settings import LogSetting
from charonia.lone_model import serve_alone
from charonia.tensor import as_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.request import InferenceResponse

__all__ = ["run"]

_HELP = """Run a model once, without a server.

MODEL is a model's directory, as it is in a repository, or its file. A file alone must tell its inputs and outputs itself, as
a model.py does in auto_complete_config. Inputs are written as for "charonia infer", bare or after --input.

\b
Examples:
  charonia run models/double "X=[[1, 2, 3]]"
  charonia run models/double/1/model.py --input X=x.npy --json
"""

_TELLING = (
    "Write them, and its inputs, into auto_complete_config of its file, or into a config.pbtxt in its directory, "
    "which has the file in a directory 1."
)


@click.command(help=_HELP, epilog=EXIT_CODES_EPILOG)
@click.argument("model", type=click.Path(exists=True))
@click.argument("inputs", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--input", "more", multiple=True, metavar="NAME=VALUE", help="An input, too. May come several times.")
@click.option("--output", "outputs", multiple=True, metavar="NAME", help="An output that is wanted; all if not given.")
@click.option("--verbose", is_flag=True, help="Log details, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs: a line for each response.")
def run(
    *, model: str, inputs: Sequence[str], more: Sequence[str], outputs: Sequence[str], verbose: bool, as_json: bool
) -> None:
    """Load the model, ask it, and print each of its responses."""
    setting = LogSetting(info=verbose, verbose_level=int(verbose))
    with writing_log(setting), serve_alone(model) as served:
        metadata = served.metadata()
        if not metadata.outputs:
            raise click.UsageError(f"The model {served.name!r} tells no outputs. {_TELLING}")
        known = {tensor.name: ModelInput(DataType[tensor.datatype], tensor.shape) for tensor in metadata.inputs}
        tensors = read_inputs(served.name, [*inputs, *more], known)
        for response in served.stream(tensors, outputs=tuple(outputs)):
            click.echo(_json(response) if as_json else _text(response))


def _json(response: InferenceResponse) -> str:
    told = [json_output(name, as_numpy(tensor)) for name, tensor in response.outputs.items()]
    return json.dumps({"outputs": told})


def _text(response: InferenceResponse) -> str:
    return "\n\n".join(show_output(name, as_numpy(tensor)) for name, tensor in response.outputs.items())
