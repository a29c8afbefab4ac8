"""What `--memory-budget` may say."""

from __future__ import annotations

import click
import pytest
from charonia.cli.memory_flags import memory_flags


def parse(*words):
    """Read words as the command line does."""
    with click.Command("serve", params=memory_flags()).make_context("serve", list(words)) as context:
        return context.params


def test_without_a_word_there_is_no_limit():
    """The default is none, and thirty seconds are waited for room."""
    assert parse() == {"memory_budget": 0, "memory_wait_secs": 30}


@pytest.mark.parametrize(
    ("word", "byte_size"),
    [
        ("4GiB", 4 << 30),
        ("1.5 gib", 3 << 29),
        ("500MB", 500_000_000),
        ("2TiB", 2 << 40),
        ("10kb", 10_000),
        ("77", 77),
        ("77B", 77),
    ],
)
def test_sizes_have_units(word, byte_size):
    """A size is a number of bytes, or has a unit of the thousands or of 1024, in capitals or not."""
    assert parse("--memory-budget", word)["memory_budget"] == byte_size


@pytest.mark.parametrize("word", ["", "GiB", "4 GiBit", "-1", "4,5GB", "٤GiB"])
def test_what_is_no_size_is_refused(word):
    """The message shows how sizes are written."""
    with pytest.raises(click.BadParameter, match=r"is no size, such as 4GiB, 500MB or 1000000\."):
        parse("--memory-budget", word)
