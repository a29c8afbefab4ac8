"""The reader of configurations in YAML: the schema of the text form, with lists for repeated fields and mappings for maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.config.syntax import Block, Entry, Items, Node, Scalar, SyntaxProblem

if TYPE_CHECKING:
    import yaml

__all__ = ["read_yaml"]

_NULLS = {"", "~", "null", "Null", "NULL"}


def read_yaml(text: str) -> tuple[Block, SyntaxProblem | None]:
    """Read a text; give what it says, or an empty block and why it cannot be read.

    Scalars keep their text: `name: no` is the name "no", and `name: 1.10` the name "1.10".
    """
    try:
        return _read(text), None
    except SyntaxProblem as problem:
        return Block(1), problem


def _read(text: str) -> Block:
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return Block(1)
        tree = _tree(root, {})
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SyntaxProblem(line, "the text has a character that YAML does not allow", repr(error.character)) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = ", ".join(part for part in (error.context, error.problem) if part)
        raise SyntaxProblem(mark.line + 1 if mark else 0, f"this is no YAML: {told}") from error
    except RecursionError as error:
        raise SyntaxProblem(0, "the lists and mappings are nested too deeply, or contain themselves") from error
    if not isinstance(tree, Block):
        raise SyntaxProblem(1, "a configuration is a mapping", expected="name: value, …")
    return tree


def _tree(node: yaml.Node, known: dict[int, Node]) -> Node:
    """Translate a node; an alias gives the same tree as its anchor, so that the work grows with the text alone."""
    import yaml

    if id(node) in known:
        return known[id(node)]
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        quoted = node.style is not None
        tree: Node = Scalar(node.value, line, quoted=quoted, null=not quoted and node.value in _NULLS)
    elif isinstance(node, yaml.SequenceNode):
        tree = Items(line, [_tree(item, known) for item in node.value])
    else:
        tree = Block(line, [_entry(name, value, known) for name, value in node.value])
    known[id(node)] = tree
    return tree


def _entry(name: yaml.Node, value: yaml.Node, known: dict[int, Node]) -> Entry:
    import yaml

    line = name.start_mark.line + 1
    if not isinstance(name, yaml.ScalarNode):
        raise SyntaxProblem(line, "the name of a field is no plain word")
    return Entry(name.value, _tree(value, known), line)
