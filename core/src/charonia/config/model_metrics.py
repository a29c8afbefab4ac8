"""What a configuration's section `model_metrics` asks for: buckets of histograms."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia_protos.model_config_pb2 import ModelConfig

__all__ = ["FIRST_RESPONSE", "first_response_bounds_ms"]

_log = logging.getLogger(__name__)

FIRST_RESPONSE = "nv_inference_first_response_histogram_ms"
"""The one family whose buckets a model may choose, as in the reference."""

_USUAL_BOUNDS_MS = (100.0, 500.0, 2000.0, 5000.0)


def first_response_bounds_ms(config: ModelConfig) -> Sequence[float]:
    """Give the upper bounds of the buckets for times to the first response, in milliseconds, ascending.

    Empty for models that give one response to each request: their first responses are not counted by themselves.
    """
    bounds: Sequence[float] = _USUAL_BOUNDS_MS
    for control in config.model_metrics.metric_control:
        family = control.metric_identifier.family
        if family == FIRST_RESPONSE:
            bounds = sorted(set(control.histogram_options.buckets))
        else:
            _log.warning(
                'model "%s": the section model_metrics names the family %s, whose buckets cannot be chosen: only those of %s can',
                config.name,
                family,
                FIRST_RESPONSE,
            )
    return bounds if config.model_transaction_policy.decoupled else ()
