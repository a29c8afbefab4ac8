"""The checks of a configuration that is complete: tensors, ragged batching, states and instances.

A model that fails one is shown as unavailable, with the text as its reason. The texts are those of the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_protos.model_config_pb2 import BatchInput, BatchOutput, DataType, ModelInstanceGroup

from charonia.config.check_response_cache import response_cache_problems
from charonia.config.check_tensors import tensor_problems
from charonia.config.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia_protos.model_config_pb2 import ModelConfig

    from charonia.errors import ConfigProblem

__all__ = ["check_loadable"]

_BATCH_INPUT_TYPES = {DataType.TYPE_INT32, DataType.TYPE_FP32}
_NO_PLACES: Mapping[str, int] = {}
_WITHOUT_GPUS = "write kind: KIND_CPU or KIND_AUTO, without gpus, or see why the backend finds no GPU"


def check_loadable(
    config: ModelConfig, *, gpus: Sequence[int] = (), places: Mapping[str, int] = _NO_PLACES
) -> list[ConfigProblem]:
    """List what keeps a complete, normalised configuration from being loaded; empty where nothing does.

    Args:
        config: the configuration, completed by the backend.
        gpus: the numbers of the GPUs that the server and the backend can use.
        places: field path → line, for what stands in a file.
    """
    problems = Problems(config.name, places)
    tensor_problems(config, problems)
    _check_batch_inputs(config, problems)
    _check_batch_outputs(config, problems)
    _check_states(config, problems)
    _check_growable_states(config, problems)
    _check_candidates(config, problems)
    _check_instance_groups(config, gpus, problems)
    response_cache_problems(config, problems)  # again: a backend may find out that the model is decoupled
    return problems.found


def _check_batch_inputs(config: ModelConfig, problems: Problems) -> None:
    inputs = {tensor.name for tensor in config.input}
    for index, made in enumerate(config.batch_input):
        where = f"batch_input[{index}]"
        _check_source(
            f"batch input kind '{BatchInput.Kind.Name(made.kind)}'", made.source_input, inputs, where, problems
        )
        if made.data_type not in _BATCH_INPUT_TYPES:
            text = "batch input data type must be TYPE_INT32 or TYPE_FP32"
            problems.add(text, f"{where}.data_type", found=DataType.Name(made.data_type))


def _check_batch_outputs(config: ModelConfig, problems: Problems) -> None:
    inputs = {tensor.name for tensor in config.input}
    outputs = {tensor.name for tensor in config.output}
    for index, cut in enumerate(config.batch_output):
        where = f"batch_output[{index}]"
        for number, name in enumerate(cut.target_name):
            if name not in outputs:
                hint = f"the outputs are: {', '.join(sorted(outputs))}"
                problems.add(f"unknown target output name '{name}'", f"{where}.target_name[{number}]", hint=hint)
        _check_source(
            f"batch output kind '{BatchOutput.Kind.Name(cut.kind)}'", cut.source_input, inputs, where, problems
        )


def _check_source(what: str, names: Sequence[str], inputs: set[str], where: str, problems: Problems) -> None:
    where += ".source_input"
    if len(names) != 1:
        problems.add(f"{what} expects 1 source input, got {len(names)}", where)
    for index, name in enumerate(names):
        if name not in inputs:
            hint = f"the inputs are: {', '.join(sorted(inputs))}"
            problems.add(f"unknown source input name '{name}'", f"{where}[{index}]", hint=hint)


def _check_states(config: ModelConfig, problems: Problems) -> None:
    for index, state in enumerate(config.sequence_batching.state):
        name = state.input_name
        for number, initial in enumerate(state.initial_state):
            where = f"sequence_batching.state[{index}].initial_state[{number}]"
            if initial.data_type != state.data_type:
                text = f"The data type used for 'initial_state' field of state '{name}' does not match the state data type."
                found, expected = DataType.Name(initial.data_type), DataType.Name(state.data_type)
                problems.add_whole(text, f"{where}.data_type", found=found, expected=expected)
            if any(dim < 0 for dim in initial.dims):
                text = f"'initial_state' field for state input name '{name}' contains variable dimensions."
                problems.add_whole(text, f"{where}.dims", found=list(initial.dims), expected="sizes of 1 or more")
            if not initial.name:
                text = f"Field 'name' must be set when using initial_state for state input '{name}'."
                problems.add_whole(text, where)


def _check_growable_states(config: ModelConfig, problems: Problems) -> None:
    for index, state in enumerate(config.sequence_batching.state):
        if not state.use_growable_memory:
            continue
        where = f"sequence_batching.state[{index}].use_growable_memory"
        if not state.use_same_buffer_for_input_output:
            text = (
                "In order to 'use_growable_memory', you must also enable 'use_single_buffer' for state input name "
                f"'{state.input_name}'."
            )
            problems.add_whole(text, where, hint="write use_same_buffer_for_input_output: true")
        if any(group.kind != ModelInstanceGroup.KIND_GPU for group in config.instance_group):
            text = "'use_growable_memory' can only work with KIND_GPU model instances right now."
            problems.add_whole(text, where, hint="leave it out: states may grow here without it")


def _check_candidates(config: ModelConfig, problems: Problems) -> None:
    oldest = config.sequence_batching.oldest
    if config.sequence_batching.HasField("oldest") and oldest.max_candidate_sequences < 1:
        text = "sequence batching max candidate sequences must be positive"
        where = "sequence_batching.oldest.max_candidate_sequences"
        hint = "say how many sequences each instance may have at once"
        problems.add(text, where, found=oldest.max_candidate_sequences, expected="1 or more", hint=hint)


def _check_instance_groups(config: ModelConfig, gpus: Sequence[int], problems: Problems) -> None:
    if config.instance_group and all(group.passive for group in config.instance_group):
        text = f"all instances of model {config.name} are passive, so that nobody would answer its requests"
        problems.add_whole(text, "instance_group", hint="add a group that is not passive")
    for index, group in enumerate(config.instance_group):
        where = f"instance_group[{index}]"
        who = f"instance group {group.name} of model {config.name}"
        kind = ModelInstanceGroup.Kind.Name(group.kind)
        if group.kind != ModelInstanceGroup.KIND_GPU:
            if group.gpus:
                text = f"{who} has kind {kind} but specifies one or more GPUs"
                hint = "write kind: KIND_GPU, or leave out gpus"
                problems.add_whole(text, f"{where}.gpus", found=list(group.gpus), hint=hint)
        elif not group.gpus:
            text = "specifies no GPUs" if gpus else "no GPUs are available"
            problems.add_whole(f"{who} has kind KIND_GPU but {text}", where, hint="" if gpus else _WITHOUT_GPUS)
        for number, gpu in enumerate(group.gpus):
            if group.kind == ModelInstanceGroup.KIND_GPU and gpu not in gpus:
                text = (
                    f"{who} specifies invalid or unsupported gpu id {gpu}. GPUs with at least the minimum required CUDA "
                    f"compute compatibility of 6.000000 are: {', '.join(map(str, gpus))}"
                )
                problems.add_whole(text, f"{where}.gpus[{number}]", hint="" if gpus else _WITHOUT_GPUS)
        if group.profile and config.platform != "tensorrt_plan":
            platform = f"platform {config.platform}".rstrip()
            text = f"{who} and {platform} specifies profile field which is only supported for TensorRT models"
            problems.add_whole(text, f"{where}.profile", hint="remove the line")
