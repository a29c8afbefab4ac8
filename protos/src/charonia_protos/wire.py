"""Writing protobuf's wire format by hand, for what is written once per model and for large data.

A message may be written in parts that follow each other. So what depends on the model alone is serialised once, and a
tensor's bytes go into the answer without passing through a message object.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["length_delimited", "packed", "varint"]

_LENGTH_DELIMITED = 2
_UINT64 = (1 << 64) - 1


def varint(value: int) -> bytes:
    """Write a whole number of at most 64 bits; a negative one as its two's complement."""
    value &= _UINT64
    if value < 0x80:  # noqa: PLR2004 - seven bits go into a byte
        return bytes((value,))
    written = bytearray()
    while value >= 0x80:  # noqa: PLR2004 - the same
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


@lru_cache(1024)
def length_delimited(number: int, size: int) -> bytes:
    """Write what stands before the `size` bytes of a string, bytes or message field with a number."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(size)


def packed(number: int, values: tuple[int, ...]) -> bytes:
    """Write a repeated integer field with a number."""
    if not values:
        return b""
    written = b"".join(map(varint, values))
    return length_delimited(number, len(written)) + written
