"""The checks of an ensemble against the models of its steps: names, datatypes, shapes, batch sizes, origins."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from charonia_protos.model_config_pb2 import DataType

from charonia.config.ensemble_graph import EnsembleGraph, mapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from charonia_protos.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

    from charonia.config.problems import Problems

__all__ = ["step_problems"]


class _Tensor(NamedTuple):
    """An ensemble tensor as one model sees it.

    Attributes:
        model: the model.
        datatype: its datatype.
        dims: the dimensions without the batch.
        shape: the dimensions with it.
    """

    model: str
    datatype: DataType.ValueType
    dims: tuple[int, ...]
    shape: tuple[int, ...]


def step_problems(config: ModelConfig, models: Sequence[ModelConfig | None], problems: Problems) -> None:
    """Check that an ensemble and its models fit. The texts are those of the reference.

    Args:
        config: the ensemble, whose graph need not be sound.
        models: the complete configuration of each step's model; None where it is not known, so that nothing is said about it.
        problems: where to tell.
    """
    _StepCheck(config, models, problems).run()


class _StepCheck:
    def __init__(self, config: ModelConfig, models: Sequence[ModelConfig | None], problems: Problems) -> None:
        self._config = config
        self._who = f"in ensemble {config.name}, "
        self._models = models
        self._graph = EnsembleGraph(config)
        self._problems = problems
        self._known = {tensor.name: _seen(config, tensor) for tensor in config.input}
        self._known |= {tensor.name: _seen(config, tensor) for tensor in config.output}

    def run(self) -> None:
        for index, model in enumerate(self._models):
            if model is not None:
                self._check_batch_size(index, model)
                self._check_names(index, model)
        self._check_origins()

    def _check_batch_size(self, index: int, model: ModelConfig) -> None:
        most, allowed = self._config.max_batch_size, model.max_batch_size
        if 0 < allowed < most:
            self._problems.add_whole(
                f"ensemble {self._config.name} allows maximum batch size {most}, but it contains model {model.name} which only "
                f"allows maximum batch size to be {allowed}",
                f"ensemble_scheduling.step[{index}].model_name",
                hint=f"see {self._graph.told(index)}; write max_batch_size: {allowed} or less",
            )

    def _check_names(self, index: int, model: ModelConfig) -> None:
        step = self._config.ensemble_scheduling.step[index]
        inputs = {tensor.name: tensor for tensor in model.input}
        outputs = {tensor.name: tensor for tensor in model.output}
        for name, tensor in sorted(step.input_map.items()):
            if name in inputs:
                self._compare(tensor, _seen(model, inputs[name]), index, self._graph.input_field(index, tensor))
            else:
                text = f"ensemble tensor {tensor} is mapping to non-existing input {name} in model {model.name}"
                hint = f"see {self._graph.told(index)}; its inputs are: {', '.join(inputs)}"
                self._problems.add_whole(self._who + text, self._graph.input_field(index, tensor), hint=hint)
        for name, tensor in sorted(step.output_map.items()):
            if name in outputs:
                self._compare(tensor, _seen(model, outputs[name]), index, self._graph.output_field(index, tensor))
            else:
                text = f"ensemble tensor {tensor} is mapped from non-existing output {name} in model {model.name}"
                hint = f"see {self._graph.told(index)}; its outputs are: {', '.join(outputs)}"
                self._problems.add_whole(self._who + text, self._graph.output_field(index, tensor), hint=hint)
        for name, declared in inputs.items():
            if name not in step.input_map and not declared.optional:
                text = f"input {name} in model {model.name} is not mapped to any ensemble tensors"
                where = f"ensemble_scheduling.step[{index}].input_map"
                self._problems.add_whole(self._who + text, where, hint=f"see {self._graph.told(index)}")

    def _compare(self, name: str, seen: _Tensor, step: int, where: str) -> None:
        first = self._known.setdefault(name, seen)
        differences = []
        if first.datatype != seen.datatype:
            differences.append(("data type", DataType.Name(first.datatype), DataType.Name(seen.datatype)))
        if not _agree(first.dims, seen.dims) and not _agree(first.shape, seen.shape):
            differences.append(("shape", _written(first.shape), _written(seen.shape)))
        for what, expected, found in differences:
            text = (
                f"{self._who}ensemble tensor {name}: inconsistent {what}: {expected} is inferred from model {first.model} while "
                f"{found} is inferred from model {seen.model}"
            )
            self._problems.add_whole(text, where, hint=f"see {self._graph.told(step)}")

    def _check_origins(self) -> None:
        """Check that no step, and no response, needs tensors of which there may be different numbers."""
        decoupled = [None if it is None else it.model_transaction_policy.decoupled for it in self._models]
        origins = self._graph.origins(decoupled)
        for index, step in enumerate(self._config.ensemble_scheduling.step):
            where = f"ensemble_scheduling.step[{index}].input_map"
            hint = f"see {self._graph.told(index)}"
            self._check_one_origin(origins, mapped(step.input_map), step.model_name, where, hint)
        outputs = [tensor.name for tensor in self._config.output]
        self._check_one_origin(origins, outputs, self._config.name, "output")

    def _check_one_origin(
        self, origins: Mapping[str, int | None], tensors: Iterable[str], model: str, where: str, hint: str = ""
    ) -> None:
        found = {tensor: origins[tensor] for tensor in tensors if tensor in origins}
        if len(set(found.values())) > 1:
            text = f"{self._who}step of model '{model}' receives inputs originated from different decoupled models"
            told = "; ".join(
                f"'{tensor}' from {'the request' if origin is None else self._graph.told(origin)}"
                for tensor, origin in found.items()
            )
            self._problems.add_whole(text, where, found=told, hint=hint)


def _seen(model: ModelConfig, tensor: ModelInput | ModelOutput) -> _Tensor:
    dims = tuple(tensor.dims)
    return _Tensor(model.name, tensor.data_type, dims, (-1, *dims) if model.max_batch_size > 0 else dims)


def _agree(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) and all(-1 in pair or pair[0] == pair[1] for pair in zip(one, other, strict=True))


def _written(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
