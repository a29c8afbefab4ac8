"""The checks of the graph that an ensemble's steps make, which need no other model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.config.ensemble_graph import EnsembleGraph

if TYPE_CHECKING:
    from charonia_protos.model_config_pb2 import ModelConfig

    from charonia.config.problems import Problems

__all__ = ["graph_problems"]


def graph_problems(config: ModelConfig, problems: Problems) -> None:
    """Check that steps have what they need, and that tensors are written and read. The texts are those of the reference."""
    if not config.ensemble_scheduling.step:
        problems.add_whole(f"must specify 'step' for ensemble '{config.name}'", "ensemble_scheduling")
        return
    graph = EnsembleGraph(config)
    _check_parts(config, problems)
    _check_writers(config, graph, problems)
    _check_readers(config, graph, problems)
    _check_connections(config, graph, problems)


def _check_parts(config: ModelConfig, problems: Problems) -> None:
    for index, step in enumerate(config.ensemble_scheduling.step):
        for part in ("model_name", "input_map", "output_map"):
            if not getattr(step, part):
                text = f"must specify '{part}' in step {index} of ensemble '{config.name}'"
                problems.add_whole(text, f"ensemble_scheduling.step[{index}]")


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


def _check_readers(config: ModelConfig, graph: EnsembleGraph, problems: Problems) -> None:
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
