"""What a model's process runs first, in whichever Python: it makes the server's own packages known, and hands over.

Only the standard library is imported here, since the model's environment may have nothing else.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["LentFinder", "start"]


class LentFinder:
    """Finds packages that the server lends, and nothing else beside them.

    Args:
        places: the directory in which each package is.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a package; what is below it is found by its own path."""
        del path, target
        place = self._places.get(fullname)
        return None if place is None else PathFinder.find_spec(fullname, [place])


def start(told: Mapping[str, Any]) -> None:
    """Serve a model until the server says that it is enough.

    Args:
        told: "ours", "plain" and "compiled" are packages and their directories; of the latter two, the environment's own count
            where it has them, and those that are compiled are only lent to the server's own version of Python, "python". "paths"
            are further directories of packages, and "descriptors" are the two sockets of the line to the server, and the memory
            of last words.
    """
    sys.meta_path.insert(0, LentFinder(told["ours"]))
    sys.meta_path.append(LentFinder(told["plain"]))
    if list(sys.version_info[:2]) == told["python"]:
        sys.meta_path.append(LentFinder(told["compiled"]))
    sys.path += [path for path in told["paths"] if path not in sys.path]
    import_module("charonia_backend_custom.process.child").serve(*told["descriptors"])


if __name__ == "__main__":
    start(json.loads(sys.argv[1]))
