"""From the text of a configuration file to the message, with the line of every field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from charonia_protos.model_config_pb2 import ModelConfig

from charonia.config.build import Builder
from charonia.config.pbtxt import read_pbtxt
from charonia.config.syntax import Form
from charonia.config.variables import substitute
from charonia.config.yaml import read_yaml
from charonia.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ParsedConfig", "name_problem", "parse_config"]


@dataclass(frozen=True)
class ParsedConfig:
    """A configuration as its file has it.

    Attributes:
        config: the message, with its name filled in.
        places: field path → line, such as `input[0].data_type` → 5.
        file: the name of the file, or "" where there is none.
    """

    config: ModelConfig
    places: Mapping[str, int] = field(default_factory=dict)
    file: str = ""


def parse_config(text: str, *, model: str, file: str, environment: Mapping[str, str]) -> ParsedConfig:
    """Read a model's configuration.

    An empty name becomes the model's, as in the reference.

    Args:
        text: what the file contains.
        model: the name of the model's directory.
        file: the file's name; one that ends in .yaml or .yml is YAML, any other the text form.
        environment: what `${NAME}` stands for.

    Raises:
        ConfigError: the text cannot be understood; it has every problem that was found, in the order of the lines.
    """
    form = Form.YAML if file.endswith((".yaml", ".yml")) else Form.PBTXT
    text, problems = substitute(text, form, environment)
    block, syntax = read_yaml(text) if form is Form.YAML else read_pbtxt(text)
    if syntax:
        problems.append(ConfigProblem(syntax.text, found=syntax.found, expected=syntax.expected, line=syntax.line))
    builder = Builder(form)
    config = ModelConfig()
    builder.fill(config, block)
    problems += builder.problems
    if config.name and config.name != model:
        problems.append(name_problem(config.name, model, builder.places.get("name", 0)))
    if problems:
        raise ConfigError(model, sorted(problems, key=lambda problem: problem.line), file)
    config.name = model
    return ParsedConfig(config, builder.places, file)


def name_problem(name: str, model: str, line: int = 0) -> ConfigProblem:
    """Tell that a configuration has another name than its directory."""
    text = f"unexpected directory name '{model}' for model '{name}', directory name must equal model name"
    hint = f'rename the directory, write name: "{model}", or leave the name out'
    return ConfigProblem(text, "name", f'"{name}"', f'"{model}"', hint, line)
