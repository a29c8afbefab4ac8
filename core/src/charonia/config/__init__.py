"""Model configurations: reading, completing, checking and printing them.

A configuration is the protobuf message `ModelConfig`, the same that the protocol answers. It is written by `parse_config`,
`infer_framework`, a backend's completion and `normalise`, each on a copy of its own, and only read after that.

    config.pbtxt ─► variables ─► pbtxt ─┐
    config.yaml  ─► variables ─► yaml ──┼─► syntax ─► build ─► ModelConfig ─► infer_framework ─► check_config
    JSON         ─► json_form ──────────┘              ─► (the backend completes it) ─► normalise ─► check_loadable

What the steps of an ensemble make together is looked at when it loads, with their models: see `charonia.composition`.
"""

from __future__ import annotations

from charonia_protos.model_config_pb2 import ModelConfig

from charonia.config.check import check_config
from charonia.config.check_graph import graph_problems
from charonia.config.check_load import check_loadable
from charonia.config.check_steps import step_problems
from charonia.config.ensemble_graph import composing_models
from charonia.config.framework import infer_framework
from charonia.config.json_form import config_from_json, config_to_json
from charonia.config.model_metrics import FIRST_RESPONSE, first_response_bounds_ms
from charonia.config.normalise import normalise
from charonia.config.parse import ParsedConfig, parse_config
from charonia.config.versions import selected_versions

__all__ = [
    "FIRST_RESPONSE",
    "ModelConfig",
    "ParsedConfig",
    "check_config",
    "check_loadable",
    "composing_models",
    "config_from_json",
    "config_to_json",
    "first_response_bounds_ms",
    "graph_problems",
    "infer_framework",
    "normalise",
    "parse_config",
    "selected_versions",
    "step_problems",
]
