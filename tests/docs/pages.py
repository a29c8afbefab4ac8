"""Reading a page of documentation: its fenced blocks and what the comments before them say.

A block is run by its kind (see `walkthrough`). An HTML comment on the line before it can say otherwise:

    <!-- file: PATH -->      write the block to PATH, for the blocks after it
    <!-- shows: PATH -->     the block is a copy of that file of the repository; running this module renews the copies
    <!-- output -->          what the Python block before it prints; `...` stands for anything
    <!-- exit: N -->         the last command ends with this status
    <!-- not run: REASON --> the block is only read
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

HOUSE = Path(__file__).parents[2]

MARKS = {"file", "shows", "output", "exit", "not run"}
_MARK = re.compile(r"<!-- ([a-z ]+?)(?:: (.*?))? -->")
_FENCE = re.compile(r"( *)```(\S*)(.*)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: the page's path in the repository.
        line: where the block begins, counted from 1.
        kind: the word after the fence.
        text: what stands between the fences.
        marks: what the comment before the block says, by name.
    """

    page: str
    line: int
    kind: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page of the repository, by path."""
    places = ["*.md", "docs/**/*.md", "*/README.md", "plugins/*/*.md", "examples/*/README.md"]
    found = {path.relative_to(HOUSE) for place in places for path in HOUSE.glob(place)}
    return sorted(str(path) for path in found if not path.parts[0].startswith("."))


def blocks(page: str) -> list[Block]:
    """Give the blocks of a page in their order."""
    found: list[Block] = []
    marks: dict[str, str] = {}
    lines = enumerate((HOUSE / page).read_text().splitlines(), 1)
    for number, line in lines:
        if fence := _FENCE.fullmatch(line):
            indent, kind, _ = fence.groups()
            text = []
            for _, inner in lines:
                if inner.strip() == "```":
                    break
                text.append(inner.removeprefix(indent) + "\n")
            found.append(Block(page, number, kind, "".join(text), marks))
            marks = {}
        elif mark := _MARK.fullmatch(line.strip()):
            marks[mark[1]] = mark[2] or ""
        elif line.strip():
            marks = {}
    return found


def copy_shown_files(page: str) -> None:
    """Bring a page's copies of files up to date."""

    def renewed(match: re.Match[str]) -> str:
        return f"{match[1]}{(HOUSE / match[2]).read_text()}```"

    text = (HOUSE / page).read_text()
    (HOUSE / page).write_text(re.sub(r"(<!-- shows: (\S+) -->\n```\w+\n).*?```", renewed, text, flags=re.DOTALL))


if __name__ == "__main__":
    for name in pages():
        copy_shown_files(name)
