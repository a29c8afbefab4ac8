"""Reading the values of frontends' options."""

from __future__ import annotations

import pytest
from charonia.errors import CharoniaError
from charonia.frontend_offer import read_lines, read_port, read_whole_number


@pytest.mark.parametrize("port", [0, 8000, 65_535])
def test_a_port_is_taken(port):
    """Zero is one, too: it stands for any that is free."""
    assert read_port({"http-port": port}, "http-port") == port


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
def test_ports_that_cannot_be_are_told(port):
    """There are not so many; the system would take the remainder."""
    with pytest.raises(CharoniaError) as refused:
        read_port({"http-port": port}, "http-port")
    assert str(refused.value) == f"--http-port={port}: expected a whole number from 0 to 65535"


def test_what_may_come_several_times_is_read_line_by_line():
    """Where it did not come at all, there is no line."""
    assert read_lines({"x": "a=1\nb=2"}, "x") == ["a=1", "b=2"]
    assert read_lines({"x": ""}, "x") == []


def test_a_number_has_its_own_bounds():
    """A number may have to be more than nothing."""
    assert read_whole_number({"size": 1}, "size", least=1) == 1
    with pytest.raises(CharoniaError, match="--size=0: expected a whole number from 1 to 2147483647"):
        read_whole_number({"size": 0}, "size", least=1)
