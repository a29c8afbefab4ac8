"""What a store and its network may do to a download: nothing half is ever given, and what came is not brought again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from charonia.errors import RepositoryError
from charonia.repository import StorageOptions
from charonia_repo_s3.storage import S3Storage

sys.path.insert(0, str(Path(__file__).parent))

from faulty_gate import FaultyGate

BIG = os.urandom(9 << 20)
"""More than one piece of a download."""

CHILD = """
import sys
from pathlib import Path
from charonia.repository import StorageOptions
from charonia_repo_s3.storage import S3Storage
S3Storage(sys.argv[1], StorageOptions(cache_directory=sys.argv[2])).localize("m", [1])
"""

LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
"""No file may have more than a mebibyte: the system refuses to write on, as on a full disk."""


@pytest.fixture
def gate(endpoint, bucket, monkeypatch):
    """Put a model into the bucket, and give a gate before the store."""
    monkeypatch.setattr(S3Storage, "pauses_seconds", (0.0,))
    bucket.put_object(Key="m/config.pbtxt", Body=b"")
    bucket.put_object(Key="m/1/model.bin", Body=BIG)
    with FaultyGate(endpoint) as gate:
        yield gate


@pytest.fixture
def storage(gate, tmp_path):
    storage = S3Storage(f"s3://{gate.address}/models", StorageOptions(cache_directory=str(tmp_path / "cache")))
    yield storage
    storage.close()


def check_whole(storage):
    directory = storage.localize("m", [1])
    assert (directory / "1" / "model.bin").read_bytes() == BIG
    storage.release(directory)


@pytest.mark.parametrize("fault", ["cut", "shorten", "deny"])
def test_fault_fails_the_model_and_passes(gate, storage, tmp_path, fault):
    """A connection that is cut, a store that lies about sizes or denies access: an error, no file, and all is well later."""
    gate.fault = fault
    with pytest.raises(RepositoryError):
        storage.localize("m", [1])
    assert not list((tmp_path / "cache").glob("blobs/*.9437184"))
    assert not list((tmp_path / "cache").glob("models/*"))
    gate.fault = ""
    check_whole(storage)


def test_denied_access_is_told(gate, storage):
    """The error says what to look at."""
    gate.fault = "deny"
    with pytest.raises(RepositoryError, match="denies access: check the credentials"):
        storage.model_names()


def test_stalled_store_is_given_up(gate, storage, monkeypatch):
    """A store that does not answer is an error once the time for one call is over."""
    monkeypatch.setattr(S3Storage, "stall_seconds", 0.5)
    gate.fault = "stall"
    with pytest.raises(RepositoryError, match="Timeout"):
        storage.localize("m", [1])
    monkeypatch.setattr(S3Storage, "stall_seconds", 60.0)
    gate.fault = ""
    gate.opened.set()
    check_whole(storage)


def test_killed_download_goes_on_after_the_restart(gate, storage, tmp_path):
    """After kill -9 in the middle of a file, the next start brings what is missing and no more."""
    arguments = [sys.executable, "-c", CHILD, storage.url, str(tmp_path / "cache")]
    gate.fault = "stall later"
    child = subprocess.Popen(arguments)
    gate.stalled.get(timeout=30)
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    gate.fault = ""
    gate.opened.set()
    gate.ranges.clear()
    check_whole(storage)
    assert [start for path, start in gate.ranges if path.endswith("model.bin")] == [8 << 20]


def test_full_disk_is_told_and_leaves_room(gate, storage, tmp_path):
    """Where the copies cannot be written, the error says where they lie; the next attempt starts from what is there."""
    arguments = [sys.executable, "-c", LIMITED + CHILD, storage.url, str(tmp_path / "cache")]
    child = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert child.returncode == 1
    assert f'the cache of remote models "{tmp_path / "cache"}" cannot be written: ' in child.stderr
    check_whole(storage)


def test_cache_with_too_little_room_is_told(gate, tmp_path):
    """A model that is larger than the cache may be is refused before anything is brought."""
    options = StorageOptions(cache_directory=str(tmp_path / "small"), cache_byte_size=1 << 20)
    storage = S3Storage(f"s3://{gate.address}/models", options)
    with pytest.raises(RepositoryError, match="let it have more bytes"):
        storage.localize("m", [1])
    assert gate.ranges == []
    storage.close()
