"""The options file of `charonia serve`: YAML with the flags' names as keys.

model-repository: [models, /srv/more-models]
http-port: 8080
exit-on-error: false
plugins:                # which package serves a name that several claim
  backend:
    onnxruntime: charonia-backend-onnx
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from charonia.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.cli.flags import Flag

__all__ = ["OptionsFile", "read_options_file"]

_PLUGINS = "plugins"
_NOT_IN_FILES = {"config"}


@dataclass(frozen=True)
class OptionsFile:
    """A file that could be read; its keys are checked by `values`.

    Attributes:
        path: the file, as the user gave it.
        entries: each key with the line where it stands, and its value.
        choices: what `plugins` says, as "backend.onnxruntime" → a distribution.
    """

    path: str
    entries: Mapping[str, tuple[int, yaml.Node]] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)

    def values(self, flags: Sequence[Flag]) -> dict[str, Any]:
        """Give the values for click, by parameter name.

        Raises:
            click.UsageError: a key is no flag, or its value does not fit. All keys are looked at.
        """
        by_key = {flag.key: flag for flag in flags if flag.key not in _NOT_IN_FILES}
        by_key |= {
            name.removeprefix("--"): flag for flag in flags for name in flag.opts if flag.key not in _NOT_IN_FILES
        }
        given: dict[str, Any] = {}
        problems: list[str] = []
        for key, (line, node) in self.entries.items():
            flag = by_key.get(key)
            if flag is None:
                visible = [flag.key for flag in flags if not flag.hidden and flag.key not in _NOT_IN_FILES]
                problems.append(f"{self.path}:{line}: {_unknown(key, [*visible, _PLUGINS])}")
                continue
            try:
                given[str(flag.name)] = _value(flag, node)
            except click.BadParameter as error:
                problems.append(f"{self.path}:{line}: {key}: {error.message}")
        if problems:
            raise click.UsageError("\n".join(problems))
        return given


def read_options_file(path: str) -> OptionsFile:
    """Read an options file.

    Raises:
        click.UsageError: it cannot be read, or is not a mapping in YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise click.UsageError(f"--config: {path} cannot be read: {reason}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise click.UsageError(f"{path}:{line}: this is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise click.UsageError(f"{path}: this is no YAML: {error}") from error
    if root is None:
        return OptionsFile(path)
    if not isinstance(root, yaml.MappingNode):
        raise click.UsageError(f"{path}:1: expected a line for each option, such as http-port: 8080")
    entries: dict[str, tuple[int, yaml.Node]] = {}
    for key, node in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise click.UsageError(f"{path}:{line}: expected the name of an option")
        if key.value in entries:
            raise click.UsageError(f"{path}:{line}: {key.value} stands in line {entries[key.value][0]} already")
        entries[key.value] = (line, node)
    choices = _choices(path, *entries.pop(_PLUGINS)) if _PLUGINS in entries else {}
    return OptionsFile(path, entries, choices)


def _choices(path: str, line: int, node: yaml.Node) -> dict[str, str]:
    expected = "expected plugins: {KIND: {NAME: PACKAGE}}, such as plugins: {backend: {onnxruntime: acme-onnx}}"
    choices: dict[str, str] = {}
    kinds = yaml.BaseLoader("").construct_document(node)
    if not isinstance(kinds, dict):
        raise click.UsageError(f"{path}:{line}: {expected}")
    for kind, names in kinds.items():
        if not isinstance(names, dict) or not all(isinstance(chosen, str) and chosen for chosen in names.values()):
            raise click.UsageError(f"{path}:{line}: {expected}")
        choices |= {f"{kind}.{name}": chosen for name, chosen in names.items()}
    return choices


def _unknown(key: str, keys: Sequence[str]) -> str:
    bare = key.removeprefix("--")
    near = nearest(bare, keys)
    hint = f" Did you mean {near!r}?" if near else ""
    return f"no such option: {key!r}.{hint}"


def _value(flag: Flag, node: yaml.Node) -> Any:
    """Give a flag's value, converted, so that a mistake is told with its line."""
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if len(nodes) != 1 and not flag.multiple:
        raise click.BadParameter("takes one value, not a list")
    values = []
    for item in nodes:
        if not isinstance(item, yaml.ScalarNode):
            raise click.BadParameter(f"takes {'plain values' if flag.multiple else 'a plain value'}")
        if not item.value and item.style is None:
            raise click.BadParameter("has no value")
        values.append(item.value)
    for value in values:
        flag.type.convert(value, flag, None)
    return values if flag.multiple else values[0]
