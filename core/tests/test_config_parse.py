"""Reading configurations in the text form and in YAML."""

import pytest
from charonia.config import parse_config
from charonia.errors import ConfigError

PBTXT = """
# a comment: not ${READ}
name: "m"
backend: 'onnx' "runtime"
max_batch_size: 0x10
input [
  { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] },
  < name: "y", data_type: 9; dims: 1 dims: 2 optional: true >
]
parameters { key: "p" value: { string_value: "v\\x41\\n" } }
parameters: [ { key: "q" value { string_value: "1" } }, { key: "q" value { string_value: "2" } } ]
dynamic_batching: { priority_queue_policy { key: 1 value { max_queue_size: 017 } } }
"""
YAML = """
# a comment: not ${READ}
name: m
backend: onnxruntime
max_batch_size: 16
input:
  - name: x
    data_type: TYPE_FP32
    dims: [3, -1]
  - {name: y, data_type: TYPE_INT64, dims: [1, 2], optional: yes}
parameters:
  p: {string_value: "vA\\n"}
  q: {string_value: 2}
dynamic_batching:
  priority_queue_policy:
    1: {max_queue_size: 15}
"""


def read(text, file="config.pbtxt", model="m", environment=None):
    return parse_config(text, model=model, file=file, environment=environment or {})


def problems(text, file="config.pbtxt", model="m", environment=None):
    with pytest.raises(ConfigError) as caught:
        read(text, file, model, environment)
    assert (caught.value.model, caught.value.file) == (model, file)
    return caught.value.problems


def problem(text, file="config.pbtxt", **options):
    (only,) = problems(text, file, **options)
    return only


def test_both_forms_give_the_same_message():
    """The text form and YAML say the same, each in its own notation."""
    assert read(PBTXT).config == read(YAML, "config.yaml").config
    assert read(PBTXT).config.parameters["q"].string_value == "2"


def test_every_field_has_its_line():
    """The places map the path of each field, list item and map key to its line."""
    places = read(PBTXT).places
    wanted = {
        "name": 3,
        "input": 6,
        "input[0]": 7,
        "input[0].dims[1]": 7,
        "input[1].optional": 8,
        'parameters["p"]': 10,
        'parameters["p"].string_value': 10,
        'dynamic_batching.priority_queue_policy["1"].max_queue_size': 12,
    }
    assert {path: places[path] for path in wanted} == wanted
    assert read(YAML, "config.yaml").places["input[1].optional"] == 10


@pytest.mark.parametrize("file", ["config.pbtxt", "config.yaml", "config.yml"])
def test_an_empty_file_is_an_empty_configuration(file):
    """A configuration may be empty: only the name is filled in."""
    parsed = read("# nothing\n", file)
    assert parsed.config.name == "m"
    assert len(parsed.config.ListFields()) == 1


def test_another_name_than_the_directory_is_refused():
    """The reference's text names directory and model."""
    found = problem('\nname: "other"')
    assert found.text == "unexpected directory name 'm' for model 'other', directory name must equal model name"
    assert (found.line, found.found, found.expected) == (2, '"other"', '"m"')


def test_all_problems_are_told_in_the_order_of_the_lines():
    """One pass tells everything, also what stands before a syntax error and an unset variable."""
    text = 'max_batchsize: 4\nmax_batch_size: x\nbackend: "${B}"\ninput { name: "a"\n'
    assert [(found.line, found.field) for found in problems(text)] == [
        (1, "max_batchsize"),
        (2, "max_batch_size"),
        (3, ""),
        (5, ""),
    ]


@pytest.mark.parametrize(
    ("text", "file"),
    [("max_batchsize: 4", "config.pbtxt"), ("max_batchsize: 4", "config.yaml"), ("MaxBatchSize: 4", "config.pbtxt")],
)
def test_a_misspelt_field_names_the_nearest_one(text, file):
    """The hint is the real field that is most like the wrong name."""
    found = problem(text, file)
    assert found.text == f'Message type "inference.ModelConfig" has no field named "{found.field}".'
    assert found.hint == 'did you mean "max_batch_size"?'


def test_an_unknown_field_lists_the_fields_of_a_small_message():
    """Where no field is like the wrong name, a small message shows what it has."""
    found = problem("version_policy { zzzzzz { } }")
    assert (found.field, found.expected, found.hint) == ("version_policy.zzzzzz", "one of latest, all, specific", "")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("FP32", 'did you mean "TYPE_FP32"?'),
        ("TYPE_FLOAT32", 'did you mean "TYPE_FP32"?'),
        ("TYPE_int8", 'did you mean "TYPE_INT8"?'),
        ("BYTES", 'did you mean "TYPE_STRING"?'),
        ('"TYPE_FP32"', "write TYPE_FP32"),
        ("77", ""),
    ],
)
def test_a_wrong_enum_value_names_the_nearest_one(value, hint):
    """The text is protobuf's, the hint the value that was probably meant."""
    found = problem(f"input {{ data_type: {value} }}")
    bare = value.strip('"')
    assert found.text == f'Unknown enumeration value of "{bare}" for field "data_type".'
    assert (found.field, found.found, found.hint) == ("input[0].data_type", value, hint)


@pytest.mark.parametrize(
    ("text", "field", "found", "expected"),
    [
        ('max_batch_size: "4"', "max_batch_size", '"4"', "a whole number"),
        ("max_batch_size: 4.5", "max_batch_size", "4.5", "a whole number"),
        ("max_batch_size: 08", "max_batch_size", "08", "a whole number"),
        ("max_batch_size: 2147483648", "max_batch_size", "2147483648", "a whole number from -2147483648 to 2147483647"),
        ("max_batch_size: { }", "max_batch_size", "a block of fields", "a single value"),
        ("max_batch_size: [ 1 ]", "max_batch_size", "a list", "a single value"),
        ("name: m", "name", "m", "a string in quotes"),
        ("response_cache { enable: maybe }", "response_cache.enable", "maybe", "true or false"),
        ("response_cache: 1", "response_cache", "1", "a block with fields of ModelResponseCache"),
        ("response_cache: [ ]", "response_cache", "a list", "a block with fields of ModelResponseCache"),
        ("input: [ 1 ]", "input[0]", "1", "a block with fields of ModelInput"),
        (
            "sequence_batching { direct { minimum_slot_utilization: x } }",
            "sequence_batching.direct.minimum_slot_utilization",
            "x",
            "a number",
        ),
        (
            "parameters { kye: 1 }",
            "parameters",
            "a block of fields",
            "a block with a key and a value: { key: … value: … }",
        ),
        ('metric_tags { key: "a" value: 1 }', 'metric_tags["a"]', "1", "a string in quotes"),
        ('metric_tags { key: 1 value: "a" }', "metric_tags", "1", "a string in quotes"),
    ],
)
def test_a_wrong_value_tells_what_the_field_takes(text, field, found, expected):
    """The problem has the field's whole path, what was found and what was expected."""
    told = problem(text)
    assert told.text == f'wrong value for field "{field}"'
    assert (told.field, told.found, told.expected, told.line) == (field, found, expected, 1)


@pytest.mark.parametrize(
    ("text", "field", "found", "expected"),
    [
        ("max_batch_size:", "max_batch_size", "nothing", "a value"),
        ("input: {name: x}", "input", "a block of fields", 'a list, such as "input: [ … ]"'),
        ("parameters: [a]", "parameters", "a list", "a mapping of keys to values"),
        ("max_batch_size: 1.5", "max_batch_size", "1.5", "a whole number"),
        ('response_cache: {enable: "yes"}', "response_cache.enable", '"yes"', "true or false"),
    ],
)
def test_a_wrong_value_in_yaml_tells_what_the_field_takes(text, field, found, expected):
    """YAML has its own rules for lists, maps and empty values."""
    told = problem(text, "config.yaml")
    assert told.text == f'wrong value for field "{field}"'
    assert (told.field, told.found, told.expected, told.line) == (field, found, expected, 1)


def test_a_single_field_may_come_once():
    """The text is protobuf's, and the hint tells where the first one is."""
    found = problem('backend: "a"\nbackend: "b"')
    assert found.text == 'Non-repeated field "backend" is specified multiple times.'
    assert (found.line, found.hint) == (2, "keep one of them: the first is in line 1")


def test_two_schedulers_are_refused():
    """The text is protobuf's for two members of one oneof."""
    found = problem("dynamic_batching { }\nsequence_batching { }")
    assert found.text == (
        'Field "sequence_batching" is specified along with field "dynamic_batching", '
        'another member of oneof "scheduling_choice".'
    )
    assert found.line == 2


def test_a_key_comes_once_in_yaml():
    """YAML refuses a name that comes twice, in messages, lists and maps."""
    text = "input: []\ninput: []\nmetric_tags:\n  a: x\n  a: y\n"
    assert [(found.line, found.text) for found in problems(text, "config.yaml")] == [
        (2, 'Field "input" is specified multiple times.'),
        (5, 'the key "a" is specified multiple times'),
    ]


def test_an_empty_section_in_yaml_is_there():
    """A section without fields may be written without braces."""
    parsed = read("dynamic_batching:\nparameters:\n", "config.yaml")
    assert parsed.config.HasField("dynamic_batching")


def test_yaml_reads_by_the_type_of_the_field():
    """Words and numbers that YAML would make something else of stay what the field needs."""
    parsed = read("backend: no\nmax_batch_size: 1e1\nmetric_tags: {version: 1.10, 3: on}\n", "config.yaml")
    assert parsed.config.backend == "no"
    assert parsed.config.max_batch_size == 10
    assert dict(parsed.config.metric_tags) == {"version": "1.10", "3": "on"}


def test_yaml_aliases_are_followed():
    """An alias stands for what its anchor names."""
    parsed = read("input: &io\n  - {name: x, data_type: TYPE_BOOL, dims: [1]}\noutput: *io\n", "config.yaml")
    assert parsed.config.output[0].name == "x"


@pytest.mark.parametrize(
    ("text", "line", "told", "found", "expected"),
    [
        ("max_batch_size 4", 1, "the text cannot be read on from here", "4", '":" or "{" after "max_batch_size"'),
        ("4", 1, "the text cannot be read on from here", "4", "the name of a field"),
        ("input {\n name: }", 2, "the text cannot be read on from here", "}", "a value"),
        (
            "input {\n",
            2,
            "the text cannot be read on from here",
            "the end of the file",
            'the name of a field, or "}" for the "{" of line 1',
        ),
        ("input [\n{ } { }", 2, "the text cannot be read on from here", "{", '"," or "]" for the "[" of line 1'),
        ('name: "m', 1, "a string has no closing quote", '"', 'a closing " on the same line'),
        (r'name: "\q"', 1, "a string has an escape that does not exist", r'"\q"', ""),
        (r'name: "\xff"', 1, "a string is not valid UTF-8", r'"\xff"', ""),
        ("input {" * 60, 1, "the blocks are nested too deeply", "", ""),
        ("name: €", 1, "the text cannot be read on from here", "€", "a value"),
    ],
)
def test_a_syntax_error_tells_its_place(text, line, told, found, expected):
    """The problem says what stands there and what should."""
    last = problems(text)[-1]
    assert (last.line, last.text, last.found, last.expected) == (line, told, found, expected)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: [1\nb: 2", 2, "this is no YAML: while parsing a flow sequence, expected ',' or ']', but got ':'"),
        ("a: b: c", 1, "this is no YAML: mapping values are not allowed here"),
        ("- a", 1, "a configuration is a mapping"),
        ("? [a]\n: b", 1, "the name of a field is no plain word"),
        ("a: 1\n---\nb: 2", 2, "this is no YAML: expected a single document in the stream, but found another document"),
        ("name: \x01", 1, "the text has a character that YAML does not allow"),
        ("a: &x [*x]", 0, "the lists and mappings are nested too deeply, or contain themselves"),
        ("a: " + "[" * 5000, 0, "the lists and mappings are nested too deeply, or contain themselves"),
    ],
)
def test_a_text_that_is_no_yaml_tells_its_place(text, line, told):
    """The problem has YAML's own reason and its line."""
    last = problems(text, "config.yaml")[-1]
    assert (last.line, last.text) == (line, told)
