"""The parts of a body of `multipart/form-data`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from charonia.errors import InvalidArgumentError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FormPart", "read_form"]

_MAX_PARTS = 1024


@dataclass(slots=True)
class FormPart:
    """A field or file of a form.

    Attributes:
        name: the field's name.
        filename: the file's name as its sender says, or "".
        content_type: its Content-Type as sent, or "".
        content: its bytes.
    """

    name: str = ""
    filename: str = ""
    content_type: str = ""
    content: bytes = b""


@dataclass(slots=True)
class _Reader:
    """Puts together what the parser finds; it passes pieces of the body, never text across two of them."""

    parts: list[FormPart] = field(default_factory=list)
    ended: bool = False
    _pieces: list[bytes] = field(default_factory=list)
    _header: bytes = b""
    _value: bytes = b""

    def begin(self) -> None:
        if len(self.parts) == _MAX_PARTS:
            _refuse(f"it has more than {_MAX_PARTS} parts")
        self.parts.append(FormPart())
        self._pieces = []

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        name, self._header = self._header.lower(), b""
        value, self._value = self._value, b""
        if name == b"content-type":
            self.parts[-1].content_type = value.decode("latin-1")
        elif name == b"content-disposition":
            _, told = parse_options_header(value)
            self.parts[-1].name = told.get(b"name", b"").decode("utf-8", "surrogateescape")
            self.parts[-1].filename = told.get(b"filename", b"").decode("utf-8", "surrogateescape")

    def headers_finished(self) -> None:
        if not self.parts[-1].name:
            _refuse("a part has no name: each needs 'Content-Disposition: form-data; name=…'")

    def data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def part_end(self) -> None:
        self.parts[-1].content = b"".join(self._pieces)

    def end(self) -> None:
        self.ended = True


def read_form(body: bytes, parameters: Mapping[bytes, bytes]) -> list[FormPart]:
    """Read the parts of a form in their order.

    Args:
        body: the whole body.
        parameters: those of its Content-Type, with the boundary.

    Raises:
        InvalidArgumentError: the body is no form, or breaks off.
    """
    boundary = parameters.get(b"boundary")
    if not boundary:
        _refuse("its Content-Type names no boundary")
    reader = _Reader()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reader.begin,
                "on_header_field": reader.header_name,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_end,
                "on_headers_finished": reader.headers_finished,
                "on_part_data": reader.data,
                "on_part_end": reader.part_end,
                "on_end": reader.end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidArgumentError(f"failed to read the multipart/form-data body: {error}") from error
    if not reader.ended:
        _refuse("it breaks off before its last boundary")
    return reader.parts


def _refuse(problem: str) -> NoReturn:
    raise InvalidArgumentError(f"failed to read the multipart/form-data body: {problem}")
