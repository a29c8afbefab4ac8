"""The call of an exported program as a tree: positional and named arguments, and values in each other.

PyTorch runs such a program on the leaves of the tree, and describes the tree beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["argument_paths", "result_paths", "written_path"]


def argument_paths(spec: Any) -> list[tuple[str, ...]]:
    """Give the path of each argument: ("ARGS", "0"), ("KWARGS", "scale"), ("ARGS", "0", "key")."""
    return [(("ARGS", "KWARGS")[int(first)], *rest) for first, *rest in _paths(spec)]


def result_paths(spec: Any) -> list[tuple[str, ...]]:
    """Give the path of each result: ("RESULT",), ("RESULT", "1"), ("RESULT", "scores")."""
    return [("RESULT", *path) for path in _paths(spec)]


def written_path(path: Sequence[str]) -> str:
    """Write a path as the reference does: `ARGS[0][key]`."""
    return path[0] + "".join(f"[{key}]" for key in path[1:])


def _paths(spec: Any) -> list[list[str]]:
    from torch.utils import _pytree as pytree  # the one that torch.export speaks; there is no public one

    tree = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    leaves, _ = pytree.tree_flatten_with_path(tree)
    return [[_key(part) for part in path] for path, _ in leaves]


def _key(part: Any) -> str:
    """Give the index, key or field of one step of a path."""
    for attribute in ("idx", "key", "name"):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)
