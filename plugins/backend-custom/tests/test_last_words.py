"""The answers that a process holds back: here both sides are in one."""

from __future__ import annotations

import pytest
from charonia_backend_custom.process.last_words import LastWords, room_for_last_words
from hypothesis import given
from hypothesis import strategies as st

ANSWERED = st.tuples(st.integers(1, 1 << 40), st.binary(max_size=20_000), st.none())


@pytest.fixture
def sides():
    """The process's side, and the server's."""
    return both_sides()


def both_sides():
    with room_for_last_words() as memory:
        return LastWords(memory), LastWords(memory)


@given(st.lists(st.tuples(ANSWERED, st.booleans()), max_size=30))
def test_what_was_kept_since_the_last_sending_is_there(steps):
    """The server reads what was kept and not forgotten, in its order, as much of it as there is room for."""
    process, server = both_sides()
    expected = []
    for answered, sent in steps:
        if process.keep(answered):
            expected.append(answered)
        if sent:
            process.forget(process.mark)
            expected = []
        assert server.read() == expected


def test_what_does_not_fit_is_not_kept(sides):
    """Neither a large answer nor the last of many is kept, and those that were stay."""
    process, server = sides
    assert not process.keep((1, bytes(1 << 17), None))
    count = 0
    while process.keep((count, bytes(1_000), None)):
        count += 1
    assert [number for number, _, _ in server.read()] == list(range(count))
    assert count > 50


def test_what_is_kept_while_others_are_sent_stays(sides):
    """Only whoever has sent everything forgets it."""
    process, server = sides
    process.keep((1, b"sent", None))
    mark = process.mark
    process.keep((2, b"not yet", None))
    process.forget(mark)
    assert [number for number, _, _ in server.read()] == [1, 2]
    process.forget(process.mark)
    assert server.read() == []


def test_errors_are_kept_too(sides):
    """The reason why there is no answer is as good as one."""
    process, server = sides
    process.keep((3, None, ValueError("for this reason")))
    ((number, value, error),) = server.read()
    assert (number, value, str(error)) == (3, None, "for this reason")


@pytest.mark.parametrize("written", [b"\xff" * 64, bytes([255]) + bytes(63), b"\x10" + bytes(7) + b"nonsense"])
def test_what_is_spoilt_is_left_out(sides, written):
    """Where a process has written over it, as one does that falls, the server finds no more than makes sense."""
    process, server = sides
    process.keep((1, b"answer", None))
    process._memory[: len(written)] = written
    assert server.read() == []
