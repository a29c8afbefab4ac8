"""What a configuration leaves to be found out: the framework from the model's files, and what a backend completes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from charonia.config import ParsedConfig, check_config, infer_framework
from charonia.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.config import ModelConfig

__all__ = ["adopt_completion", "complete_framework"]


def complete_framework(parsed: ParsedConfig, files: Sequence[str] | None, model: str) -> ParsedConfig:
    """Find out the backend, and check the configuration, so that all that is wrong with it is told at once."""
    try:
        config = infer_framework(parsed.config, files, model, file=parsed.file)
    except ConfigError as error:
        problems = [replace(problem, line=parsed.places.get(problem.field, 0)) for problem in error.problems]
        problems = sorted(problems + check_config(parsed), key=lambda problem: problem.line)
        raise ConfigError(model, problems, parsed.file) from error
    completed = replace(parsed, config=config)
    problems = check_config(completed)
    if problems:
        raise ConfigError(model, problems, parsed.file)
    return completed


def adopt_completion(written: ModelConfig, completed: ModelConfig) -> ModelConfig:
    """Take over from a completed configuration what a backend may change, as in the reference; the rest stays as written."""
    adopted = type(written)()
    adopted.CopyFrom(written)
    adopted.max_batch_size = completed.max_batch_size
    del adopted.input[:]
    adopted.input.extend(completed.input)
    del adopted.output[:]
    adopted.output.extend(completed.output)
    if completed.HasField("model_transaction_policy"):
        adopted.model_transaction_policy.CopyFrom(completed.model_transaction_policy)
    choice = completed.WhichOneof("scheduling_choice")
    if choice is not None and adopted.WhichOneof("scheduling_choice") is None:
        getattr(adopted, choice).CopyFrom(getattr(completed, choice))
        getattr(adopted, choice).SetInParent()
    return adopted
