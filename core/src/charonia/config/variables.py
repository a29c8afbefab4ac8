"""Environment variables in a configuration: `${NAME}` and `${NAME:-default}`; `$${` stands for `${`.

They may stand anywhere but in comments. In quotes a value is always one string, whatever characters it has.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from charonia.config.syntax import Form
from charonia.errors import ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["substitute"]

_REFERENCE = re.compile(r"\$(?P<escape>\$)?\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}\n]*))?\})?")

# What a reference may stand in. In YAML a quote starts a string, and a # a comment, only where a value can start.
_DOUBLE, _SINGLE = r'"(?:[^"\\\n]|\\.)*"', r"'(?:[^'\\\n]|\\.)*'"
_YAML_DOUBLE, _YAML_SINGLE = r'(?<![^\s,\[{:-])"(?:[^"\\]|\\.)*"', r"(?<![^\s,\[{:-])'(?:[^']|'')*'"
_PLACES = {
    Form.PBTXT: re.compile(rf"(?P<comment>#[^\n]*)|(?P<double>{_DOUBLE})|(?P<single>{_SINGLE})|{_REFERENCE.pattern}"),
    Form.YAML: re.compile(
        rf"(?P<comment>(?<!\S)#[^\n]*)|(?P<double>{_YAML_DOUBLE})|(?P<single>{_YAML_SINGLE})|{_REFERENCE.pattern}",
        re.DOTALL,
    ),
}

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _in_double_quotes(value: str) -> str:
    return value.translate(_ESCAPES)


def _in_single_quotes(value: str) -> str:
    return value.translate(_ESCAPES).replace("'", "\\'")


def _in_single_quotes_of_yaml(value: str) -> str:
    return value.replace("'", "''")


def _in_no_quotes(value: str) -> str:
    return value


def substitute(text: str, form: Form, environment: Mapping[str, str]) -> tuple[str, list[ConfigProblem]]:
    """Put in the values of the variables; give the new text, with the same lines, and what is wrong with the references.

    A reference with a problem becomes a name, so that the rest of the text can still be read. A default is taken where the
    variable is not set or empty, as in a shell.

    Args:
        text: the configuration.
        form: PBTXT or YAML.
        environment: the variables.
    """
    substitution = _Substitution(text, environment)
    in_single_quotes = _in_single_quotes if form is Form.PBTXT else _in_single_quotes_of_yaml

    def place(match: re.Match[str]) -> str:
        if match["comment"] is not None:
            return match[0]
        if match["double"] is not None:
            return substitution.within(match, _in_double_quotes)
        if match["single"] is not None:
            return substitution.within(match, in_single_quotes)
        return substitution.value(match, match.start(), _in_no_quotes)

    return _PLACES[form].sub(place, text), substitution.problems


class _Substitution:
    def __init__(self, text: str, environment: Mapping[str, str]) -> None:
        self._text = text
        self._environment = environment
        self.problems: list[ConfigProblem] = []

    def within(self, quoted: re.Match[str], escape: Callable[[str], str]) -> str:
        return _REFERENCE.sub(lambda match: self.value(match, quoted.start() + match.start(), escape), quoted[0])

    def value(self, match: re.Match[str], position: int, escape: Callable[[str], str]) -> str:
        if match["escape"]:
            return match[0][1:]
        name, default = match["name"], match["default"]
        if not name:
            told = "'${' does not start a reference to a variable"
            self._tell(position, told, "${NAME} or ${NAME:-default}", "write $${ for the characters themselves")
            return "_"
        value = self._environment.get(name)
        if not value and default is not None:
            return str(default)
        if value is None:
            told = f"environment variable {name} is not set"
            self._tell(position, told, "", f"set it, or give a default: ${{{name}:-default}}")
            return str(name)
        escaped = escape(value)
        if "\n" in escaped:
            told = f"environment variable {name} has several lines"
            self._tell(position, told, "a value of one line", f'or put the reference in double quotes: "${{{name}}}"')
            return str(name)
        return escaped

    def _tell(self, position: int, text: str, expected: str, hint: str) -> None:
        line = self._text.count("\n", 0, position) + 1
        self.problems.append(ConfigProblem(text, expected=expected, hint=hint, line=line))
