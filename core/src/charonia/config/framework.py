"""Which backend loads a model, found from what its configuration and its files tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia_protos.model_config_pb2 import ModelConfig

from charonia.errors import ConfigError, ConfigProblem
from charonia.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["infer_framework"]


@dataclass(frozen=True)
class _Framework:
    platform: str
    backend: str
    filename: str


# In the order in which the reference looks for the files. These are names that model repositories use, whoever serves them.
_FRAMEWORKS = (
    _Framework("tensorflow_savedmodel", "tensorflow", "model.savedmodel"),
    _Framework("tensorflow_graphdef", "tensorflow", "model.graphdef"),
    _Framework("tensorrt_plan", "tensorrt", "model.plan"),
    _Framework("onnxruntime_onnx", "onnxruntime", "model.onnx"),
    _Framework("", "openvino", "model.xml"),
    _Framework("pytorch_libtorch", "pytorch", "model.pt"),
    _Framework("torch_aoti", "pytorch", "model.pt2"),
    _Framework("", "python", "model.py"),
)
_OTHER_PLATFORMS = {"libtorch": _Framework("libtorch", "pytorch", "model.pt")}
_BY_PLATFORM = {framework.platform: framework for framework in _FRAMEWORKS if framework.platform} | _OTHER_PLATFORMS
_CLASSICAL = {"tensorflow", "tensorrt", "onnxruntime", "pytorch"}
_ENSEMBLE = "ensemble"
_TOLD_FILES = 5


def infer_framework(config: ModelConfig, files: Collection[str] | None, model: str, *, file: str = "") -> ModelConfig:
    """Fill in platform, backend and default_model_filename from each other, or from the model's files; give a copy.

    Args:
        config: the configuration, perhaps empty.
        files: the names in the model's first version directory, files and directories; None where it has no version.
        model: the model's name; `anything.NAME` means the backend NAME where nothing else tells.
        file: the name of the configuration's file, for errors.

    Raises:
        ConfigError: the backend cannot be found out, or platform and backend do not go together; worded as in the reference.
    """
    filled = ModelConfig()
    filled.CopyFrom(config)
    if config.platform == _ENSEMBLE or config.HasField("ensemble_scheduling"):
        problem = _ensemble_problem(config, model)
    else:
        _fill(filled, files or (), model)
        problem = _pair_problem(filled, files, model)
    if problem:
        raise ConfigError(model, [problem], file)
    return filled


def _ensemble_problem(config: ModelConfig, model: str) -> ConfigProblem | None:
    if not config.backend or config.platform != _ENSEMBLE:
        return None  # whether platform and scheduling go together is checked with the rest of the configuration
    text = f"Ensemble model '{model}' must have platform type 'ensemble' and empty backend type"
    return ConfigProblem(text, "backend", f'"{config.backend}"', "no backend", "remove the line")


def _fill(config: ModelConfig, files: Collection[str], model: str) -> None:
    found = _find(config, files)
    if found:
        config.backend = config.backend or found.backend
        config.platform = config.platform or found.platform
        config.default_model_filename = config.default_model_filename or found.filename
    elif not config.backend and not config.platform and "." in model:
        config.backend = model.partition(".")[2]
        config.default_model_filename = config.default_model_filename or f"model.{config.backend}"


def _find(config: ModelConfig, files: Collection[str]) -> _Framework | None:
    """Find the framework that the platform names, else the backend's whose file is named or there, else the backend's first."""
    named = _BY_PLATFORM.get(config.platform)
    if named and config.backend in {"", named.backend}:
        return named
    if config.platform and not config.backend:
        return None
    candidates = [framework for framework in _FRAMEWORKS if config.backend in {"", framework.backend}]
    for names in ({config.default_model_filename}, files):
        for framework in candidates:
            if framework.filename in names:
                return framework
    return candidates[0] if config.backend and candidates else None


def _pair_problem(config: ModelConfig, files: Collection[str] | None, model: str) -> ConfigProblem | None:
    platform, backend = config.platform, config.backend
    if not backend and platform:
        near = nearest(platform, _BY_PLATFORM)
        hint = f'did you mean "{near}"?' if near else "write a backend instead of a platform"
        return ConfigProblem(
            f"unexpected platform type '{platform}' for {model}", "platform", f'"{platform}"', "", hint
        )
    if not backend:
        text = (
            f"Invalid model name: Could not determine backend for model '{model}' with no backend in model configuration. "
            "Expected model name of the form 'model.<backend_name>'."
        )
        return ConfigProblem(text, "backend", hint=_version_hint(model) if files is None else _naming_hint(files))
    named = _BY_PLATFORM.get(platform)
    if platform and backend in _CLASSICAL and (named is None or named.backend != backend):
        text = f"unexpected 'platform' and 'backend' pair, got:{platform}, {backend}"
        return ConfigProblem(text, "platform", f'"{platform}"', "", "remove the line with the platform")
    return None


def _naming_hint(files: Collection[str]) -> str:
    names = ", ".join(framework.filename for framework in _FRAMEWORKS)
    there = ", ".join(sorted(files)[:_TOLD_FILES]) or "nothing"
    return f'write backend: "…" into the configuration, or give the model\'s file one of these names: {names}; there is: {there}'


def _version_hint(model: str) -> str:
    if model.isdecimal():
        return f"'{model}' may be a version of a model: then the repository is the directory above this one"
    return f"'{model}' has no version: put the model's file into a directory named by a number, such as {model}/1/model.onnx"
