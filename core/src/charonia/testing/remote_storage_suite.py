"""The standard tests of a storage over the network: what it, and a server on it, do when the store or the network goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from google.protobuf import text_format

from charonia.errors import InferenceError, InternalError, RepositoryError
from charonia.load_teller import Phase
from charonia.options import ServerOptions
from charonia.plugins import Plugins
from charonia.repository import StorageOptions
from charonia.server import Server
from charonia.testing.builders import model_config
from charonia.testing.fakes import ArithmeticPlugin
from charonia.testing.faulty_gate import FaultyGate
from charonia.testing.patience import PATIENCE_SECONDS, wait_until
from charonia.testing.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from charonia.load_teller import LoadEvent
    from charonia.remote_storage import RemoteStorage

__all__ = ["RemoteStorageSuite"]

BIG = os.urandom(9 << 20)
"""More than one piece of a download."""

_CHILD = """
import sys
from importlib import import_module
from charonia.repository import StorageOptions
module, kind, url, cache = sys.argv[1:]
getattr(import_module(module), kind)(url, StorageOptions(cache_directory=cache)).localize("m", [1])
"""
_LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
"""No file may have more than a mebibyte: the system refuses to write on, as on a full disk."""


class RemoteStorageSuite(Suite):
    """What every storage must keep to that brings models over HTTP from a real server of its protocol.

    class TestMyFaults(RemoteStorageSuite):
        kind = MyStorage

        @pytest.fixture(autouse=True)
        def _store(self, my_server):
            self.place = my_server.address
            self.bucket = my_server.empty_bucket()

        def url_at(self, place):
            return f"my://{place}/bucket/models"

        def upload(self, path, content):
            self.bucket.put(f"models/{path}", content)

        def clear(self):
            self.bucket.clear()
    """

    kind: ClassVar[type[RemoteStorage]]
    """The storage."""

    place: str
    """The store's host and port. Requests are made to others, too, which pass them on."""

    def url_at(self, place: str) -> str:
        """Give the URL of the repository, where the store is reached at this host and port."""
        raise NotImplementedError(f"{type(self).__name__} must define url_at")

    def environment_at(self, place: str) -> Mapping[str, str]:
        """Give environment variables that are needed for it."""
        del place
        return {}

    def upload(self, path: str, content: bytes) -> None:
        """Put a file into the repository, such as "m/1/model.bin"."""
        raise NotImplementedError(f"{type(self).__name__} must define upload")

    def clear(self) -> None:
        """Remove everything from the store."""
        raise NotImplementedError(f"{type(self).__name__} must define clear")

    # -- what the tests use

    @pytest.fixture
    def gate(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyGate]:
        """Stand before the store, and let nobody pause between attempts."""
        monkeypatch.setattr(self.kind, "pauses_seconds", (0.0,))
        with FaultyGate(self.place) as gate:
            for name, value in self.environment_at(gate.address).items():
                monkeypatch.setenv(name, value)
            yield gate

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        """Tell where copies lie."""
        return tmp_path / "cache"

    @pytest.fixture
    def storage(self, gate: FaultyGate, cache: Path) -> Iterator[RemoteStorage]:
        """Give a storage of a repository with one large model, behind the gate."""
        self.upload("m/config.pbtxt", b"# nothing")
        self.upload("m/1/model.bin", BIG)
        storage = self.kind(self.url_at(gate.address), StorageOptions(cache_directory=str(cache)))
        yield storage
        storage.close()

    @pytest.fixture
    def make(self, gate: FaultyGate, cache: Path) -> Iterator[Callable[..., Server]]:
        """Make servers on the repository, behind the gate; closed at the end."""
        servers: list[Server] = []

        def make(**options: object) -> Server:
            settings = ServerOptions(model_cache_directory=str(cache), **options)  # type: ignore[arg-type]  # a test's words
            server = Server(self.url_at(gate.address), options=settings, plugins=Plugins(extra=[ArithmeticPlugin()]))
            servers.append(server)
            return server

        yield make
        gate.open()
        for server in servers:
            server.close()

    def _upload_model(self, name: str, scales: Mapping[int, float]) -> None:
        """Put a model into the repository that scales, in each version by another factor."""
        for version, scale in scales.items():
            self.upload(f"{name}/{version}/model.json", f'{{"scale": {scale}}}'.encode())
        config = text_format.MessageToString(model_config(name, max_batch_size=0))
        self.upload(f"{name}/config.pbtxt", config.encode())

    # -- downloads

    @pytest.mark.parametrize("fault", ["cut", "shorten", "deny", "vanish"])
    def test_fault_fails_the_model_and_passes(
        self, gate: FaultyGate, storage: RemoteStorage, cache: Path, fault: str
    ) -> None:
        """A cut connection, a store that lies about sizes, denies access or is gone: an error, no file, and all is well later."""
        gate.fault = fault
        with pytest.raises(RepositoryError):
            storage.localize("m", [1])
        assert not list(cache.glob(f"blobs/*.{len(BIG)}"))
        assert not list(cache.glob("models/*"))
        gate.open()
        _check_whole(storage)

    def test_denied_access_is_told(self, gate: FaultyGate, storage: RemoteStorage) -> None:
        """The error says what to look at."""
        gate.fault = "deny"
        with pytest.raises(RepositoryError, match="denies access: check the credentials"):
            storage.model_names()

    def test_stalled_store_is_given_up(
        self, gate: FaultyGate, storage: RemoteStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A store that does not answer is an error once the time for one call is over."""
        assert storage.model_names() == ["m"]
        monkeypatch.setattr(self.kind, "stall_seconds", 0.5)
        gate.fault = "stall"
        with pytest.raises(RepositoryError, match="Timeout"):
            storage.localize("m", [1])
        monkeypatch.setattr(self.kind, "stall_seconds", PATIENCE_SECONDS)
        gate.open()
        _check_whole(storage)

    def test_killed_download_goes_on_after_the_restart(
        self, gate: FaultyGate, storage: RemoteStorage, cache: Path
    ) -> None:
        """After kill -9 in the middle of a file, the next start brings what is missing and no more."""
        gate.fault = "stall later"
        child = subprocess.Popen(self._child(storage, cache))  # noqa: S603 - this very Python
        gate.stalled.get(timeout=PATIENCE_SECONDS)
        child.send_signal(signal.SIGKILL)
        child.wait(PATIENCE_SECONDS)
        gate.open()
        gate.parts.clear()
        _check_whole(storage)
        assert [start for path, start in gate.parts if "model.bin" in path] == [8 << 20]

    def test_full_disk_is_told_and_leaves_room(self, storage: RemoteStorage, cache: Path) -> None:
        """Where the copies cannot be written, the error says where they lie; the next attempt starts from what is there."""
        child = subprocess.run(  # noqa: S603 - this very Python
            self._child(storage, cache, _LIMITED),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert child.returncode == 1
        assert f'the cache of remote models "{cache}" cannot be written: ' in child.stderr
        _check_whole(storage)

    def _child(self, storage: RemoteStorage, cache: Path, before: str = "") -> list[str]:
        """Give the command of a process that brings the model."""
        return [
            *(sys.executable, "-c", before + _CHILD),
            *(self.kind.__module__, self.kind.__name__, storage.url, str(cache)),
        ]

    def test_cache_with_too_little_room_is_told(self, gate: FaultyGate, storage: RemoteStorage, cache: Path) -> None:
        """A model that is larger than the cache may be is refused before anything is brought."""
        options = StorageOptions(cache_directory=str(cache), cache_byte_size=1 << 20)
        small = self.kind(storage.url, options)
        with pytest.raises(RepositoryError, match="let it have more bytes"):
            small.localize("m", [1])
        assert gate.parts == []
        small.close()

    # -- servers

    def test_server_serves_what_the_policy_selects(self, make: Callable[..., Server], cache: Path) -> None:
        """Models are loaded and answer; only the files of the version that serves are brought, and told as they come."""
        self._upload_model("m", {1: 2, 2: 3})
        events: list[LoadEvent] = []
        server = make()
        server.start(events.append)
        assert _infer(server, "m") == 3.0
        brought = [event.brought for event in events if event.phase is Phase.BRINGING]
        assert brought[-1][0] == brought[-1][1] > 0
        assert {path.parent.name for path in (cache / "models").rglob("model.json")} == {"2"}

    @pytest.mark.parametrize("fault", ["deny", "vanish"])
    def test_lost_store_harms_nothing_that_serves(
        self, make: Callable[..., Server], gate: FaultyGate, fault: str
    ) -> None:
        """When the store denies access or is gone, what is loaded serves, a load fails, and the index says why."""
        self._upload_model("m", {1: 2})
        server = make(model_control_mode="explicit", load_model=["m"])
        server.start()
        gate.fault = fault
        problem, serving = server.index()
        assert (problem.version, problem.state, bool(problem.reason)) == ("", "UNAVAILABLE", True)
        assert (serving.version, serving.state) == ("1", "READY")
        with pytest.raises(InternalError, match="failed to poll from model repository"):
            server.load("m")
        assert _infer(server, "m") == 2.0
        gate.open()
        self._upload_model("m", {2: 5})
        server.load("m")
        assert _infer(server, "m") == 5.0

    def test_emptied_store_harms_nothing_that_serves(self, make: Callable[..., Server]) -> None:
        """Where nothing is stored any more, that is told as such, and unloads nothing."""
        self._upload_model("m", {1: 2})
        server = make(model_control_mode="explicit", load_model=["m"])
        server.start()
        self.clear()
        assert [(row.version, row.state) for row in server.index()] == [("", "UNAVAILABLE"), ("1", "READY")]
        with pytest.raises(InternalError, match="failed to poll from model repository"):
            server.load("m")
        assert _infer(server, "m") == 2.0

    @pytest.mark.parametrize("fault", ["deny", "vanish"])
    def test_store_that_is_lost_while_it_is_polled(
        self, make: Callable[..., Server], gate: FaultyGate, fault: str
    ) -> None:
        """Polling goes on without it: nothing is unloaded, and what has changed is found when the store is back."""
        self._upload_model("m", {1: 2})
        server = make(model_control_mode="poll", repository_poll_secs=0.1, repository_settle_secs=0.0)
        server.start()
        gate.fault = fault
        self._upload_model("m", {2: 5})
        self._upload_model("new", {1: 7})
        for _ in range(3):
            assert server.index()[0].state == "UNAVAILABLE"  # each look fails, as those of the poll do
        assert _infer(server, "m") == 2.0
        gate.open()
        wait_until(lambda: _infer(server, "m") == 5.0)
        wait_until(lambda: _infer(server, "new") == 7.0)

    def test_file_that_is_cut_off_while_it_is_polled(self, make: Callable[..., Server], gate: FaultyGate) -> None:
        """A new version that cannot be brought as a whole leaves the old one serving, and is loaded once it can."""
        self._upload_model("m", {1: 2})
        server = make(model_control_mode="poll", repository_poll_secs=0.1, repository_settle_secs=0.0)
        server.start()
        gate.fault = "cut"
        self._upload_model("m", {2: 5})
        wait_until(lambda: any(row.state == "UNAVAILABLE" and row.reason for row in server.index()))
        assert _infer(server, "m") == 2.0
        gate.open()
        wait_until(lambda: _infer(server, "m") == 5.0)

    def test_second_start_needs_no_download(self, make: Callable[..., Server], gate: FaultyGate) -> None:
        """The copies outlast the server: the next one on the same machine brings no file again."""
        self._upload_model("m", {1: 2})
        with make() as first:
            assert _infer(first, "m") == 2.0
        gate.parts.clear()
        with make() as second:
            assert _infer(second, "m") == 2.0
        assert not [path for path, _ in gate.parts if "model.json" in path]


def _check_whole(storage: RemoteStorage) -> None:
    directory = storage.localize("m", [1])
    assert (directory / "1" / "model.bin").read_bytes() == BIG
    storage.release(directory)


def _infer(server: Server, name: str) -> float:
    """Give the factor of a model; 0 while it does not serve."""
    try:
        return float(np.asarray(server.model(name).infer({"INPUT0": np.ones(16, np.float32)})["OUTPUT0"])[0])
    except InferenceError:
        return 0.0
