"""The file of traces is whole whenever somebody reads it, whatever becomes of the disk."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from types import SimpleNamespace

import pytest
from charonia.trace_file import TraceFile
from charonia.trace_settings import TraceSetting


@pytest.fixture
def write(tmp_path):
    """Give what writes traces of some numbers at once, and the path of the file."""
    path = tmp_path / "gone" / "trace.json"
    path.parent.mkdir()
    files = []

    def run(*numbers, log_frequency=0):
        setting = TraceSetting(level=("TIMESTAMPS",), file=str(path), log_frequency=log_frequency)
        files.extend([] if files else [TraceFile(setting)])
        files[0]._write([trace(number, setting) for number in numbers])
        return files[0]

    yield run, path
    for file in files:
        file.close()


def trace(number, setting):
    """Give a trace as the server hands it over."""
    return SimpleNamespace(
        number=number, setting=setting, parent=None, model="m", version=1, request_id="é", moments={"A": 1}, tensors=()
    )


def numbers(path):
    """Read the numbers of the traces in a file."""
    return [record["id"] for record in json.loads(path.read_text("utf-8")) if "model_name" in record]


def test_the_file_is_whole_while_it_is_written(write):
    """Also when the server is killed."""
    run, path = write
    run(1)
    assert numbers(path) == [1]
    run(2, 3)
    assert numbers(path) == [1, 2, 3]
    run().close()
    assert numbers(path) == [1, 2, 3]


@pytest.mark.parametrize("before", [(), (1, 2)])
def test_a_disk_that_is_full_leaves_the_file_whole(write, caplog, before):
    """What has no room is lost, which the log tells once; when there is room again, what comes is written."""
    run, path = write
    if before:
        run(*before)
    plain = FileIO.write
    room = [60]

    class Full(FileIO):
        def write(self, data):
            written = plain(self, data[: room[0]])
            room[0] -= written
            if not written:
                raise OSError(errno.ENOSPC, "No space left on device")
            return written

        def truncate(self, size):
            room[0] += 2
            return super().truncate(size)

    writer = run()
    if writer._whole is not None:
        writer._whole.close()
    writer._whole = Full(path, "r+" if before else "w")
    run(3, 4)
    run(5)
    assert numbers(path) == list(before)
    room[0] = 10**6
    run(6)
    assert numbers(path) == [*before, 6]
    assert caplog.messages == [
        "traces cannot be written, and are lost: [Errno 28] No space left on device",
        "traces are written again",
    ]


def test_a_directory_that_is_away_for_a_while_costs_what_comes_meanwhile(write, caplog):
    """Numbered files have no gap, and no halves."""
    run, path = write
    run(1, 2, log_frequency=1)
    path.parent.rename(path.parent.with_name("there"))
    run(3, 4, log_frequency=1)
    path.parent.with_name("there").rename(path.parent)
    run(5, log_frequency=1)
    assert [numbers(file) for file in sorted(path.parent.iterdir())] == [[1], [2], [5]]
    assert [message.partition(",")[0] for message in caplog.messages] == [
        "traces cannot be written",
        "traces are written again",
    ]


def test_a_pipe_gets_an_array_that_ends_with_it(write):
    """Nothing can be replaced in it, as the end of an array in a file is."""
    run, path = write
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as reader:
        told = reader.submit(numbers, path)
        run(1)
        run(2, 3).close()
        assert told.result() == [1, 2, 3]


def test_a_pipe_that_nobody_reads_any_more_costs_no_more_than_its_traces(write, caplog):
    """The log says so, and the server ends as it should."""
    run, path = write
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as reader:
        opened = reader.submit(path.open, "rb")
        run(1)
        opened.result().close()
        run(2).close()
    assert caplog.messages == ["traces cannot be written, and are lost: [Errno 32] Broken pipe"]
