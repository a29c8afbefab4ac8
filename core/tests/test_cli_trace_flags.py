"""What `--trace-config` may say."""

from __future__ import annotations

import click
import pytest
from charonia.cli.trace_flags import trace_flags, trace_setting
from charonia.trace_settings import TraceSetting


def parse(*words):
    """Read words as the command line does."""
    command = click.Command("serve", params=trace_flags())
    with command.make_context("serve", [f"--trace-config={word}" for word in words]) as context:
        return trace_setting(context.params["trace_config"])


def test_settings_add_up():
    """Levels add up in the reference's order, later numbers win, and the mode may stand before a setting."""
    assert parse() == TraceSetting()
    words = ["triton,file=t.json", "level=TENSORS", "level=TIMESTAMPS", "rate=5", "rate=7", "count=-1"]
    assert parse(*words, "triton,log-frequency=3", "mode=triton") == TraceSetting(
        level=("TIMESTAMPS", "TENSORS"), rate=7, log_frequency=3, file="t.json"
    )
    assert parse("level=TIMESTAMPS", "level=OFF") == TraceSetting()


def test_a_mode_of_a_plugin_has_settings_of_its_own():
    """They are kept as they were told, in their order; without a mode, it is that of the one plugin that got some."""
    words = ["acme,colour=red", "acme,colour=a=b", "level=TIMESTAMPS", "rate=3"]
    told = TraceSetting(level=("TIMESTAMPS",), rate=3, mode="acme", options=(("colour", "red"), ("colour", "a=b")))
    assert parse(*words) == told
    assert parse("mode=acme", *words, "other,size=2") == told
    assert parse("mode=triton", *words, "file=t.json") == TraceSetting(level=("TIMESTAMPS",), rate=3, file="t.json")
    assert parse("acme,colour=red", "other,size=2") == TraceSetting()


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("rate", "--trace-config option format is <mode>,<setting>=<value> or <setting>=<value>. Got rate"),
        ("triton,", "Got triton,"),
        ("opentelemetry,url", "Got opentelemetry,url"),
        ("colour=red", "there is no setting 'colour'. There are rate, count, log-frequency, level, file, mode."),
        ("level=MOST", "a level is one of TIMESTAMPS, TENSORS, OFF."),
        ("rate=x", "expected a whole number from 0 up."),
        ("count=-2", "expected a whole number from -1 up."),
        ("file=no/where/t.json", "file=no/where/t.json has no directory: name a file in a directory that exists"),
        ("level=TENSORS", "needs a file to write to: add --trace-config=triton,file=FILE"),
    ],
)
def test_what_is_wrong_is_told(word, text):
    """A malformed or unknown setting names itself and what is expected."""
    with pytest.raises(click.UsageError) as raised:
        parse(word)
    assert text in str(raised.value)
