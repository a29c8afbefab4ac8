"""`charonia new`."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import click

from charonia.cli.exit_codes import EXIT_CODES_EPILOG, CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

__all__ = ["new"]

_HELP = """Write a skeleton that works, with its test.

\b
Examples:
  charonia new model double
  charonia new backend sklearn
"""
_MODEL_HELP = """Write a model in Python: a model.py with its test.

\b
Example:
  charonia new model double
  pytest models/double
  charonia run models/double "INPUT0=[[1, 2, 3]]"
"""
_BACKEND_HELP = """Write a plugin with a backend: a package of its own, with its test.

\b
Example:
  charonia new backend sklearn
  pip install --editable ./charonia-sklearn
  pytest charonia-sklearn
"""
_SKELETONS = files("charonia.cli") / "skeletons"
_SUFFIX = ".template"


@click.group(help=_HELP, epilog=EXIT_CODES_EPILOG)
def new() -> None:
    """Write a skeleton that works, with its test."""


@new.command(help=_MODEL_HELP, short_help="Write a model in Python, with its test.")
@click.argument("name")
@click.option(
    "--model-repository",
    metavar="PATH",
    default="models",
    show_default=True,
    help="The repository that gets the model.",
)
def model(*, name: str, model_repository: str) -> None:
    """Write a model in Python."""
    if not re.fullmatch(r"[A-Za-z][\w-]*", name):
        raise click.UsageError(f"The name {name!r} does not do: write letters, digits, '_' and '-', a letter first.")
    _write("model", Path(model_repository) / name, {"name": name, "word": name.replace("-", "_")})


@new.command(help=_BACKEND_HELP, short_help="Write a plugin with a backend, and its test.")
@click.argument("name")
@click.option("--package", metavar="NAME", default="", help="The package's name in Python; charonia_NAME if not given.")
@click.option(
    "--directory", metavar="PATH", default="", help="Where it is written; the distribution's name if not given."
)
def backend(*, name: str, package: str, directory: str) -> None:
    """Write a plugin with a backend."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise click.UsageError(f"The name {name!r} does not do: write small letters, digits and '_', a letter first.")
    package = package or f"charonia_{name}"
    if not package.isidentifier():
        raise click.UsageError(f"The package's name {package!r} is none in Python.")
    distribution = package.replace("_", "-")
    facts = {
        "name": name,
        "package": package,
        "distribution": distribution,
        "class": "".join(word.capitalize() for word in name.split("_")),
    }
    _write("backend", Path(directory or distribution), facts)


def _write(kind: str, target: Path, facts: Mapping[str, str]) -> None:
    """Write a skeleton's files with the facts in their places, and tell which.

    Raises:
        CommandError: something is there already.
    """
    if target.exists() and any(target.iterdir()):
        raise CommandError(f"{target} is there already: choose another name, or remove it")
    for path, source in sorted(_templates(_SKELETONS / kind)):
        file = target / Template(path).substitute(facts)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(source.read_text(encoding="utf-8")).substitute(facts), encoding="utf-8")
        click.echo(file)


def _templates(directory: Traversable, within: str = "") -> Iterator[tuple[str, Traversable]]:
    """Give the templates of a skeleton with the paths that their files get, in which names are still to be put."""
    for entry in directory.iterdir():
        path = f"{within}{entry.name}"
        if entry.is_dir():
            yield from _templates(entry, f"{path}/")
        elif entry.name.endswith(_SUFFIX):
            yield path.removesuffix(_SUFFIX), entry
