"""Environment variables in configurations."""

import pytest
from charonia.config import parse_config
from charonia.errors import ConfigError

FORMS = pytest.mark.parametrize("file", ["config.pbtxt", "config.yaml"])


def read(text, file, **environment):
    return parse_config(text, model="m", file=file, environment=environment).config


def problem(text, file, **environment):
    with pytest.raises(ConfigError) as caught:
        read(text, file, **environment)
    (only,) = caught.value.problems
    return only


@FORMS
@pytest.mark.parametrize(
    ("environment", "size"), [({"SIZE": "4"}, 4), ({}, 8), ({"SIZE": ""}, 8)], ids=["set", "unset", "empty"]
)
def test_a_default_stands_in_for_an_unset_or_empty_variable(file, environment, size):
    """`:-` works as in a shell."""
    assert read("max_batch_size: ${SIZE:-8}", file, **environment).max_batch_size == size


@FORMS
def test_a_variable_without_value_and_default_is_a_problem(file):
    """The problem names the variable and its line, and says how to give a default."""
    found = problem('\n\nbackend: "${BACKEND}"', file)
    assert found.text == "environment variable BACKEND is not set"
    assert (found.line, found.hint) == (3, "set it, or give a default: ${BACKEND:-default}")


@FORMS
def test_an_empty_variable_is_a_value(file):
    """A variable that is set to nothing is set."""
    assert read('backend: "${BACKEND}"', file, BACKEND="").backend == ""


@FORMS
def test_a_variable_may_be_a_part_of_the_syntax(file):
    """Outside of quotes the value is read as if it had been written there."""
    text = {
        "config.pbtxt": 'input { name: "x" dims: ${DIMS} }',
        "config.yaml": "input: [{name: x, dims: ${DIMS}}]",
    }[file]
    assert list(read(text, file, DIMS="[1, 2]").input[0].dims) == [1, 2]


@FORMS
@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("value", ["C:\\new", 'a"b', "it's", "# no comment", "{ [", "${OTHER}"])
def test_a_value_in_quotes_is_one_string(file, quote, value):
    """No character of the value ends the string or is read as an escape, and no reference in it is followed."""
    assert read(f"backend: {quote}<${{V}}>{quote}", file, V=value).backend == f"<{value}>"


def test_quotes_can_hold_a_value_of_several_lines():
    """A line break in a value stays one where quotes have an escape for it."""
    for text, file in (('backend: "${V}"', "config.yaml"), ("backend: '${V}'", "config.pbtxt")):
        assert read(text, file, V="a\nb").backend == "a\nb"


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("backend: '${V}'", "config.yaml"),
        ("backend: ${V}", "config.yaml"),
        ('metric_tags { key: "a" ${V} }', "config.pbtxt"),
    ],
)
def test_a_value_of_several_lines_needs_double_quotes(text, file):
    """Elsewhere it would change the lines of the file, so it is a problem."""
    with pytest.raises(ConfigError) as caught:
        read(text, file, V="a\nb")
    found = caught.value.problems[0]
    assert found.text == "environment variable V has several lines"
    assert found.hint == 'or put the reference in double quotes: "${V}"'


@FORMS
def test_comments_are_left_alone(file):
    """A reference in a comment needs no variable."""
    assert read('# ${A}\nbackend: "a#${B}" # ${C}\n', file, B="b").backend == "a#b"


@FORMS
def test_two_dollars_stand_for_the_characters_themselves(file):
    """`$${` is `${`, and other dollars mean nothing."""
    text = {
        "config.pbtxt": 'metric_tags { key: "a" value: "$${X} $$TRITON $5" }',
        "config.yaml": 'metric_tags: {a: "$${X} $$TRITON $5"}',
    }[file]
    assert read(text, file).metric_tags["a"] == "${X} $$TRITON $5"


@FORMS
@pytest.mark.parametrize("reference", ["${", "${1A}", "${A-b}", "${}"])
def test_a_malformed_reference_is_a_problem(file, reference):
    """What looks like a reference and is none is told, with the way to write the characters."""
    found = problem(f'backend: "{reference}"', file)
    assert found.text == "'${' does not start a reference to a variable"
    assert found.expected == "${NAME} or ${NAME:-default}"
    assert found.hint == "write $${ for the characters themselves"
