"""The nearest right name to a misspelt one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["nearest"]

_SIMILAR_ENOUGH = 0.6


def nearest(name: str, names: Iterable[str]) -> str:
    """Find the name that was probably meant, or "" where none is similar.

    Case, underscores and hyphens do not count; a name that only lacks a beginning (FP32 for TYPE_FP32) is found, too.
    """
    plain = {_plain(right): right for right in names}
    wrong = _plain(name)
    if not wrong:
        return ""
    ends = [right for bare, right in plain.items() if bare.endswith(wrong) or wrong.endswith(bare)]
    if len(ends) == 1:
        return ends[0]
    found = difflib.get_close_matches(wrong, plain, n=1, cutoff=_SIMILAR_ENOUGH)
    return plain[found[0]] if found else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
