"""Reading parameters of models and settings of backends."""

from __future__ import annotations

import logging

import pytest
from charonia.errors import InvalidArgumentError
from charonia.model_parameters import ModelParameters, warn_of_misspelt
from charonia.testing.builders import model_config


def parameters(own=None, settings=None):
    return ModelParameters("arithmetic", model_config("m", parameters=own), settings or {})


def test_model_wins_over_the_backends_setting():
    """The backend's setting is what models without a parameter of their own get."""
    assert parameters(settings={"threads": "3"}).number("threads") == 3
    assert parameters({"threads": "0"}, {"threads": "3"}).number("threads") == 0


@pytest.mark.parametrize("text", ["-1", "1.5", "²", " 1", "one"])
def test_number_is_whole_and_not_negative(text):
    """Anything else names the parameter, the model, what was found and what is expected."""
    with pytest.raises(InvalidArgumentError) as caught:
        parameters({"limit": text}).number("limit")
    assert str(caught.value) == f"parameter 'limit' of model 'm' is '{text}': expected a whole number of 0 or more"


def test_bad_setting_names_its_flag():
    """A wrong value on the command line is told in the command line's words, whether or not there is a model."""
    for config in (None, model_config("m")):
        with pytest.raises(InvalidArgumentError, match=r"^--backend-config=arithmetic,threads is 'x'"):
            ModelParameters("arithmetic", config, {"threads": "x"}).number("threads")


@pytest.mark.parametrize(("text", "expected"), [("0", False), ("1", True), ("TRUE", True), ("false", False)])
def test_flag_takes_numbers_and_words(text, expected):
    """The reference's 0 and 1, and what people write."""
    assert parameters({"on": text}).flag("on") is expected


def test_choice_gives_what_its_word_stands_for():
    """Words are read in any case; nothing said is the default; another word is told beside those that there are."""
    words = {"fast": 1, "exact": 2}
    assert parameters({"way": "EXACT"}).choice("way", words, 0) == 2
    assert parameters().choice("way", words, 0) == 0
    with pytest.raises(InvalidArgumentError, match="is 'slow': expected one of fast, exact"):
        parameters({"way": "slow"}).choice("way", words, 0)


def test_text_may_have_to_match_a_pattern():
    """A text that does not match as a whole is told with what is expected; nothing said is the empty text."""
    assert parameters({"place": "a:1"}).text("place", r"\w:\d", allowed="a letter and a digit") == "a:1"
    assert parameters().text("place", r"\w:\d", allowed="a letter and a digit") == ""
    with pytest.raises(InvalidArgumentError, match="is 'a:1!': expected a letter and a digit"):
        parameters({"place": "a:1!"}).text("place", r"\w:\d", allowed="a letter and a digit")


def test_only_near_misses_are_told(caplog):
    """A stranger's parameter is none of our business."""
    with caplog.at_level(logging.WARNING):
        warn_of_misspelt("parameter", ["gpu_mem_limt", "acme", "gpu_mem_limit"], ["gpu_mem_limit"])
    assert [record.message for record in caplog.records] == [
        'parameter "gpu_mem_limt" is not known; did you mean "gpu_mem_limit"?'
    ]
