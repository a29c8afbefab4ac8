"""The checks of a complete configuration, worded as in the reference."""

import pytest
from charonia.config import check_loadable, parse_config

COMPLETE = "name: 'I' data_type: TYPE_FP32"
IO = "input { name: 'I' data_type: TYPE_FP32 dims: 4 } output { name: 'O' data_type: TYPE_FP32 dims: 4 }"
SIZES = "must be integer >= 1, or -1 to indicate a variable-size dimension for m"
GROUP = "instance group g of model m"
MINIMUM = "GPUs with at least the minimum required CUDA compute compatibility of 6.000000 are: "


def check(text, gpus=()):
    """List the problems of a complete configuration of the model "m"."""
    parsed = parse_config(text, model="m", file="config.pbtxt", environment={})
    return check_loadable(parsed.config, gpus=gpus, places=parsed.places)


def tensor(rest, kind="input", before=""):
    """Write a tensor with the name I."""
    return f"{before} {kind} {{ {COMPLETE} {rest} }}"


def reshaped(dims, shape, max_batch_size=4):
    """Write an input with a reshape."""
    return tensor(f"dims: {dims} reshape {{ shape: {shape} }}", before=f"max_batch_size: {max_batch_size}")


def batch_input(rest):
    """Write a batch input."""
    return f"{IO} batch_input {{ kind: BATCH_ELEMENT_COUNT target_name: 'T' {rest} }}"


def batch_output(rest):
    """Write a batch output."""
    return f"{IO} batch_output {{ kind: BATCH_SCATTER_WITH_INPUT_SHAPE {rest} }}"


def state(rest, dims="1"):
    """Write a state with an initial one."""
    return (
        f"sequence_batching {{ state {{ input_name: 'SI' output_name: 'SO' data_type: TYPE_FP32 dims: {dims} "
        f"initial_state {{ {rest} zero_data: true }} }} }}"
    )


def growable(rest):
    """Write a state that may grow."""
    return (
        "sequence_batching { state { input_name: 'SI' output_name: 'SO' data_type: TYPE_FP32 dims: 1 "
        f"use_growable_memory: true {rest} }} }} "
    )


def group(rest):
    """Write an instance group with the name g."""
    return f"instance_group {{ name: 'g' {rest} }}"


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("input { data_type: TYPE_FP32 dims: 1 }", "input[0]", "model input must specify 'name' for m"),
        ("output { data_type: TYPE_FP32 dims: 1 }", "output[0]", "model output must specify 'name' for m"),
        ("input { name: 'I' dims: 1 }", "input[0]", "model input 'I' must specify 'data_type' for m"),
        ("output { name: 'O' dims: 1 }", "output[0]", "model output 'O' must specify 'data_type' for m"),
        (tensor(""), "input[0]", "model input 'I' must specify 'dims' for m"),
        (tensor("dims: [ 1, 0 ]"), "input[0].dims", f"model input 'I' dimension {SIZES}"),
        (tensor("dims: -2", "output"), "output[0].dims", f"model output 'I' dimension {SIZES}"),
        (reshaped("4", "[ 0 ]"), "input[0].reshape", f"model input 'I' reshape dimensions {SIZES}"),
        (reshaped("4", "5"), "input[0].reshape", "model input 'I' has different size for dims and reshape for m"),
        (reshaped("4", "[ ]"), "input[0].reshape", "model input 'I' has different size for dims and reshape for m"),
        (reshaped("-1", "4"), "input[0].reshape", "model input 'I' has different size for dims and reshape for m"),
        (
            reshaped("[ 2, -1, 3 ]", "[ 3, -1, 2 ]"),
            "input[0].reshape",
            "model input 'I' has different size for dims and reshape for m",
        ),
        (
            tensor("dims: 4 reshape { shape: 5 }", "output"),
            "output[0].reshape",
            "model output 'I' has different size for dims and reshape for m",
        ),
        (
            reshaped("[ -1, -1 ]", "-1"),
            "input[0].reshape",
            "model input 'I' has different number of variable-size dimensions for dims and reshape for m",
        ),
        (
            reshaped("1", "[ ]", 0),
            "input[0].reshape",
            "model input 'I' cannot have empty reshape for non-batching model as scalar tensors are not supported for m",
        ),
        (tensor("dims: 4 format: FORMAT_NHWC"), "input[0].dims", "model input NHWC/NCHW require 3 dims for m"),
        (
            tensor("dims: 4 is_shape_tensor: true"),
            "input[0].is_shape_tensor",
            "shape tensors are only supported for TensorRT platform for m",
        ),
        (
            tensor("dims: 4 is_non_linear_format_io: true", "output"),
            "output[0].is_non_linear_format_io",
            "Non-linear IO format is only supported for the TensorRT platform for m",
        ),
        (
            batch_input("data_type: TYPE_FP32 source_input: [ 'I', 'I' ]"),
            "batch_input[0].source_input",
            "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 2 for m",
        ),
        (
            batch_input("data_type: TYPE_INT64 source_input: 'I'"),
            "batch_input[0].data_type",
            "batch input data type must be TYPE_INT32 or TYPE_FP32 for m",
        ),
        (
            batch_input("data_type: TYPE_INT32 source_input: 'ZZ'"),
            "batch_input[0].source_input[0]",
            "unknown source input name 'ZZ' for m",
        ),
        (
            batch_output("target_name: 'ZZ' source_input: 'I'"),
            "batch_output[0].target_name[0]",
            "unknown target output name 'ZZ' for m",
        ),
        (
            batch_output("target_name: 'O' source_input: 'ZZ'"),
            "batch_output[0].source_input[0]",
            "unknown source input name 'ZZ' for m",
        ),
        (
            batch_output("target_name: 'O'"),
            "batch_output[0].source_input",
            "batch output kind 'BATCH_SCATTER_WITH_INPUT_SHAPE' expects 1 source input, got 0 for m",
        ),
        (
            state("name: 'n' data_type: TYPE_INT32 dims: 1"),
            "sequence_batching.state[0].initial_state[0].data_type",
            "The data type used for 'initial_state' field of state 'SI' does not match the state data type.",
        ),
        (
            state("name: 'n' data_type: TYPE_FP32 dims: -1", "-1"),
            "sequence_batching.state[0].initial_state[0].dims",
            "'initial_state' field for state input name 'SI' contains variable dimensions.",
        ),
        (
            state("data_type: TYPE_FP32 dims: 1"),
            "sequence_batching.state[0].initial_state[0]",
            "Field 'name' must be set when using initial_state for state input 'SI'.",
        ),
        (
            growable(""),
            "sequence_batching.state[0].use_growable_memory",
            "In order to 'use_growable_memory', you must also enable 'use_single_buffer' for state input name 'SI'.",
        ),
        (
            growable("use_same_buffer_for_input_output: true") + group("kind: KIND_CPU count: 1"),
            "sequence_batching.state[0].use_growable_memory",
            "'use_growable_memory' can only work with KIND_GPU model instances right now.",
        ),
        (
            "sequence_batching { oldest { } }",
            "sequence_batching.oldest.max_candidate_sequences",
            "sequence batching max candidate sequences must be positive for m",
        ),
        (
            group("kind: KIND_GPU"),
            "instance_group[0]",
            f"{GROUP} has kind KIND_GPU but no GPUs are available",
        ),
        (
            group("kind: KIND_GPU gpus: 0"),
            "instance_group[0].gpus[0]",
            f"{GROUP} specifies invalid or unsupported gpu id 0. {MINIMUM}",
        ),
        (
            group("kind: KIND_CPU gpus: 0"),
            "instance_group[0].gpus",
            f"{GROUP} has kind KIND_CPU but specifies one or more GPUs",
        ),
        (
            group("kind: KIND_MODEL gpus: 0"),
            "instance_group[0].gpus",
            f"{GROUP} has kind KIND_MODEL but specifies one or more GPUs",
        ),
        (
            group("kind: KIND_CPU profile: '0'"),
            "instance_group[0].profile",
            f"{GROUP} and platform specifies profile field which is only supported for TensorRT models",
        ),
        (
            "platform: 'p' " + group("kind: KIND_CPU profile: '0'"),
            "instance_group[0].profile",
            f"{GROUP} and platform p specifies profile field which is only supported for TensorRT models",
        ),
    ],
)
def test_what_cannot_be_loaded_is_told_as_in_the_reference(text, field, told):
    """Each rule has the reference's text, and the path of the field that breaks it."""
    assert [(problem.text, problem.field) for problem in check(text)] == [(told, field)]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("gpus: [ 0, 1 ]", []),
        ("gpus: [ 0, 2 ]", [f"{GROUP} specifies invalid or unsupported gpu id 2. {MINIMUM}0, 1"]),
        ("", [f"{GROUP} has kind KIND_GPU but specifies no GPUs"]),
    ],
)
def test_a_group_on_gpus_names_gpus_that_are_there(written, told):
    """The text lists the GPUs that could be used."""
    assert [problem.text for problem in check(group(f"kind: KIND_GPU {written}"), gpus=(0, 1))] == told


@pytest.mark.parametrize(
    "text",
    [
        "",
        IO,
        reshaped("1", "[ ]"),
        reshaped("[ 2, -1, 3 ]", "[ 1, 2, -1, 3, 1 ]"),
        tensor("dims: [ 3, -1, -1 ] format: FORMAT_NCHW"),
        tensor("dims: 4 is_shape_tensor: true is_non_linear_format_io: true", before="platform: 'tensorrt_plan'"),
        "platform: 'tensorrt_plan' " + group("kind: KIND_CPU profile: '0'"),
        batch_input("data_type: TYPE_INT32 source_input: 'I'"),
        batch_output("target_name: 'O' source_input: 'I'"),
        state("name: 'n' data_type: TYPE_FP32 dims: 1"),
    ],
)
def test_what_the_reference_loads_can_be_loaded(text):
    """No rule is stricter than the reference's."""
    assert check(text) == []


def test_somebody_must_answer():
    """A model of passive instances alone would let its requests wait for ever; beside others they are welcome."""
    (problem,) = check(f"{IO} {group('kind: KIND_CPU count: 1 passive: true')}")
    assert str(problem) == (
        "all instances of model m are passive, so that nobody would answer its requests (add a group that is not passive)"
    )
    assert not check(f"{IO} {group('kind: KIND_CPU count: 1 passive: true')} {group('kind: KIND_CPU count: 1')}")


@pytest.mark.parametrize("written", ["kind: KIND_GPU", "kind: KIND_GPU gpus: 0"])
def test_what_to_do_without_a_gpu_is_told(written):
    """A configuration that was written for another machine is the usual reason."""
    (problem,) = check(group(written))
    assert problem.hint.startswith("write kind: KIND_CPU or KIND_AUTO, without gpus")
