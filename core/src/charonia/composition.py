"""What an ensemble takes over from the models of its steps, and whether it and they fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.config import ModelConfig, composing_models, step_problems
from charonia.config.ensemble_graph import EnsembleGraph
from charonia.config.problems import Problems
from charonia.errors import InferenceError, InternalError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.config import ParsedConfig
    from charonia.errors import CharoniaError, ConfigProblem
    from charonia.models import Models

__all__ = ["CompositionError", "compose", "inherited_labels"]


class CompositionError(InvalidArgumentError):
    """An ensemble and the models of its steps do not go together, or one of these is not there.

    Attributes:
        problems: all that is wrong, each with its place in the configuration.
        told: the texts of the problems, as the reference words them.
    """

    def __init__(self, model: str, problems: Sequence[ConfigProblem]) -> None:
        self.problems = problems
        self.told = "; ".join(str(problem) for problem in problems)
        super().__init__(f"load failed for model '{model}': {self.told}\n")


def compose(
    parsed: ParsedConfig, models: Models, failures: Mapping[str, CharoniaError], homes: Mapping[str, str]
) -> ModelConfig:
    """Check an ensemble against its models, and give its configuration with what follows from theirs.

    Args:
        parsed: the ensemble's configuration, sound by itself.
        models: the models of the server; the ensemble's own serve already, unless they failed.
        failures: why models of the ensemble could not be loaded, by name.
        homes: the namespaces of its models, by name.

    Raises:
        CompositionError: they do not fit, or one is missing; it tells all problems.
    """
    config = parsed.config
    problems = Problems(config.name, parsed.places)
    found: dict[tuple[str, int | None], ModelConfig] = {}
    wanted = composing_models(config)
    for name, version in dict.fromkeys(wanted):
        try:
            found[name, version] = models.model_config(name, version)
        except InferenceError as error:
            text = _why_missing(config.name, name, version, failures.get(name, error))
            index = wanted.index((name, version))
            problems.add_whole(text, f"ensemble_scheduling.step[{index}].model_name", hint=f"see step {index}")
    known = [found.get(model) for model in wanted]
    all_problems = [*problems.found, *step_problems(config, known, parsed.places)]
    if all_problems:
        raise CompositionError(config.name, all_problems)
    composed = ModelConfig()
    composed.CopyFrom(config)
    composed.model_transaction_policy.decoupled = any(it.model_transaction_policy.decoupled for it in found.values())
    for step in composed.ensemble_scheduling.step:
        step.model_namespace = homes.get(step.model_name, "")
    return composed


def inherited_labels(config: ModelConfig, models: Models) -> Mapping[str, Sequence[bytes]]:
    """Give the labels of those outputs that have no file of their own, from the models that make them."""
    graph = EnsembleGraph(config)
    wanted = composing_models(config)
    labels = {}
    for output in config.output:
        writer = graph.writers[output.name][0]
        step = config.ensemble_scheduling.step[writer]
        source = next(name for name, tensor in sorted(step.output_map.items()) if tensor == output.name)
        inherited = models.labels(*wanted[writer]).get(source)
        if inherited and not output.label_filename:
            labels[output.name] = inherited
    return labels


def _why_missing(ensemble: str, name: str, version: int | None, error: CharoniaError) -> str:
    """Say why a model is missing, as the reference does: not found, not fitting, failed to load, or without a version."""
    if isinstance(error, InternalError):
        return f"ensemble {ensemble} contains models that are not available or ambiguous: {name} ({error})"
    if isinstance(error, CompositionError):
        return f"ensemble '{ensemble}' depends on '{name}' which is not valid. Model '{name}' failed with error: {error.told}"
    if isinstance(error, InvalidArgumentError):
        reason = str(error).removeprefix(f"load failed for model '{name}': ")
        start = f"ensemble '{ensemble}' depends on '{name}' which has no loaded version."
        return f"{start} Model '{name}' loading failed with error: {reason}"
    if version is not None:
        return f"ensemble '{ensemble}' depends on '{name}' whose required version {version} is not loaded."
    return f"ensemble '{ensemble}' depends on '{name}' which has no loaded version. {error}"
