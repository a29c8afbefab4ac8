"""What holds for every test of the house, and fixtures that several distributions share."""

from __future__ import annotations

import gc
import subprocess
import threading

import pytest
from charonia.request import InferenceRequest
from charonia.testing.shared_objects import SharedObjects
from charonia.tls import TlsFiles
from hypothesis import settings

# A test asserts behaviour, not how fast the machine is that runs it; how long one may take in all is pytest's timeout.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _no_surviving_threads(no_surviving_threads: None) -> None:
    """No test leaves a thread of ours behind."""


@pytest.fixture
def objects():
    """Give objects of shared memory, as clients make them."""
    with SharedObjects() as made:
        yield made


@pytest.fixture
def side_by_side():
    """Call something so many times in each of four threads at once, and wait for them."""

    def call(act, times):
        def repeat():
            for _ in range(times):
                act()

        threads = [threading.Thread(target=repeat) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return call


@pytest.fixture
def taken_back(monkeypatch):
    """Give a semaphore that is released whenever a request is cancelled."""
    heard = threading.Semaphore(0)
    cancel = InferenceRequest.cancel

    def tell(request):
        cancel(request)
        heard.release()

    monkeypatch.setattr(InferenceRequest, "cancel", tell)
    return heard


@pytest.fixture(scope="session")
def make_certificate(tmp_path_factory):
    """Make a key for a name, and a certificate of this machine that vouches for itself."""
    folder = tmp_path_factory.mktemp("tls")

    def make(name):
        key, chain = folder / f"{name}.key", folder / f"{name}.pem"
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
        command = ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(chain)]
        subprocess.run(command, check=True, capture_output=True)
        return TlsFiles(str(chain), str(key))

    return make


@pytest.fixture(scope="session")
def certificate(make_certificate):
    """Give the files of a server that speaks TLS."""
    return make_certificate("server")


def pytest_collection_finish() -> None:
    """Spare the garbage collector the thousands of collected tests, which stay: unloading a model collects what it held."""
    gc.collect()
    gc.freeze()
