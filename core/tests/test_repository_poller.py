"""A server in the control mode "poll": it follows its repositories, whatever they do."""

from __future__ import annotations

import json
import os
import shutil
import threading

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.errors import NotFoundError, RepositoryError
from charonia.model_repositories import ModelRepositories
from charonia.plugins import Plugins
from charonia.repository import LocalStorage
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia.testing.patience import wait_until


@pytest.fixture
def serve(tmp_path):
    """Start a server that polls `tmp_path / "models"` very often, or waits to be told of changes."""
    servers = []

    def serve(**options):
        settings = {"repository_poll_secs": 0.02, "repository_settle_secs": 0.0, **options}
        server = Server(
            tmp_path / "models",
            options=ServerOptions(model_control_mode="poll", exit_on_error=False, **settings),
            plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]),
        )
        servers.append(server)
        server.start()
        return server

    (tmp_path / "models").mkdir()
    yield serve
    for server in servers:
        server.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name == "charonia-poll"]


@pytest.fixture
def write(tmp_path):
    """Write a model that scales, with a file's time of change that is newer each time."""
    times = iter(range(1_000, 100_000))

    def write(name, scales, **settings):
        files = {f"{version}/model.json": json.dumps({"scale": scale}) for version, scale in scales.items()}
        directory = write_model(tmp_path / "models", model_config(name, max_batch_size=0, **settings), files)
        newer = next(times)
        for path in directory.rglob("*"):
            os.utime(path, (newer, newer))
        return directory

    return write


def infer(server, name):
    try:
        return server.model(name).infer({"INPUT0": np.ones(16, np.float32)})["OUTPUT0"][0]
    except NotFoundError:
        return None


def test_models_come_change_and_go(serve, write, tmp_path):
    """A new directory is served, a changed one served anew, and one that is deleted is unloaded."""
    server = serve()
    write("m", {1: 2.0})
    wait_until(lambda: infer(server, "m") == 2.0)
    write("m", {1: 3.0})
    wait_until(lambda: infer(server, "m") == 3.0)
    write("m", {2: 4.0})
    wait_until(lambda: infer(server, "m") == 4.0)
    shutil.rmtree(tmp_path / "models" / "m")
    wait_until(lambda: infer(server, "m") is None)
    wait_until(lambda: server.ready)


def test_bad_model_stops_nothing(serve, write):
    """While one model cannot be read and another fails to load, the rest comes and goes; the index says what is the matter."""
    (write("unreadable", {1: 1.0}) / "config.pbtxt").write_text("max_batchsize: 1")
    (write("broken", {1: 1.0}) / "1" / "model.json").write_text("[")
    server = serve()
    write("m", {1: 2.0})
    wait_until(lambda: infer(server, "m") == 2.0)
    reasons = {row.name: row.reason for row in server.index()}
    assert "max_batchsize" in reasons["unreadable"]
    assert "no JSON" in reasons["broken"]
    assert reasons["m"] == ""


def test_failed_change_keeps_what_serves_and_is_tried_again(serve, write):
    """A change that does not load leaves the model as it was, with the reason in the index, until it is mended."""
    directory = write("m", {1: 2.0})
    server = serve()
    (directory / "1" / "model.json").write_text("[")
    wait_until(lambda: any("no JSON" in row.reason for row in server.index()))
    assert infer(server, "m") == 2.0
    write("m", {1: 3.0})
    wait_until(lambda: infer(server, "m") == 3.0)
    wait_until(lambda: [(row.state, row.reason) for row in server.index()] == [("READY", "")])


def test_what_failed_is_tried_again_although_nothing_changes(serve, write, monkeypatch):
    """A load that failed for a passing reason succeeds at a later poll."""
    failures = iter([OSError("the network is down")] * 3)

    def localize(storage, model, versions, progress):
        error = next(failures, None)
        if error is not None:
            raise error
        return real(storage, model, versions, progress)

    real = LocalStorage.localize
    monkeypatch.setattr(LocalStorage, "localize", localize)
    write("m", {1: 2.0})
    server = serve()
    assert infer(server, "m") is None
    wait_until(lambda: infer(server, "m") == 2.0)


def test_lost_repository_unloads_nothing(serve, write, tmp_path):
    """A repository that is not there for a while, as when a mount is lost, changes nothing that serves."""
    write("m", {1: 2.0})
    server = serve()
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    wait_until(lambda: any("is not a readable directory" in row.reason for row in server.index()))
    assert infer(server, "m") == 2.0
    (tmp_path / "elsewhere").rename(tmp_path / "models")
    write("n", {1: 3.0})
    wait_until(lambda: infer(server, "n") == 3.0)
    assert infer(server, "m") == 2.0


def test_half_copied_model_is_left_alone(serve, write, tmp_path):
    """A model is not loaded before its files have held still: nobody ever gets an answer from half of it."""
    server = serve(repository_settle_secs=0.5)
    half = write_model(tmp_path / "models", model_config("m", max_batch_size=0), {"1/model.json": '{"sca'})
    with (half / "1" / "model.json").open("a") as file:
        for piece in ('le":', " 2", ".0", "}"):
            threading.Event().wait(0.1)
            file.write(piece)
            file.flush()
    wait_until(lambda: infer(server, "m") == 2.0)
    assert not [row for row in server.index() if row.reason]


def test_local_changes_are_seen_at_once(serve, write):
    """The operating system tells of local changes, however rarely the server polls."""
    server = serve(repository_poll_secs=3600)
    write("m", {1: 2.0})
    wait_until(lambda: infer(server, "m") == 2.0)


def test_poll_interval_of_nothing_never_polls(serve, write):
    """As in the reference, with an interval of 0 nothing is followed."""
    server = serve(repository_poll_secs=0)
    assert not [thread for thread in threading.enumerate() if thread.name == "charonia-poll"]
    assert server.ready


def test_requests_never_see_a_gap(serve, write):
    """Requests never see a gap while a model is loaded anew over and over."""
    write("m", {1: 1.0})
    server = serve()
    answers = []
    for scale in range(2, 12):
        write("m", {1: float(scale)})
        wait_until(lambda scale=scale: answers.append(infer(server, "m")) or answers[-1] == scale)
    assert None not in answers


def test_model_that_cannot_be_looked_at_keeps_its_last_state(monkeypatch, write, tmp_path):
    """Where one model's files cannot be listed, it counts as unchanged, and the others are seen."""
    (tmp_path / "models").mkdir()
    write("m", {1: 1.0})
    write("n", {1: 1.0})
    repositories = ModelRepositories([str(tmp_path / "models")], ServerOptions(), Plugins(entry_points=()))
    before = repositories.survey_files()
    real = LocalStorage.file_states

    def file_states(storage, model):
        if model == "m":
            raise RepositoryError("denied")
        return real(storage, model)

    monkeypatch.setattr(LocalStorage, "file_states", file_states)
    write("m", {1: 2.0})
    write("n", {1: 2.0})
    after = repositories.survey_files()
    assert after["m"] == before["m"]
    assert after["n"] != before["n"]
    repositories.close()
