"""What comes with a load instead of what lies in the repository: a configuration, and perhaps the model's files.

A configuration replaces the stored one entirely; files replace the stored directory entirely. Both come from whoever may load
models, which can be a client of the protocol: nothing in them reaches out of the model's directory, and `${NAME}` stands for
itself, so that nobody reads the server's environment.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from charonia.config import ParsedConfig, config_from_json
from charonia.errors import InvalidArgumentError, RepositoryError
from charonia.repository import LocalStorage, nothing_told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from charonia.config import ModelConfig
    from charonia.repository import Progress

__all__ = ["FILE_PREFIX", "LoadParameters", "Override", "OverrideSlot", "check_model_name"]

FILE_PREFIX = "file:"
"""What stands before a file's path in the name of a load parameter."""

_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 1024


def check_model_name(name: str) -> None:
    """Refuse a name that cannot be a model's, before anybody looks for it.

    Raises:
        InvalidArgumentError: it is empty or leads elsewhere; the texts of the reference's later releases.
    """
    if not name:
        raise InvalidArgumentError("Model name cannot be empty. Please enter a valid name to deploy.")
    if name in {".", ".."} or any(character in name for character in "/\\\0"):
        raise InvalidArgumentError(
            f"invalid model name '{name}', model name must not contain path traversal characters"
        )


@dataclass(frozen=True)
class LoadParameters:
    """What a load brings with it.

    Attributes:
        config: the configuration in JSON, or None.
        files: the content of each file of the model's directory, by its path there, such as `1/model.onnx`. Empty where the
            files of the repository are to be used.

    Raises:
        InvalidArgumentError: a file's path is none, leads out of the directory, or is in the way of another one's.
    """

    config: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.files:
            problem = _path_problem(path)
            if problem:
                raise InvalidArgumentError(
                    f"Invalid file parameter {FILE_PREFIX + path!r}: {problem}; it must stay within model directory, as in "
                    f"'{FILE_PREFIX}1/model.onnx'"
                )
            for folder in list(Path(path).parents)[:-1]:
                if folder.as_posix() in self.files:
                    raise InvalidArgumentError(
                        f"Invalid file parameter {FILE_PREFIX + path!r}: '{folder.as_posix()}' is given as a file, too"
                    )

    def __bool__(self) -> bool:
        return self.config is not None or bool(self.files)


def _path_problem(path: str) -> str:
    """Tell what keeps a path from being one inside a directory; "" if nothing does. No path is normalised."""
    parts = path.split("/")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "the path is no valid text"
    mistakes = {
        "the path is absolute": path.startswith("/"),
        "the path has a backslash or a NUL in it": "\\" in path or "\0" in path,
        "the path has '..' in it": ".." in parts,
        "the path has an empty part, or '.', in it": "" in parts or "." in parts,
        f"a part of the path has more than {_MAX_NAME_BYTES} bytes": max(sizes) > _MAX_NAME_BYTES,
        f"the path has more than {_MAX_PATH_BYTES} bytes": sum(sizes) + len(sizes) > _MAX_PATH_BYTES,
    }
    return next((mistake for mistake, made in mistakes.items() if made), "")


class Override:
    """A load's parameters, read and found to be plausible. Whoever made it closes it.

    Args:
        model: the model's name, checked.
        parameters: what the load brought.
        stored: the states of the model's files in the repositories at this moment; nothing where it is in none.

    Attributes:
        parsed: the configuration.
        storage: where the files lie that came with it; None where those of the repository are used.
        stored: see above.

    Raises:
        RepositoryError: files came without a configuration, or cannot be written.
        ConfigError: the configuration is wrong.
    """

    def __init__(self, model: str, parameters: LoadParameters, stored: Mapping[str, str]) -> None:
        if parameters.config is None:
            raise RepositoryError(
                f"model \"{model}\": Load parameter 'config' must be specified for model file override; give the "
                'configuration as JSON, "{}" where the backend can complete it'
            )
        self.parsed = ParsedConfig(config_from_json(parameters.config, model=model))
        _check_paths(self.parsed.config)
        self.storage = _OverrideStorage(model, parameters.files) if parameters.files else None
        self.stored = stored

    def close(self) -> None:
        """Remove the files as soon as no loaded version uses them. Idempotent."""
        if self.storage is not None:
            self.storage.close()


def _check_paths(config: ModelConfig) -> None:
    """Refuse a configuration from outside that names files outside the model's directory."""
    named = [("default_model_filename", config.default_model_filename)]
    named += [(f"cc_model_filenames[{key!r}]", path) for key, path in sorted(config.cc_model_filenames.items())]
    named += [(f"output[{place}].label_filename", output.label_filename) for place, output in enumerate(config.output)]
    named += [
        (f"model_warmup[{place}].inputs[{name!r}].input_data_file", setting.input_data_file)
        for place, sample in enumerate(config.model_warmup)
        for name, setting in sorted(sample.inputs.items())
    ]
    named += [
        (f"sequence_batching.state[{place}].initial_state.data_file", initial.data_file)
        for place, state in enumerate(config.sequence_batching.state)
        for initial in state.initial_state
    ]
    for place, path in named:
        problem = _path_problem(path) if path else ""
        if problem:
            raise RepositoryError(f'model "{config.name}": {place} is {path!r}: {problem}')


class _OverrideStorage(LocalStorage):
    """A repository of one model, in a temporary directory that is removed once it is closed and everything is released."""

    def __init__(self, model: str, files: Mapping[str, bytes]) -> None:
        root = Path(tempfile.mkdtemp(prefix="charonia-override-"))
        super().__init__(str(root))
        self._lock = threading.Lock()  # guards `_in_use` and `_closed`
        self._in_use = 0
        self._closed = False
        # runs at the end of the process, too, where a request that never ended kept the files in use
        self._remove = weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)
        try:
            _write(root / model, files)
        except OSError as error:
            self._remove()
            raise RepositoryError(
                f'the files that came with the load of model "{model}" cannot be written: {error.strerror}'
            ) from error

    def localize(self, model: str, versions: Sequence[int], progress: Progress = nothing_told) -> Path:
        """Give the directory, which stays until it is released, even if the storage is closed before."""
        with self._lock:
            directory = super().localize(model, versions, progress)
            self._in_use += 1
            return directory

    def release(self, directory: Path) -> None:
        """Take the directory back."""
        with self._lock:
            self._in_use -= 1
            self._tidy()

    def close(self) -> None:
        """Remove the directory, now or when it is released."""
        with self._lock:
            self._closed = True
            self._tidy()

    def _tidy(self) -> None:
        if self._closed and not self._in_use:
            self._remove()


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(content)


class OverrideSlot:
    """The override of one model that is in force, if any. Its owner lets the model's loads come one after the other."""

    def __init__(self) -> None:
        self.current: Override | None = None

    @contextmanager
    def trying(self, override: Override | None) -> Iterator[None]:
        """Load with an override, or without: it comes into force if the block succeeds, and is closed if not."""
        try:
            yield
        except BaseException:
            if override is not None and override is not self.current:
                override.close()
            raise
        self._put(override)

    def clear(self) -> None:
        """Let go of the override."""
        self._put(None)

    def _put(self, override: Override | None) -> None:
        previous, self.current = self.current, override
        if previous is not None and previous is not override:
            previous.close()
