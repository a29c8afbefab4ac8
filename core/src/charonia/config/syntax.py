"""What a configuration says, before it is known what it means.

The readers of the text form, YAML and JSON all give this tree, and `charonia.config.build` makes the message of it. Scalars stay
text, since the field that they are for decides how they are to be read.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

__all__ = ["Block", "Entry", "Form", "Items", "Node", "Scalar", "SyntaxProblem", "described"]


class Form(enum.Enum):
    """The notations of a configuration."""

    PBTXT = "the text form"
    YAML = "YAML"
    JSON = "JSON"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value.

    Attributes:
        text: the value as written, without its quotes.
        line: where it stands, from 1; 0 where no line is known.
        quoted: whether it is marked as a string.
        null: whether it is the notation's "nothing".
    """

    text: str
    line: int
    quoted: bool = False
    null: bool = False


@dataclass(slots=True)
class Items:
    """A list."""

    line: int
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """A name and what is said about it."""

    name: str
    value: Node
    line: int


@dataclass(slots=True)
class Block:
    """Names with values; a name may come more than once."""

    line: int
    entries: list[Entry] = field(default_factory=list)


Node = Scalar | Items | Block


def described(node: Node) -> str:
    """Say in a few words what was written."""
    if isinstance(node, Scalar):
        if node.null:
            return "nothing"
        return f'"{node.text}"' if node.quoted else node.text
    return "a list" if isinstance(node, Items) else "a block of fields"


class SyntaxProblem(Exception):  # noqa: N818 - it carries a problem, and never leaves the package
    """The text cannot be read on from here.

    Attributes:
        line: where, from 1.
        text: what is wrong.
        found: what stands there.
        expected: what should stand there.
    """

    def __init__(self, line: int, text: str, found: str = "", expected: str = "") -> None:
        super().__init__(text)
        self.line = line
        self.text = text
        self.found = found
        self.expected = expected
