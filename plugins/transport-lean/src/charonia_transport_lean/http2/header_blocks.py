"""Header blocks: HPACK, and a memory of what came before (RFC 7541).

Clients and servers send the same fields again and again. A block that leaves the table of fields as it is means the same, byte
for byte, until the table changes; so it is decoded, or encoded, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import hpack
from hpack.table import HeaderTable

from charonia_transport_lean.http2.frames import ConnectionFault, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_HEADER_LIST", "HeaderDecoder", "HeaderEncoder", "Headers"]

T = TypeVar("T")

Headers = tuple[tuple[str, str], ...]
"""Header fields in their order, names in lower case."""

MAX_HEADER_LIST = 65_536
"""How much all fields of a block may take, as RFC 9113 counts it, in bytes."""

_MAX_TABLE = 4096
"""How large a table of fields becomes, in bytes, on either side."""

_MOST_KNOWN = 64
_LARGEST_KNOWN = 4096
"""How many blocks are remembered, and how large the fields of one may be, in bytes; a few of the wire's can mean very many."""

_FIELD_BYTES = 32
"""What a field takes beside its name and value, as the RFC has it."""


class _WatchedTable(HeaderTable):
    """A table of fields that tells when it has changed."""

    changed = False

    def add(self, name: bytes, value: bytes) -> None:
        """Put in a field."""
        self.changed = True
        super().add(name, value)

    @property
    def maxsize(self) -> int:
        """How large it may be, in bytes."""
        return int(HeaderTable.maxsize.fget(self))  # type: ignore[attr-defined]  # it is a property

    @maxsize.setter
    def maxsize(self, size: int) -> None:
        self.changed = True
        HeaderTable.maxsize.fset(self, size)  # type: ignore[attr-defined]  # the same

    def take_changed(self) -> bool:
        """Tell whether it has changed since the last question."""
        changed, self.changed = self.changed, False
        return changed


class HeaderDecoder(Generic[T]):
    """Decodes a client's blocks.

    Args:
        read: makes of a block's fields what the connection wants to know; called once for blocks that come again and again, so
            that what it gives must not change.
    """

    def __init__(self, read: Callable[[Headers], T]) -> None:
        self._read = read
        self._decoder = hpack.Decoder(MAX_HEADER_LIST)
        self._decoder.header_table = self._table = _WatchedTable()
        self._decoder.max_allowed_table_size = _MAX_TABLE
        self._known: dict[bytes, T] = {}

    def decode(self, block: bytes) -> T:
        """Decode a block.

        Raises:
            ConnectionFault: it cannot be decoded, or is too large. The table is no longer that of the client then.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            fields = self._decoder.decode(block, raw=True)
        except hpack.OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block is too large") from error
        except (hpack.HPACKError, IndexError, ValueError) as error:
            # The cause stays here: the client would learn from it where things lie in our memory.
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "a header block cannot be read") from error
        changed = self._table.take_changed()
        if changed or len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        meaning = self._read(tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields))
        if not changed and sum(len(name) + len(value) + _FIELD_BYTES for name, value in fields) <= _LARGEST_KNOWN:
            self._known[block] = meaning
        return meaning


class HeaderEncoder:
    """Encodes our own blocks."""

    def __init__(self) -> None:
        self._encoder = hpack.Encoder()
        self._encoder.header_table = self._table = _WatchedTable()
        self._known: dict[Headers, bytes] = {}

    def limit_table(self, size: int) -> None:
        """Keep to a table of so many bytes, as the client wishes."""
        self._encoder.header_table_size = min(size, _MAX_TABLE)
        self._known.clear()

    def encode(self, fields: Headers, *varying: tuple[str, str]) -> bytes:
        """Encode a block.

        Args:
            fields: those that come again and again.
            varying: those that do not, which are kept out of the tables.
        """
        if varying:
            rare = [hpack.NeverIndexedHeaderTuple(*field) for field in varying]
            block: bytes = self._encoder.encode([*fields, *rare], huffman=False)
            if self._table.take_changed():
                self._known.clear()
            return block
        known = self._known.get(fields)
        if known is not None:
            return known
        block = self._encoder.encode(fields, huffman=False)
        if self._table.take_changed() or len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        else:
            self._known[fields] = block
        return block
