"""The checks of an ensemble that need no other model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.config.ensemble_graph import EnsembleGraph

if TYPE_CHECKING:
    from charonia_protos.model_config_pb2 import ModelConfig

    from charonia.config.problems import Problems

__all__ = ["ensemble_problems"]

_HINT = "it belongs into the configurations of the models that the ensemble is made of"


def ensemble_problems(config: ModelConfig, problems: Problems) -> None:
    """Check that platform and schedule go together, that the sections are an ensemble's, and that its steps make a graph."""
    name = config.name
    scheduled = config.HasField("ensemble_scheduling")
    if config.platform != "ensemble":
        if scheduled:
            text = f"ensemble scheduling cannot be set for model '{name}' whose platform is not ensemble"
            hint = 'write platform: "ensemble"'
            problems.add_whole(text, "ensemble_scheduling", found=f'platform "{config.platform}"', hint=hint)
        return
    if not scheduled:
        text = f"ensemble scheduling must be set for ensemble {name} whose platform is ensemble"
        problems.add_whole(text, "platform", hint="add the section ensemble_scheduling with its steps")
        return
    if config.instance_group:
        text = f"instance group should not be specified for ensemble '{name}'"
        problems.add_whole(text, "instance_group", hint=_HINT)
    if config.HasField("optimization"):
        problems.add_whole(f"optimization should not be specified for ensemble '{name}'", "optimization", hint=_HINT)
    if config.model_warmup:
        problems.add_whole(f"model_warmup can not be specified for ensemble '{name}'", "model_warmup", hint=_HINT)
    if _check_steps(config, problems):
        _check_graph(config, problems)


def _check_steps(config: ModelConfig, problems: Problems) -> bool:
    """Tell whether every step has what it needs."""
    before = len(problems.found)
    if not config.ensemble_scheduling.step:
        problems.add_whole(f"must specify 'step' for ensemble '{config.name}'", "ensemble_scheduling")
    for index, step in enumerate(config.ensemble_scheduling.step):
        for part in ("model_name", "input_map", "output_map"):
            if not getattr(step, part):
                text = f"must specify '{part}' in step {index} of ensemble '{config.name}'"
                problems.add_whole(text, f"ensemble_scheduling.step[{index}]")
    return len(problems.found) == before


def _check_graph(config: ModelConfig, problems: Problems) -> None:
    graph = EnsembleGraph(config)
    _check_writers(config, graph, problems)
    read = graph.readers.keys()
    for index, tensor in enumerate(config.input):
        if tensor.name not in read:
            text = f"ensemble input '{tensor.name}' for ensemble {config.name}' is not used"  # the quote is the reference's
            problems.add_whole(text, f"input[{index}]", hint="name it in the input_map of a step, or remove it")
    outputs = {tensor.name for tensor in config.output}
    for tensor_name, writers in graph.writers.items():
        if tensor_name not in read and tensor_name not in outputs:
            text = f"ensemble tensor '{tensor_name}' is unused in ensemble '{config.name}'"
            hint = "read it in a step, make it an output, or leave the model's output out of the output_map"
            problems.add_whole(
                text, graph.output_field(writers[0], tensor_name), found=graph.told(writers[0]), hint=hint
            )
    _check_connections(config, graph, problems)


def _check_connections(config: ModelConfig, graph: EnsembleGraph, problems: Problems) -> None:
    """Check that all outputs are written, and that there are no other steps that can never begin."""
    told: set[str | frozenset[int]] = set()
    for index, output in enumerate(config.output):
        lack = graph.lack(output.name)
        if lack is not None:
            text = (
                f"output '{output.name}' for ensemble '{config.name}' is not written: at least one of its depending tensors, "
                f"'{lack.tensor}', is not connected"
            )
            where = f"output[{index}]"
            if lack.reader is not None:
                told.add(lack.circle or lack.tensor)
                where = graph.input_field(lack.reader, lack.tensor)
            problems.add_whole(text, where, hint=lack.reason)
    for lack in graph.lacks():
        if lack.reader is not None and (lack.circle or lack.tensor) not in told:
            text = f"ensemble tensor '{lack.tensor}' is never written in ensemble '{config.name}'"
            problems.add_whole(text, graph.input_field(lack.reader, lack.tensor), hint=lack.reason)


def _check_writers(config: ModelConfig, graph: EnsembleGraph, problems: Problems) -> None:
    inputs = {tensor.name for tensor in config.input}
    for tensor_name, writers in graph.writers.items():
        for writer in writers[1:]:
            text = (
                f"ensemble tensor '{tensor_name}' can appear in an output map only once for ensemble '{config.name}' step "
                f"{writer}"
            )
            problems.add_whole(
                text, graph.output_field(writer, tensor_name), found=f"{graph.told(writers[0])} writes it, too"
            )
        if tensor_name in inputs:
            text = (
                f"ensemble tensor '{tensor_name}' is an input of ensemble '{config.name}', so that no step can write it"
            )
            problems.add_whole(text, graph.output_field(writers[0], tensor_name), found=graph.told(writers[0]))
