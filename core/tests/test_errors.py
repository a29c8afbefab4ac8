"""The tree of errors and their wording."""

from __future__ import annotations

import pytest
from charonia import errors
from charonia.errors import (
    CharoniaError,
    ConfigError,
    ConfigProblem,
    ErrorCode,
    InferenceError,
    NotFoundError,
    PluginError,
    RepositoryError,
    describe_cause,
)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_its_class(code):
    """`of` gives the one class of a code, with the message."""
    error = InferenceError.of(code, "why")
    assert error.code is code
    assert str(error) == "why"
    assert type(error) is not InferenceError


def test_classes_and_codes_are_one_to_one():
    """No two classes share a code."""
    kinds = InferenceError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds) == len(ErrorCode)


def test_everything_public_is_one_tree():
    """Whoever catches CharoniaError catches all that is raised on purpose, and the drawing shows each class."""
    for name in errors.__all__:
        thing = getattr(errors, name)
        if isinstance(thing, type) and issubclass(thing, Exception):
            assert issubclass(thing, CharoniaError)
            assert name in errors.__doc__


def test_cancelled_is_not_asyncios():
    """A request that was taken back does not look like a task that was cancelled."""
    assert not issubclass(errors.CancelledError, __import__("asyncio").CancelledError)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (ConfigProblem("it is wrong"), "it is wrong"),
        (ConfigProblem("it is wrong", found="3"), "it is wrong (found 3)"),
        (ConfigProblem("it is wrong", expected="4"), "it is wrong (expected 4)"),
        (
            ConfigProblem("it is wrong", "max_batch_size", "-1", "0 or more", "use 0"),
            "it is wrong (found -1; expected 0 or more; use 0)",
        ),
    ],
)
def test_problem_says_what_it_knows(problem, text):
    """What was found, expected and advised follows in brackets, as far as it is known."""
    assert str(problem) == text


def test_config_error_locates_every_problem():
    """Each problem has a line of its own, with model, file and line as far as they are known."""
    problems = [ConfigProblem("a", line=3), ConfigProblem("b")]
    error = ConfigError("m", problems, "m/config.pbtxt")
    assert str(error) == 'model "m" (m/config.pbtxt:3): a\nmodel "m" (m/config.pbtxt): b'
    assert (error.model, error.file, error.problems) == ("m", "m/config.pbtxt", problems)
    assert str(ConfigError("m", problems[1:])) == 'model "m" (its configuration): b'


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotFoundError("no file"), "Not found: no file"),
        (ConfigError("m", [ConfigProblem("a"), ConfigProblem("b", found="1")]), "Invalid argument: a; b (found 1)"),
        (PluginError("no plugin"), "Invalid argument: no plugin"),
        (RepositoryError("no folder"), "Invalid argument: no folder"),
        (ZeroDivisionError("division by zero"), "Internal: ZeroDivisionError: division by zero"),
    ],
)
def test_cause_is_worded_as_a_models_state(error, text):
    """A model's reason begins with the name of the canonical code."""
    assert describe_cause(error) == text
