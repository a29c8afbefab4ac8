"""What an ensemble takes over from the models of its steps, and all that is wrong with it and them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.config import ModelConfig, composing_models, graph_problems, step_problems
from charonia.config.ensemble_graph import EnsembleGraph
from charonia.config.problems import Problems
from charonia.errors import CharoniaError, ConfigError, InternalError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from charonia.config import ParsedConfig
    from charonia.errors import ConfigProblem
    from charonia.models import Models

    Find: TypeAlias = Callable[[str, int | None], ModelConfig | None]
    """Gives the complete configuration of a model by its name and version, of which None is the latest; or None where there is
    such a model, but not all is known of it. Raises why there is none."""

__all__ = ["CircleError", "CompositionError", "compose", "inherited_labels"]


class CircleError(InvalidArgumentError):
    """An ensemble would use itself.

    Args:
        ensemble: the ensemble.
        used: the model of one of its steps, which uses the ensemble.
    """

    def __init__(self, ensemble: str, used: str) -> None:
        super().__init__(f"circular dependency between ensembles: {ensemble} -> ... -> {used} -> {ensemble}")


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


def compose(parsed: ParsedConfig, find: Find) -> ModelConfig:
    """Look at an ensemble and at the models of its steps, and give its configuration with what follows from theirs.

    Args:
        parsed: the ensemble's configuration; nobody has looked at its graph.
        find: finds the models.

    Raises:
        ConfigError: the steps make no graph. It tells all problems, those with the models, too, in the order of the file.
        CompositionError: they make one, but a model is missing or does not fit. It tells all problems likewise.
    """
    config = parsed.config
    problems = Problems(config.name, parsed.places)
    graph_problems(config, problems)
    sound = not problems.found
    models = _find_models(config, find, problems)
    step_problems(config, models, problems)
    in_order = sorted(problems.found, key=lambda problem: problem.line)
    if not sound:
        raise ConfigError(config.name, in_order, parsed.file)
    if in_order:
        raise CompositionError(config.name, in_order)
    composed = ModelConfig()
    composed.CopyFrom(config)
    decoupled = any(model.model_transaction_policy.decoupled for model in models if model is not None)
    composed.model_transaction_policy.decoupled = decoupled
    return composed


def _find_models(config: ModelConfig, find: Find, problems: Problems) -> list[ModelConfig | None]:
    """Give the model of each step, None where nothing is known of it; each that is missing is told once, with its steps."""
    graph = EnsembleGraph(config)
    wanted = composing_models(config)
    found: dict[tuple[str, int | None], ModelConfig] = {}
    for name, version in dict.fromkeys(model for model in wanted if model[0]):
        try:
            model = find(name, version)
        except CharoniaError as error:
            steps = [step for step, asked in enumerate(wanted) if asked == (name, version)]
            text = _why_missing(config.name, name, version, error)
            where = f"ensemble_scheduling.step[{steps[0]}].model_name"
            problems.add_whole(text, where, hint=f"see {', '.join(map(graph.told, steps))}")
            continue
        if model is not None:
            found[name, version] = model
    return [found.get(model) for model in wanted]


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
    if isinstance(error, CircleError):
        return str(error)
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
