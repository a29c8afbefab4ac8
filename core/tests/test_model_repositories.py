"""All repositories of a server together: what is read of a model, and from where."""

from __future__ import annotations

import pytest
from charonia.errors import InvalidArgumentError, RepositoryError
from charonia.load_teller import LoadTeller
from charonia.model_repositories import ModelRepositories
from charonia.options import ServerOptions
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model


@pytest.fixture
def read(tmp_path):
    """Read a model of the repositories "one" and "two"."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    opened = []

    def read(name, **options):
        urls = [str(tmp_path / "one"), str(tmp_path / "two")]
        repositories = ModelRepositories(urls, ServerOptions(**options), Plugins(entry_points=()))
        opened.append(repositories)
        return repositories.read(name, LoadTeller(name))

    yield read
    for repositories in opened:
        repositories.close()


def write_alternative(directory, file, max_batch_size):
    (directory / "configs").mkdir(exist_ok=True)
    text = (directory / "config.pbtxt").read_text()
    assert "max_batch_size: 8" in text
    (directory / "configs" / file).write_text(text.replace("max_batch_size: 8", f"max_batch_size: {max_batch_size}"))


def test_named_configuration_is_taken_where_there_is_one(read, tmp_path):
    """A model that has a configuration of that name is read by it, others by the usual one."""
    write_alternative(write_model(tmp_path / "one", model_config("m")), "large.pbtxt", 64)
    write_alternative(write_model(tmp_path / "one", model_config("other")), "small.pbtxt", 1)
    write_model(tmp_path / "two", model_config("plain"))
    sizes = {name: read(name, model_config_name="large") for name in ("m", "other", "plain")}
    assert {name: found.parsed.config.max_batch_size for name, found in sizes.items()} == {
        "m": 64,
        "other": 8,
        "plain": 8,
    }
    assert sizes["m"].parsed.file == "configs/large.pbtxt"
    assert read("m").parsed.config.max_batch_size == 8


def test_folder_of_configurations_is_no_version(read, tmp_path):
    """The folder stands beside the versions and is none."""
    write_alternative(write_model(tmp_path / "one", model_config("m")), "large.pbtxt", 64)
    assert read("m").versions == [1]


@pytest.mark.parametrize("name", ["../m", "a/b", "a\\b", "a\0b"])
def test_name_of_a_configuration_leads_nowhere_else(name):
    """A name with a path in it is refused."""
    with pytest.raises(InvalidArgumentError, match="the folder configs"):
        ServerOptions(model_config_name=name)


def test_model_in_two_repositories_is_refused_with_both(read, tmp_path):
    """The error names the two places, so that somebody can remove one."""
    for place in ("one", "two"):
        write_model(tmp_path / place, model_config("m"))
    with pytest.raises(RepositoryError) as caught:
        read("m")
    assert str(tmp_path / "one") in str(caught.value)
    assert str(tmp_path / "two") in str(caught.value)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/etc", "a\\b", "a\0b", "%2e%2e"])
def test_names_lead_nowhere_else(read, name):
    """No name of a model reaches out of the repositories, however it is written."""
    with pytest.raises(RepositoryError):
        read(name)
