"""A JSON parser that reads what the reference reads and complains as it complains.

orjson is the quick way and reads nearly every request. What it refuses comes here, and is either one of the reference's
liberties (the literals NaN, Inf and Infinity, bytes that are no UTF-8, a byte order mark in front, a NUL that ends the
document) or an error with the reference's wording and byte offset.

Two differences remain, both at the edge of what a double holds: the reference refuses a zero with an exponent over 308
(0e999), and takes a number just over the largest double (1.8e308) as infinite.
"""

from __future__ import annotations

import codecs
import math
import re

from charonia.errors import InvalidArgumentError

from charonia_frontend_http.nesting import MAX_DEPTH, too_deep

__all__ = ["parse_json"]

_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_SPACE = b" \t\r\n"
_ESCAPES = {
    ord('"'): b'"',
    ord("\\"): b"\\",
    ord("/"): b"/",
    ord("b"): b"\b",
    ord("f"): b"\f",
    ord("n"): b"\n",
    ord("r"): b"\r",
    ord("t"): b"\t",
}
_PLAIN_RUN = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_HIGH_SURROGATES = range(0xD800, 0xDC00)
_LOW_SURROGATES = range(0xDC00, 0xE000)


def parse_json(document: bytes | memoryview) -> object:
    """Parse a document. Strings that are no UTF-8 have surrogate escapes; the first of equal keys wins.

    Raises:
        InvalidArgumentError: the document is no JSON, in the reference's words.
    """
    return _Parser(bytes(document).partition(b"\0")[0]).document()


class _Parser:
    """One document, read from front to end. `_at` is the offset of the next byte; a NUL stands for the end."""

    def __init__(self, text: bytes) -> None:
        self._text = text + b"\0"
        self._at = 0
        self._depth = 0

    def document(self) -> object:
        if self._text.startswith(codecs.BOM_UTF8):
            self._at = len(codecs.BOM_UTF8)
        self._skip_space()
        if self._peek() == 0:
            raise self._error("The document is empty.")
        value = self._value()
        self._skip_space()
        if self._peek() != 0:
            raise self._error("The document root must not be followed by other values.")
        return value

    def _peek(self) -> int:
        return self._text[self._at]

    def _skip_space(self) -> None:
        while self._peek() in _SPACE:
            self._at += 1

    def _error(self, reason: str, at: int | None = None) -> InvalidArgumentError:
        offset = self._at if at is None else at
        return InvalidArgumentError(f"failed to parse the request JSON buffer: {reason} at {offset}")

    def _take(self, byte: int) -> bool:
        if self._peek() != byte:
            return False
        self._at += 1
        return True

    def _value(self) -> object:
        byte = self._peek()
        if byte == ord('"'):
            return self._string()
        if byte in b"{[":
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise too_deep()
            value = self._object() if byte == ord("{") else self._array()
            self._depth -= 1
            return value
        if byte == ord("n"):
            return self._literal(b"null", None)
        if byte == ord("t"):
            return self._literal(b"true", value=True)
        if byte == ord("f"):
            return self._literal(b"false", value=False)
        return self._number()

    def _literal(self, word: bytes, value: object) -> object:
        for byte in word:
            if not self._take(byte):
                raise self._error("Invalid value.")
        return value

    def _object(self) -> dict[str, object]:
        self._at += 1
        members: dict[str, object] = {}
        self._skip_space()
        if self._take(ord("}")):
            return members
        while True:
            if self._peek() != ord('"'):
                raise self._error("Missing a name for object member.")
            name = self._string()
            self._skip_space()
            if not self._take(ord(":")):
                raise self._error("Missing a colon after a name of object member.")
            self._skip_space()
            members.setdefault(name, self._value())
            self._skip_space()
            if self._take(ord("}")):
                return members
            if not self._take(ord(",")):
                raise self._error("Missing a comma or '}' after an object member.")
            self._skip_space()

    def _array(self) -> list[object]:
        self._at += 1
        elements: list[object] = []
        self._skip_space()
        if self._take(ord("]")):
            return elements
        while True:
            elements.append(self._value())
            self._skip_space()
            if self._take(ord("]")):
                return elements
            if not self._take(ord(",")):
                raise self._error("Missing a comma or ']' after an array element.")
            self._skip_space()

    def _string(self) -> str:
        self._at += 1
        parts: list[bytes] = []
        while True:
            run = _PLAIN_RUN.match(self._text, self._at)
            assert run is not None  # noqa: S101 - the pattern matches the empty run
            parts.append(run.group())
            self._at = run.end()
            if self._take(ord('"')):
                return b"".join(parts).decode("utf-8", "surrogateescape")
            if self._peek() == ord("\\"):
                parts.append(self._escape())
            elif self._peek() == 0:
                raise self._error("Missing a closing quotation mark in string.")
            else:  # a control character
                raise self._error("Invalid escape character in string.")

    def _escape(self) -> bytes:
        start = self._at
        self._at += 1
        byte = self._peek()
        if byte in _ESCAPES:
            self._at += 1
            return _ESCAPES[byte]
        if byte != ord("u"):
            raise self._error("Invalid escape character in string.", start)
        self._at += 1
        code = self._hex(start)
        if code in _HIGH_SURROGATES:
            if not (self._take(ord("\\")) and self._take(ord("u"))):
                raise self._error("The surrogate pair in string is invalid.", start)
            low = self._hex(start)
            if low not in _LOW_SURROGATES:
                raise self._error("The surrogate pair in string is invalid.", start)
            code = 0x10000 + ((code - _HIGH_SURROGATES.start) << 10) + (low - _LOW_SURROGATES.start)
        # a low surrogate by itself passes, as in the reference; its bytes are no UTF-8
        return chr(code).encode("utf-8", "surrogatepass")

    def _hex(self, start: int) -> int:
        digits = _HEX.match(self._text, self._at)
        if digits is None:
            raise self._error("Incorrect hex digit after \\u escape in string.", start)
        self._at = digits.end()
        return int(digits.group(), 16)

    def _number(self) -> int | float:
        start = self._at
        whole = _INTEGER.match(self._text, start)
        if whole is None:
            return self._named_number()
        self._at = whole.end()
        fraction = self._take(ord("."))
        if fraction:
            self._digits("Miss fraction part in number.")
        exponent = self._take(ord("e")) or self._take(ord("E"))
        if exponent:
            if not self._take(ord("+")):
                self._take(ord("-"))
            self._digits("Miss exponent in number.")
        text = self._text[start : self._at]
        if not fraction and not exponent and len(text) <= 20:  # noqa: PLR2004 - 64 bits have at most 20 characters
            integer = int(text)
            if -(2**63) <= integer < 2**64:
                return integer
        number = float(text)
        if math.isinf(number):
            raise self._error("Number too big to be stored in double.", start)
        return number

    def _digits(self, lack: str) -> None:
        if self._peek() not in b"0123456789":
            raise self._error(lack)
        while self._peek() in b"0123456789":
            self._at += 1

    def _named_number(self) -> float:
        sign = -1.0 if self._take(ord("-")) else 1.0
        if self._take(ord("N")):
            self._literal(b"aN", None)
            return math.nan
        if self._take(ord("I")):
            self._literal(b"nf", None)
            if self._peek() == ord("i"):
                self._literal(b"inity", None)
            return sign * math.inf
        raise self._error("Invalid value.")
