"""The trace settings: what a model has of the server's, what is refused and in which words."""

from __future__ import annotations

import pytest
from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia.trace_settings import TraceSetting, TraceSettings
from hypothesis import given
from hypothesis import strategies as st


def test_defaults_are_the_references():
    """Without a change everything is off, in the protocol's names and order."""
    assert list(TraceSettings().get("m").describe().items()) == [
        ("trace_level", ["OFF"]),
        ("trace_rate", ["1000"]),
        ("trace_count", ["-1"]),
        ("log_frequency", ["0"]),
        ("trace_file", [""]),
        ("trace_mode", ["triton"]),
    ]


def test_a_model_has_the_servers_settings_save_its_own():
    """What is set for a model hides the server's, which shows again when it is taken back; other models are not touched."""
    settings = TraceSettings()
    settings.update({"trace_rate": ["77"], "trace_count": ["5"]})
    assert settings.update({"trace_rate": ["9"]}, "m") == TraceSetting(rate=9, count=5)
    assert settings.get("other") == settings.get() == TraceSetting(rate=77, count=5)
    settings.update({"trace_count": ["6"], "trace_rate": ["78"]})
    assert settings.get("m") == TraceSetting(rate=9, count=6)
    assert settings.update({"trace_rate": None}, "m") == TraceSetting(rate=78, count=6)
    assert settings.update({"trace_rate": None, "trace_count": None, "trace_level": None}) == TraceSetting()


def test_unknown_names_and_levels_are_passed_over():
    """As in the reference, what is not known changes nothing."""
    settings = TraceSettings(TraceSetting(level=("TENSORS",), file="trace.json"))
    assert settings.update({"bogus": ["1"], "trace_level": ["BOGUS"]}).level == ("TENSORS",)
    assert settings.update({"trace_level": []}).level == ("TENSORS",)
    assert settings.update({"trace_level": ["BOGUS", "TIMESTAMPS"]}).level == ("TIMESTAMPS",)


def test_only_who_has_settings_of_its_own_is_a_scope():
    """Whoever asks for a model's settings, or takes all of them back, leaves it with the server's."""
    settings = TraceSettings()
    settings.update({}, "m")
    assert settings.scopes() == {"": TraceSetting()}
    settings.update({"trace_rate": ["9"]}, "m")
    assert settings.scopes() == {"": TraceSetting(), "m": TraceSetting(rate=9)}
    settings.update({"trace_rate": None}, "m")
    assert settings.scopes() == {"": TraceSetting()}


def test_what_would_never_be_written_is_refused():
    """A rate of 0 is no rate where something is on, for the server and for each model, as in the reference."""
    settings = TraceSettings(TraceSetting(file="trace.json"))
    settings.update({"trace_rate": ["0"]})
    for model in ("", "m"):
        with pytest.raises(InvalidArgumentError, match="invalid trace setting :sample rate must be non-zero"):
            settings.update({"trace_level": ["TENSORS"]}, model)
    settings.update({"trace_level": ["TENSORS"], "trace_rate": ["1"]}, "m")
    with pytest.raises(InvalidArgumentError, match="sample rate must be non-zero"):
        settings.update({"trace_rate": ["0"]}, "m")
    assert TraceSettings(TraceSetting(level=("TENSORS",), rate=0, mode="opentelemetry")).update({}).rate == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"trace_level": ["TIMESTAMPS"]}, "Attempting to set invalid trace setting :trace file name is not given"),
        ({"trace_level": ["OFF", "TENSORS"]}, "Expect only one trace level 'OFF' is specified"),
        ({"trace_rate": ["abc"]}, "Unable to parse 'trace_rate', got: abc"),
        ({"trace_rate": [""]}, "Unable to parse 'trace_rate', got: "),
        ({"trace_rate": ["٣"]}, "Unable to parse 'trace_rate', got: ٣"),
        ({"log_frequency": ["1.5"]}, "Unable to parse 'log_frequency', got: 1.5"),
        (
            {"trace_rate": ["99999999999"]},
            "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: 99999999999",
        ),
        ({"trace_rate": ["-1"]}, "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: -1"),
        (
            {"trace_count": ["2147483648"]},
            "Unable to parse 'trace_count', value is out of range [ -1, 2147483647 ], got: 2147483648",
        ),
        (
            {"trace_count": ["-99999999999"]},
            "Unable to parse 'trace_count', value is out of range [ -1, 2147483647 ], got: -99999999999",
        ),
        ({"trace_count": ["-2"]}, "Unable to parse 'trace_count'. Expecting value >= -1, got: -2"),
        ({"trace_rate": ["9", "8"]}, "expect only 1 value for 'trace_rate'"),
    ],
)
def test_wrong_values_are_refused_in_the_references_words(changes, text):
    """A wrong value is told, and nothing of the same change holds."""
    settings = TraceSettings()
    with pytest.raises(InvalidArgumentError) as caught:
        settings.update({"trace_count": ["3"], **changes})
    assert str(caught.value) == text
    assert settings.get() == TraceSetting()


def test_the_trace_file_is_the_owners():
    """Nobody on the network says where the server writes."""
    with pytest.raises(UnsupportedError) as caught:
        TraceSettings().update({"trace_file": ["/tmp/x"]})
    assert str(caught.value) == "trace file location can not be updated through network protocol"


def test_levels_need_a_file():
    """Where the owner gave a trace file, levels can be switched on, and are told in the reference's order."""
    settings = TraceSettings(TraceSetting(file="trace.json"))
    assert settings.update({"trace_level": ["TENSORS", "TIMESTAMPS"]}, "m").level == ("TIMESTAMPS", "TENSORS")
    assert settings.update({"trace_level": ["OFF"]}, "m").level == ()


@given(number=st.integers(), zeros=st.sampled_from(["", "0", "0" * 5000]))
def test_every_number_is_taken_or_refused(number, zeros):
    """A number in the range is taken as it is, whatever its spelling; any other is the caller's mistake."""
    text = f"-{zeros}{-number}" if number < 0 else f"{zeros}{number}"
    try:
        rate = TraceSettings().update({"trace_rate": [text]}).rate
    except InvalidArgumentError:
        assert not 0 <= number < 2**32
    else:
        assert rate == number


@pytest.mark.parametrize("sign", ["", "-"])
def test_endless_numbers_are_out_of_range(sign):
    """A number of thousands of digits is told like any other that is too large."""
    with pytest.raises(InvalidArgumentError, match="value is out of range"):
        TraceSettings().update({"trace_count": [sign + "9" * 5000]})
