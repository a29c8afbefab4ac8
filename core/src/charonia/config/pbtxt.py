"""The reader of the text form of protobuf, as far as a configuration needs it: no extensions, no Any."""

from __future__ import annotations

import re
from typing import NamedTuple

from charonia.config.syntax import Block, Entry, Items, Node, Scalar, SyntaxProblem

__all__ = ["read_pbtxt"]

_TOKEN = re.compile(
    r"""(?P<blank>[\s\ufeff]+|\#[^\n]*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<number>\.?[0-9][0-9A-Za-z_.+-]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<mark>[-:{}<>\[\],;])
      | (?P<other>.)""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPED = dict(zip(b"abfnrtv\\'\"?", b"\a\b\f\n\r\t\v\\'\"?", strict=True))
_CLOSING = {"{": "}", "<": ">"}
_DEEPEST = 50  # the schema has far fewer levels; this keeps a malicious text from exhausting the stack


class _Token(NamedTuple):
    kind: str  # a group of _TOKEN, or "end"
    text: str
    line: int


def read_pbtxt(text: str) -> tuple[Block, SyntaxProblem | None]:
    """Read a text; give what it says, and where the reading stopped early, if it did.

    The fields before the place of a syntax error are given, too, so that other mistakes can be told along with it.
    """
    reader = _Reader(_tokens(text))
    block = Block(1)
    try:
        reader.read_entries(block, _Token("end", "", 1), 0)
    except SyntaxProblem as problem:
        return block, problem
    return block, None


def _tokens(text: str) -> list[_Token]:
    found = []
    line = 1
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind != "blank":
            found.append(_Token(kind, match[0], line))
        line += match[0].count("\n")
    found.append(_Token("end", "", line))
    return found


def _unescaped(match: re.Match[bytes]) -> bytes:
    """Give the bytes of an escape. Raises KeyError or ValueError where there is no such escape."""
    octal, hexadecimal, short, long, plain = match.groups()
    if plain:
        return bytes([_ESCAPED[plain[0]]])
    if short or long:
        return chr(int(short or long, 16)).encode()
    return bytes([int(octal, 8) if octal else int(hexadecimal, 16)])


class _Reader:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def read_entries(self, block: Block, opening: _Token, depth: int) -> None:
        """Read `name: value` up to the mark that closes `opening`, or to the end of the text where that is empty."""
        closing = _CLOSING.get(opening.text, "")
        while (token := self._peek()).text != closing:
            if token.kind != "name":
                end = f', or "{closing}" for the "{opening.text}" of line {opening.line}' if closing else ""
                raise self._unexpected(f"the name of a field{end}")
            self._next += 1
            value = self._read_value_of_field(token.text, depth)
            block.entries.append(Entry(token.text, value, token.line))
            _ = self._take(",") or self._take(";")
        self._next += 1

    def _read_value_of_field(self, name: str, depth: int) -> Node:
        colon = self._take(":")
        if not colon and self._peek().text not in {"{", "<", "["}:
            raise self._unexpected(f'":" or "{{" after "{name}"')
        if not self._take("["):
            return self._read_single(depth)
        items = Items(self._tokens[self._next - 1].line)
        while not self._take("]"):
            items.items.append(self._read_single(depth))
            if not self._take(",") and self._peek().text != "]":
                raise self._unexpected(f'"," or "]" for the "[" of line {items.line}')
        return items

    def _read_single(self, depth: int) -> Node:
        token = self._peek()
        if token.text in _CLOSING:
            if depth == _DEEPEST:
                raise SyntaxProblem(token.line, "the blocks are nested too deeply")
            self._next += 1
            block = Block(token.line)
            self.read_entries(block, token, depth + 1)
            return block
        if token.kind == "string":
            return self._read_string()
        sign = "-" if self._take("-") else ""
        value = self._peek()
        if value.kind not in {"name", "number"}:
            raise self._unexpected("a value")
        self._next += 1
        return Scalar(sign + value.text, token.line)

    def _read_string(self) -> Scalar:
        first = self._peek()
        parts = []
        while (token := self._peek()).kind == "string":
            try:
                parts.append(_ESCAPE.sub(_unescaped, token.text[1:-1].encode()))
            except (KeyError, ValueError) as error:
                raise SyntaxProblem(token.line, "a string has an escape that does not exist", token.text) from error
            self._next += 1
        try:
            return Scalar(b"".join(parts).decode(), first.line, quoted=True)
        except UnicodeDecodeError as error:
            raise SyntaxProblem(first.line, "a string is not valid UTF-8", first.text) from error

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, mark: str) -> bool:
        taken = self._peek().kind == "mark" and self._peek().text == mark
        self._next += taken
        return taken

    def _unexpected(self, expected: str) -> SyntaxProblem:
        token = self._peek()
        found = "the end of the file" if token.kind == "end" else token.text
        if token.text in {'"', "'"}:
            return SyntaxProblem(
                token.line, "a string has no closing quote", found, f"a closing {token.text} on the same line"
            )
        return SyntaxProblem(token.line, "the text cannot be read on from here", found, expected)
