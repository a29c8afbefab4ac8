"""A server whose models lie in S3: what is brought, what is kept, and what happens when the store is gone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.errors import InternalError
from charonia.load_teller import Phase
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia_repo_s3.storage import S3Storage


@pytest.fixture
def upload(bucket, tmp_path):
    """Put a model into the bucket: `upload("m", {1: 2.0, 2: 3.0})` scales by 2 in version 1, and by 3 in version 2."""

    def upload(name, scales):
        files = {f"{version}/model.json": json.dumps({"scale": scale}) for version, scale in scales.items()}
        directory = write_model(tmp_path / "source", model_config(name, max_batch_size=0), files)
        for path in directory.rglob("*"):
            if path.is_file():
                bucket.upload_file(str(path), f"production/{path.relative_to(directory.parent)}")

    return upload


@pytest.fixture
def make(endpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(S3Storage, "pauses_seconds", ())
    servers = []

    def make(**options):
        server = Server(
            f"s3://{endpoint}/models/production",
            options=ServerOptions(model_cache_directory=str(tmp_path / "cache"), **options),
            plugins=Plugins(extra=[ArithmeticPlugin()]),
        )
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


def infer(server, name):
    return server.model(name).infer({"INPUT0": np.ones(16, np.float32)})["OUTPUT0"][0]


def test_server_serves_from_s3(make, upload):
    """Models of a bucket are loaded and answer, and the files of the version that serves are told as they come."""
    upload("m", {1: 2.0, 2: 3.0})
    events = []
    server = make()
    server.start(events.append)
    assert infer(server, "m") == 3.0
    brought = [event.brought for event in events if event.phase is Phase.BRINGING]
    assert brought[-1][0] == brought[-1][1] > 0


def test_only_what_the_policy_selects_is_brought(make, upload, tmp_path):
    """The version that does not serve stays where it is."""
    upload("m", {1: 2.0, 2: 3.0})
    make().start()
    copies = {path.parent.name for path in (tmp_path / "cache" / "models").rglob("model.json")}
    assert copies == {"2"}


def test_lost_store_harms_nothing_that_serves(make, upload, bucket):
    """When the bucket cannot be read any more, what is loaded goes on serving, a load fails, and the index says why."""
    upload("m", {1: 2.0})
    server = make(model_control_mode="explicit", load_model=["m"])
    server.start()
    bucket.objects.all().delete()
    assert [(row.version, row.state, "has no such thing" in row.reason) for row in server.index()] == [
        ("", "UNAVAILABLE", True),
        ("1", "READY", False),
    ]
    with pytest.raises(InternalError, match=r"failed to poll from model repository: .* has no such thing"):
        server.load("m")
    assert infer(server, "m") == 2.0


def test_second_start_needs_no_download(make, upload, monkeypatch):
    """The copies outlast the server: the next one on the same machine brings no file again."""
    upload("m", {1: 2.0})
    with make() as first:
        assert infer(first, "m") == 2.0
    monkeypatch.setattr(S3Storage, "_read_range", lambda *_: pytest.fail("a file was brought again"))
    with make() as second:
        assert infer(second, "m") == 2.0
