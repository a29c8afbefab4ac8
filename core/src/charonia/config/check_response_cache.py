"""The check of the section `response_cache`: which models may have their responses given again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia_protos.model_config_pb2 import ModelConfig

    from charonia.config.problems import Problems

__all__ = ["response_cache_problems"]


def response_cache_problems(config: ModelConfig, problems: Problems) -> None:
    """Check that a model whose responses are cached gives equal requests equal responses, one to each."""
    if not config.response_cache.enable:
        return
    where, advice = "response_cache.enable", "Please disable the response cache."
    start = f"Response Cache does not currently support model {config.name} with"
    if config.HasField("sequence_batching"):
        problems.add_whole(f"{start} sequence batching scheduler. {advice}", where)
    if config.model_transaction_policy.decoupled:
        problems.add_whole(f"{start} 'decoupled' transaction policy. {advice}", where)
