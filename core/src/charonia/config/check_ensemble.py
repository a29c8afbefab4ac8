"""The checks of an ensemble's sections; what its steps make together is looked at with their models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia_protos.model_config_pb2 import ModelConfig

    from charonia.config.problems import Problems

__all__ = ["ensemble_problems"]

_HINT = "it belongs into the configurations of the models that the ensemble is made of"


def ensemble_problems(config: ModelConfig, problems: Problems) -> None:
    """Check that platform and schedule go together, and that the sections are an ensemble's."""
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
