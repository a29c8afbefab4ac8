"""The local storage, and the versions that a model's directory has."""

from __future__ import annotations

import logging

import pytest
from charonia.errors import RepositoryError
from charonia.repository import Entry, LocalStorage, model_versions
from charonia.testing.repository_suite import RepositoryStorageSuite


class TestLocalStorage(RepositoryStorageSuite):
    def make_storage(self, directory):
        return LocalStorage(str(directory))

    def make_missing_storage(self):
        return LocalStorage("/nothing/here")


class TestLocalStorageByUrl(RepositoryStorageSuite):
    def make_storage(self, directory):
        return LocalStorage(directory.as_uri())

    def make_missing_storage(self):
        return LocalStorage("file:///nothing/here")


def test_missing_repository_is_explained():
    """The error names the repository as the user gave it, the cause, and what is expected."""
    with pytest.raises(RepositoryError) as caught:
        LocalStorage("no/such/place").model_names()
    assert str(caught.value) == (
        'model repository "no/such/place" is not a readable directory: No such file or directory; give the path of a '
        "directory that has one directory for each model"
    )


def test_relative_path_is_fixed_when_the_storage_is_made(tmp_path, monkeypatch):
    """A later change of the working directory does not move the repository."""
    (tmp_path / "models" / "m").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    storage = LocalStorage("models")
    monkeypatch.chdir("/")
    assert storage.model_names() == ["m"]


def test_home_directory_is_understood(tmp_path, monkeypatch):
    """A path may begin with ~."""
    (tmp_path / "models" / "m").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LocalStorage("~/models").model_names() == ["m"]


def test_url_is_decoded(tmp_path):
    """A file URL may have escapes, as `Path.as_uri` writes them."""
    (tmp_path / "my models" / "m").mkdir(parents=True)
    assert LocalStorage((tmp_path / "my models").as_uri()).model_names() == ["m"]


def entries(*names, files=()):
    return [Entry(name, is_directory=True) for name in names] + [Entry(name, is_directory=False) for name in files]


def test_versions_are_numbers_in_their_order():
    """Directories of digits are versions, ascending by value; 0 is one; files are none."""
    assert model_versions(entries("10", "9", "0", "1", files=["2"]), "m") == [0, 1, 9, 10]


def test_usual_companions_are_passed_over_silently(caplog):
    """Directories that a model may have beside its versions raise no warning."""
    with caplog.at_level(logging.WARNING):
        assert model_versions(entries("1", "warmup", "initial_state", "configs", "__pycache__"), "m") == [1]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("01", "leading zeros"),
        ("00", "leading zeros"),
        ("v1", "no version number"),
        ("-1", "no version number"),
        ("1.0", "no"),
    ],
)
def test_other_directories_are_ignored_with_a_warning(caplog, name, reason):
    """A directory that looks like a mistake is named, with the model and why it is ignored."""
    with caplog.at_level(logging.WARNING):
        assert model_versions(entries(name, "3"), "resnet") == [3]
    (message,) = caplog.messages
    assert 'model "resnet"' in message
    assert f'"{name}"' in message
    assert reason in message


@pytest.mark.parametrize("name", ["\u0661", "²", "1\n"])
def test_only_ascii_digits_are_versions(name):
    """Digits of other scripts and stray line ends make no version."""
    assert model_versions(entries(name), "m") == []
