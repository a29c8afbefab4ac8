"""The standard tests of a repository storage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from charonia.errors import RepositoryError
from charonia.repository import Entry
from charonia.testing.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from charonia.repository import RepositoryStorage

__all__ = ["RepositoryStorageSuite"]

FILES = {
    "README.md": b"not a model",
    "zebra/config.pbtxt": b'backend: "x"',
    "zebra/1/model.bin": b"one",
    "zebra/2/model.bin": b"two",
    "zebra/2/weights/part.bin": b"\x00\xff",
    "zebra/labels.txt": "größer\n".encode(),
    "ant/3/model.bin": b"three",
}
"""The repository of the tests: path → content."""


class RepositoryStorageSuite(Suite):
    """What every storage must keep to.

    class TestMyStorage(RepositoryStorageSuite):
        def make_storage(self, directory):
            upload(directory, bucket)
            return MyStorage("my://bucket/models")

        def make_missing_storage(self):
            return MyStorage("my://bucket/nothing-here")
    """

    def make_storage(self, directory: Path) -> RepositoryStorage:
        """Make a storage whose repository has just what the local directory has."""
        raise NotImplementedError(f"{type(self).__name__} must define make_storage")

    def make_missing_storage(self) -> RepositoryStorage:
        """Make a storage of a repository that is not there."""
        raise NotImplementedError(f"{type(self).__name__} must define make_missing_storage")

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[RepositoryStorage]:
        """Give a storage that has `FILES`."""
        for path, content in FILES.items():
            target = tmp_path / "source" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        storage = self.make_storage(tmp_path / "source")
        yield storage
        storage.close()

    def test_models_are_the_directories_sorted(self, storage: RepositoryStorage) -> None:
        """Each directory is a model; a file beside them is not."""
        assert storage.model_names() == ["ant", "zebra"]

    def test_missing_repository_is_an_error(self) -> None:
        """A repository that is not there is told when it is read, not taken for an empty one."""
        with pytest.raises(RepositoryError):
            self.make_missing_storage().model_names()

    def test_one_look_tells_all(self, storage: RepositoryStorage) -> None:
        """It has the same files, and the same directories, as the single questions tell; of no model, it is none."""
        for model in storage.model_names():
            listing = storage.look(model)
            assert listing is not None
            assert listing.states == storage.file_states(model)
            assert list(listing.entries("")) == storage.entries(model)
            for folder in [entry.name for entry in storage.entries(model) if entry.is_directory]:
                assert list(listing.entries(folder)) == storage.entries(model, folder)
        assert storage.look("nothing-of-that-name") is None

    def test_entries_are_sorted_and_tell_files_from_directories(self, storage: RepositoryStorage) -> None:
        """A model's directory is listed, one level deep."""
        assert storage.entries("zebra") == [
            Entry("1", is_directory=True),
            Entry("2", is_directory=True),
            Entry("config.pbtxt", is_directory=False),
            Entry("labels.txt", is_directory=False),
        ]

    def test_entries_of_a_folder(self, storage: RepositoryStorage) -> None:
        """A folder below a model is listed likewise."""
        assert storage.entries("zebra", "2") == [
            Entry("model.bin", is_directory=False),
            Entry("weights", is_directory=True),
        ]
        assert storage.entries("zebra", "2/weights") == [Entry("part.bin", is_directory=False)]

    @pytest.mark.parametrize(
        ("model", "folder"), [("bee", ""), ("zebra", "9"), ("zebra", "config.pbtxt"), ("README.md", "")]
    )
    def test_entries_of_nothing_are_an_error(self, storage: RepositoryStorage, model: str, folder: str) -> None:
        """What is not there, or is no directory, cannot be listed."""
        with pytest.raises(RepositoryError):
            storage.entries(model, folder)

    def test_files_are_read_as_they_are(self, storage: RepositoryStorage) -> None:
        """Bytes come back untouched, from any depth."""
        assert storage.read("zebra", "labels.txt") == FILES["zebra/labels.txt"]
        assert storage.read("zebra", "2/weights/part.bin") == b"\x00\xff"

    @pytest.mark.parametrize(("model", "path"), [("zebra", "absent.txt"), ("bee", "config.pbtxt"), ("zebra", "2")])
    def test_missing_file_is_an_error(self, storage: RepositoryStorage, model: str, path: str) -> None:
        """What is not there, or is a directory, cannot be read."""
        with pytest.raises(RepositoryError):
            storage.read(model, path)

    @pytest.mark.parametrize("path", ["../ant/3/model.bin", "1/../../ant/3/model.bin", "/etc/hostname", "a\0b"])
    def test_paths_never_leave_the_model(self, storage: RepositoryStorage, path: str) -> None:
        """A path that points out of the model's directory is refused, whatever lies there."""
        with pytest.raises(RepositoryError):
            storage.read("zebra", path)
        with pytest.raises(RepositoryError):
            storage.entries("zebra", path)

    @pytest.mark.parametrize("model", ["", ".", "..", "zebra/1", "../source", "zebra\\1", "a\0b"])
    def test_models_are_named_by_one_directory(self, storage: RepositoryStorage, model: str) -> None:
        """A name with a path in it is no model."""
        for call in (
            storage.entries,
            lambda name: storage.read(name, "config.pbtxt"),
            lambda name: storage.localize(name, []),
        ):
            with pytest.raises(RepositoryError):
                call(model)

    def test_localize_brings_the_files_of_a_version(self, storage: RepositoryStorage) -> None:
        """The local directory has the model's own files and the versions that were asked for, complete."""
        directory = storage.localize("zebra", [2])
        assert (directory / "config.pbtxt").read_bytes() == FILES["zebra/config.pbtxt"]
        assert (directory / "labels.txt").read_bytes() == FILES["zebra/labels.txt"]
        assert (directory / "2" / "model.bin").read_bytes() == b"two"
        assert (directory / "2" / "weights" / "part.bin").read_bytes() == b"\x00\xff"
        storage.release(directory)

    @pytest.mark.parametrize(("model", "versions"), [("zebra", [2, 3]), ("bee", [])])
    def test_localize_of_nothing_is_an_error(self, storage: RepositoryStorage, model: str, versions: list[int]) -> None:
        """A model or a version that is not there cannot be had."""
        with pytest.raises(RepositoryError):
            storage.localize(model, versions)

    def test_localized_twice_is_released_twice(self, storage: RepositoryStorage) -> None:
        """What was given twice stays until both have given it back; then it can be had again."""
        first, second = storage.localize("ant", [3]), storage.localize("ant", [3])
        storage.release(first)
        assert (second / "3" / "model.bin").read_bytes() == b"three"
        storage.release(second)
        assert (storage.localize("ant", [3]) / "3" / "model.bin").read_bytes() == b"three"

    def test_threads_do_not_disturb_each_other(self, storage: RepositoryStorage) -> None:
        """Several threads may list, read and localize at the same time."""

        def visit(number: int) -> bytes:
            model, version, name = (("zebra", 1 + number % 2, "zebra"), ("ant", 3, "ant"))[number % 3 == 0]
            assert name in storage.model_names()
            directory = storage.localize(model, [version])
            content = (directory / str(version) / "model.bin").read_bytes()
            assert content == storage.read(model, f"{version}/model.bin")
            storage.release(directory)
            return content

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(visit, range(24))) == {b"one", b"two", b"three"}

    def test_files_have_states(self, storage: RepositoryStorage) -> None:
        """As long as nothing changes, the state of each file of a model is the same; what is not there has none."""
        states = storage.file_states("zebra")
        paths = {path.removeprefix("zebra/") for path in FILES if path.startswith("zebra/")}
        assert set(states) in (paths, set())
        assert storage.file_states("zebra") == states
        assert storage.file_states("bee") == {}

    def test_close_is_idempotent(self, storage: RepositoryStorage) -> None:
        """A storage may be closed twice."""
        storage.close()
        storage.close()
