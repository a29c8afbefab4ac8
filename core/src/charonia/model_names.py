"""How models are told apart: by their names; or with namespaces by their repository, too, so that equal names are no clash.

What a server knows of a model, it keeps under the key of the model: its name, or `REPOSITORY::NAME`. Clients say names alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ModelNames"]

_SEPARATOR = "::"


class ModelNames:
    """The names and keys of a server's models.

    Args:
        namespaces: the URLs of the repositories; none where models are told apart by their names alone.

    Attributes:
        namespaces: see above.
    """

    def __init__(self, namespaces: Sequence[str] = ()) -> None:
        self.namespaces = namespaces

    @staticmethod
    def key(name: str, namespace: str = "") -> str:
        """Give the key of a model. One that is in no repository, since its files came with its load, has no namespace."""
        return f"{namespace}{_SEPARATOR}{name}" if namespace else name

    def split(self, key: str) -> tuple[str, str]:
        """Give a model's name and namespace."""
        for namespace in self.namespaces:
            if key.startswith(namespace + _SEPARATOR):
                return key.removeprefix(namespace + _SEPARATOR), namespace
        return key, ""

    def name(self, key: str) -> str:
        """Give a model's name."""
        return self.split(key)[0]

    def meant(self, name: str, namespace: str, keys: Sequence[str]) -> str:
        """Find the model that another one means by a name: that of its own namespace, else the only one.

        Args:
            name: the name.
            namespace: the namespace of who says it.
            keys: the models of this name.

        Raises:
            InternalError: there are several.
        """
        own = self.key(name, namespace)
        if len(keys) > 1 and own not in keys:
            raise InternalError(f"it is in {' and in '.join(self.split(key)[1] for key in keys)}")
        return own if own in keys else next(iter(keys), own)
