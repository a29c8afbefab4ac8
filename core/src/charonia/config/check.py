"""The checks of a configuration that need nothing but its text: a model that fails them is not even considered.

The texts are those of the reference; the rest of each problem is ours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from charonia.config.check_ensemble import ensemble_problems
from charonia.config.check_response_cache import response_cache_problems
from charonia.config.check_scheduling import scheduling_problems
from charonia.config.problems import Problems

if TYPE_CHECKING:
    from charonia_protos.model_config_pb2 import ModelConfig

    from charonia.config.parse import ParsedConfig
    from charonia.errors import ConfigProblem

__all__ = ["check_config"]


def check_config(parsed: ParsedConfig) -> list[ConfigProblem]:
    """List what is wrong with a configuration that could be read; empty where nothing is."""
    config = parsed.config
    problems = Problems(config.name, parsed.places)
    if config.max_batch_size < 0:
        text = "'max_batch_size' must be non-negative value"
        problems.add(text, "max_batch_size", found=config.max_batch_size, hint="0 means that the model does not batch")
    scheduling_problems(config, problems)
    response_cache_problems(config, problems)
    ensemble_problems(config, problems)
    _check_agents(config, problems)
    _check_metrics(config, problems)
    return problems.found


def _check_agents(config: ModelConfig, problems: Problems) -> None:
    for index, agent in enumerate(config.model_repository_agents.agents):
        text = f"unable to find 'libtritonrepoagent_{agent.name}.so' for repo agent '{agent.name}'"
        hint = "this server has no repository agents: remove the section model_repository_agents"
        problems.add_whole(text, f"model_repository_agents.agents[{index}]", hint=hint)


def _check_metrics(config: ModelConfig, problems: Problems) -> None:
    for index, control in enumerate(config.model_metrics.metric_control):
        where = f"model_metrics.metric_control[{index}]"
        if not control.HasField("metric_identifier"):
            problems.add_whole("metric control must specify 'metric_identifier'", where)
        elif not control.metric_identifier.family:
            problems.add_whole("metric identifier must specify non-empty 'family'", f"{where}.metric_identifier")
        if not control.HasField("histogram_options"):
            problems.add_whole("metric control must specify 'histogram_options'", where)
        elif not control.histogram_options.buckets:
            problems.add_whole("histogram options must specify non-empty 'buckets'", f"{where}.histogram_options")
        elif not all(map(math.isfinite, control.histogram_options.buckets)):
            problems.add_whole("'buckets' are finite: an infinite one is added to them", f"{where}.histogram_options")
