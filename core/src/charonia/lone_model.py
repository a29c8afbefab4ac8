"""One model with a server around it, and no network: for a try, or for a test."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from charonia.errors import RepositoryError
from charonia.options import ServerOptions
from charonia.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from charonia.handle import ModelHandle
    from charonia.plugins import Plugins

__all__ = ["serve_alone"]

_CONFIG = "config.pbtxt"


@contextmanager
def serve_alone(
    path: str | Path,
    *,
    config: str | None = None,
    plugins: Plugins | None = None,
    options: ServerOptions | None = None,
    furnish: Callable[[Path], object] = bool,  # does nothing
) -> Iterator[ModelHandle]:
    """Serve one model for the time of the block.

    Args:
        path: the model's directory, as it is in a repository; or its file, with no more around it than it needs.
        config: the text of a configuration, instead of a stored one.
        plugins: what is installed; found if not given.
        options: the server's options.
        furnish: may write further models into the repository, whose directory it gets.

    Raises:
        RepositoryError: there is no such model, or one of the models cannot be loaded.
    """
    place = Path(path).absolute()
    if not place.exists():
        raise RepositoryError(f"there is no model '{path}': expected a model's directory, or its file")
    with TemporaryDirectory(prefix="charonia-") as temporary:
        repository = Path(temporary)
        name = _lay_out(place, repository, config)
        furnish(repository)
        with Server(repository, plugins=plugins, options=ServerOptions() if options is None else options) as server:
            yield server.model(name)


def _lay_out(place: Path, repository: Path, config: str | None) -> str:
    """Make a repository's model of links to what there is, and give its name."""
    if place.is_dir():
        return _link_directory(place, repository, config)
    if place.parent.name.isdigit():
        return _link_directory(place.parent.parent, repository, config)
    name = place.parent.name if place.stem == "model" else place.stem
    directory = repository / name
    directory.mkdir()
    (directory / "1").symlink_to(place.parent)
    if config is None and place.suffix == ".py":
        config = f'backend: "python"\ndefault_model_filename: "{place.name}"\n'
    if config is not None:
        (directory / _CONFIG).write_text(config)
    return name


def _link_directory(model: Path, repository: Path, config: str | None) -> str:
    directory = repository / model.name
    directory.mkdir()
    for entry in model.iterdir():
        if config is None or not entry.name.startswith("config."):
            (directory / entry.name).symlink_to(entry)
    if config is not None:
        (directory / _CONFIG).write_text(config)
    return model.name
