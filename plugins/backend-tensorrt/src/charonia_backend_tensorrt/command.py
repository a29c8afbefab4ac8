"""`charonia build-plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["build_plan"]

_HELP = """Make a TensorRT plan from an ONNX model.

A plan is for one version of TensorRT, and for the GPUs that it was made for. TensorRT makes it on the machine that will
run it; TensorRT for RTX also does so on a machine without a GPU, if it is told the compute capabilities of those that will.

\b
Examples: batches of up to 16 on this machine's GPU; two ranges of image sizes for two generations of GPUs.
  charonia build-plan model.onnx models/resnet/1/model.plan --max-batch-size 16
  charonia build-plan model.onnx model.plan --library rtx --compute-capability 8.6 --compute-capability 8.9 \\
      --profile "image=1x3x64x64:4x3x224x224:8x3x256x256" --profile "image=1x3x256x256:2x3x512x512:4x3x1024x1024"
"""


@click.command("build-plan", help=_HELP, short_help="Make a TensorRT plan from an ONNX model.")
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("plan", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--library", type=click.Choice(["tensorrt", "rtx"]), help="What makes and runs it; what is installed.")
@click.option(
    "--max-batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="The greatest batch, where nothing but the first dimension varies.",
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="TEXT",
    help='Shapes that inputs may have: "NAME=LEAST:BEST:GREATEST …"; several times for several profiles.',
)
@click.option("--flag", "flags", multiple=True, metavar="NAME", help="A BuilderFlag of TensorRT, such as fp16.")
@click.option(
    "--compute-capability",
    "capabilities",
    multiple=True,
    metavar="X.Y",
    help="The GPUs that shall run it, for TensorRT for RTX; this machine's if not given.",
)
@click.option("--workspace-mib", type=click.IntRange(min=0), default=0, help="GPU memory for an operator at work.")
@click.option("--plugins", multiple=True, metavar="FILE", help="A shared library of plugins that the model needs.")
def build_plan(
    *,
    model: Path,
    plan: Path,
    library: str | None,
    max_batch_size: int,
    profiles: Sequence[str],
    flags: Sequence[str],
    capabilities: Sequence[str],
    workspace_mib: int,
    plugins: Sequence[str],
) -> None:
    """Make a TensorRT plan from an ONNX model."""
    from charonia_backend_tensorrt.build import BuildOptions, build
    from charonia_backend_tensorrt.library import Library
    from charonia_backend_tensorrt.shapes import parse_profile

    chosen = Library.installed() if library is None else Library.by_extra(library)
    options = BuildOptions(
        max_batch_size, [parse_profile(text) for text in profiles], flags, capabilities, workspace_mib << 20, plugins
    )
    made = build(chosen, model, options)
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_bytes(made)
    click.echo(f"{plan}: {len(made):,} bytes, made by {chosen} {chosen.version}")
