"""The benchmark's way through h2load: what it is told, how its records are read, and that a refusal is noticed."""

from __future__ import annotations

import shutil
import sys

import pytest

from benchmarks.__main__ import _possible
from benchmarks.generators import H2Load, OwnGenerator, PerfAnalyzer, sender
from benchmarks.latency import LoadError
from benchmarks.process import free_port
from benchmarks.sides import BARE, SIDES
from benchmarks.ways import WAYS

WAY = WAYS["grpc-h2load"]

PROGRAM = """#!{python}
import sys
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:-1])
body = open(words["data"], "rb").read()
assert body[:5] == bytes(1) + (len(body) - 5).to_bytes(4, "big")
assert (words["clients"], words["duration"]) == ("2", "500ms")
assert sys.argv[-1].startswith("http://127.0.0.1:77/inference.")
with open(words["log-file"], "w") as records:
    for number in range(100):
        records.write(f"{{1_000_000_000 + number * 1000}}\\t200\\t{{500 + number}}\\n")
print("traffic: 10KB (10000) total, 1KB (1000) headers (space savings 90%), {came} data")
"""


@pytest.fixture
def program(tmp_path):
    """Write a program that answers as h2load does, after so much data as it is told."""

    def write(came):
        path = tmp_path / "h2load"
        path.write_text(PROGRAM.format(python=sys.executable, came=came))
        path.chmod(0o755)
        return H2Load(str(path))

    return write


def test_its_records_become_figures(program):
    """Each has when a request began and how long it took, in microseconds."""
    load = program("9KB (9000)").run(WAY, 77, "identity", 2, 0.5)
    assert load.requests == 90
    assert load.begin_ns == 1_000_000_000_000 + int(0.1 * (99_000_000 + 599_000))
    assert load.mean_us == pytest.approx(554.5)


@pytest.mark.parametrize("came", ["1KB (1000)", "nothing of"])
def test_answers_that_are_too_small_are_refusals(program, came):
    """It does not read how a call ended, and a refusal has no tensor."""
    with pytest.raises(LoadError, match="refused"):
        program(came).run(WAY, 77, "identity", 2, 0.5)


def test_who_sends():
    """Its way is nobody else's, large tensors are the own generator's, and the rest is the chosen one's."""
    chosen = PerfAnalyzer(["nothing"])
    assert sender(WAYS["grpc"], "identity", chosen) is chosen
    assert isinstance(sender(WAYS["grpc"], "identity-1MiB", chosen), OwnGenerator)
    assert sender(WAYS["grpc-shm"], "identity-1MiB", chosen) is None
    assert not H2Load().can(WAYS["grpc"])


def test_where_it_is_not_installed_its_way_is_left_out(monkeypatch):
    """With the word what to install."""
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    left_out = {}
    assert _possible([WAYS["grpc"], WAY], OwnGenerator(), [], left_out) == [WAYS["grpc"]]
    assert left_out == {"grpc-h2load": "h2load is not installed; the package nghttp2-client has it"}
    assert sender(WAY, "identity", OwnGenerator()) is None


@pytest.mark.skipif(not H2Load().installed, reason="needs h2load (Debian's package nghttp2-client)")
def test_it_loads_a_server(tmp_path):
    """The bare handler, with small and with large tensors; nobody at all is told as what it is."""
    side = SIDES[BARE](tmp_path)
    try:
        for model in ("identity", "identity-1MiB"):
            load = H2Load().run(WAY, side.port(WAY), model, 2, 0.5)
            assert load.requests > 0
            assert 0 < load.p50_us <= load.p99_us
    finally:
        side.process.stop()
    with pytest.raises(LoadError):
        H2Load().run(WAY, free_port(), "identity", 1, 0.2)
