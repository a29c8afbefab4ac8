"""Where the server's log is written to."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from charonia.access_log import MORE
from charonia.cli.log import writing_log
from charonia.log_settings import LogSetting

LOG = logging.getLogger("charonia.tested")


def test_a_line_is_in_the_file_at_once(tmp_path):
    """Save where others follow: then they are there together with the last of them."""
    path = tmp_path / "server.log"
    with writing_log(LogSetting(file=str(path))):
        LOG.warning("alone")
        assert path.read_text().endswith("charonia.tested: alone\n")
        LOG.warning("first", extra={MORE: True})
        LOG.warning("last", extra={MORE: False})
        assert [line.rpartition(" ")[2] for line in path.read_text().splitlines()] == ["alone", "first", "last"]


def test_a_file_that_was_moved_away_is_made_anew(tmp_path):
    """What follows is in a new file of the name, and nothing is lost on the way."""
    path, old = tmp_path / "server.log", tmp_path / "old.log"
    with writing_log(LogSetting(file=str(path))):
        LOG.warning("before")
        path.rename(old)
        LOG.warning("first", extra={MORE: True})
        LOG.warning("last", extra={MORE: False})
    lines = old.read_text().splitlines() + path.read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["before", "first", "last"]
    assert path.read_text().endswith("last\n")


def test_a_directory_that_is_away_costs_no_more_than_the_lines(tmp_path, capsys):
    """Whoever logs goes on; stderr says so once, and lines that come when it is back are written."""
    place = tmp_path / "logs"
    place.mkdir()
    with writing_log(LogSetting(file=str(place / "server.log"))):
        LOG.warning("before")
        place.rename(tmp_path / "away")
        for line in ("lost", "lost, too"):
            LOG.warning(line)
        place.mkdir()
        LOG.warning("after")
        shutil.rmtree(place)
        LOG.warning("lost again")
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": [Errno 2] No such file")[0] for line in told] == [
        "charonia: the log cannot be written, and lines are lost"
    ] * 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_disk_that_is_full_costs_no_more_than_the_lines(capsys):
    """It is told once, also for many lines that are written together, and not at the end."""
    with writing_log(LogSetting(file="/dev/full")):
        for line in range(3):
            LOG.warning("first %d", line, extra={MORE: True})
            LOG.warning("last %d", line)
    (told,) = capsys.readouterr().err.splitlines()
    assert told == "charonia: the log cannot be written, and lines are lost: [Errno 28] No space left on device"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_stderr_that_is_on_a_full_disk_too_costs_no_more_than_the_lines(tmp_path, monkeypatch):
    """Whoever logs goes on, also where nobody can be told that lines are lost."""
    place = tmp_path / "logs"
    place.mkdir()
    with Path("/dev/full").open("w", buffering=1) as full, writing_log(LogSetting(file=str(place / "server.log"))):
        monkeypatch.setattr(sys, "stderr", full)
        LOG.warning("before")
        place.rename(tmp_path / "away")
        LOG.warning("lost")
        place.mkdir()
        LOG.warning("after")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
    assert (place / "server.log").read_text().endswith("after\n")


def test_on_stderr_a_line_is_there_at_once(capsys):
    """Whatever stderr is at the time gets it."""
    with writing_log(LogSetting()):
        LOG.warning("first", extra={MORE: True})
        LOG.warning("last")
        assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == ["first", "last"]


def test_warnings_of_python_are_in_the_log(tmp_path):
    """What code warns of is a record as others, so that a log of JSON has nothing else."""
    path = tmp_path / "server.log"
    with writing_log(LogSetting(file=str(path), format="JSON")), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("mind the step", stacklevel=1)
    (line,) = map(json.loads, path.read_text().splitlines())
    assert (line["level"], line["logger"]) == ("WARNING", "py.warnings")
    assert "UserWarning: mind the step" in line["message"]


def test_what_is_no_unicode_is_written_too(tmp_path):
    """Half a character, as in the name of a file that is no UTF-8, does not cost the line."""
    path = tmp_path / "server.log"
    with writing_log(LogSetting(file=str(path))):
        LOG.warning("x\udce9")
    assert path.read_text().endswith("charonia.tested: x\\udce9\n")
