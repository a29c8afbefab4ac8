"""Values of single fields: numbers with their ranges, words, strings, enum values."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from charonia.config.syntax import Form, Scalar
from charonia.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["ValueProblem", "scalar_value"]

_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_ROUNDED_TO_INFINITY = float.fromhex("0x1.ffffffp+127")
"""From here on, a number of double precision has no nearest one of single precision."""
_TRUE = {Form.PBTXT: {"true", "True", "t", "1"}, Form.YAML: {"true", "yes", "on"}, Form.JSON: {"true"}}
_FALSE = {Form.PBTXT: {"false", "False", "f", "0"}, Form.YAML: {"false", "no", "off"}, Form.JSON: {"false"}}
_SPECIAL_FLOATS = re.compile(r"-?\.?(inf|infinity|nan)", re.IGNORECASE)
_WIRE_NAMES = {"BYTES": "TYPE_STRING"}


class ValueProblem(Exception):  # noqa: N818 - it carries a problem, and never leaves the package
    """A value does not suit its field.

    Attributes:
        expected: what the field takes.
        hint: what to do.
        text: what is wrong, where there is more to say than that the value is.
    """

    def __init__(self, expected: str, hint: str = "", text: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint
        self.text = text


def scalar_value(field: FieldDescriptor, scalar: Scalar, form: Form) -> Any:
    """Read the value of a field that is neither a message nor a map.

    Raises:
        ValueProblem: the value is none for this field.
    """
    if scalar.null:
        raise ValueProblem("a value")
    read = _READERS[field.cpp_type]
    return read(field, scalar, form)


def _whole_number(field: FieldDescriptor, scalar: Scalar, form: Form) -> int:
    least, most = _RANGES[field.cpp_type]
    number = None if scalar.quoted and form is Form.PBTXT else _integer(scalar.text, form)
    if number is None or not least <= number <= most:
        raise ValueProblem("a whole number" if number is None else f"a whole number from {least} to {most}")
    return number


def _integer(text: str, form: Form) -> int | None:
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,30})", text):
        return int(text)
    if form is Form.PBTXT:
        if re.fullmatch(r"-?0[xX][0-9a-fA-F]{1,30}", text):
            return int(text, 16)
        return int(text, 8) if re.fullmatch(r"-?0[0-7]{1,30}", text) else None
    number = _float(text)  # JSON and YAML know one kind of number: 1e3 and 8.0 are whole
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**53 else None


def _number(field: FieldDescriptor, scalar: Scalar, form: Form) -> float:
    text = scalar.text
    if form is Form.PBTXT:
        text = text[:-1] if re.fullmatch(r"-?[0-9.]+([eE][-+]?[0-9]+)?[fF]", text) else text
    number = None if scalar.quoted and form is Form.PBTXT else _float(text)
    if number is None:
        raise ValueProblem("a number")
    single = field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT
    if single and math.isfinite(number) and abs(number) >= _ROUNDED_TO_INFINITY:
        return math.copysign(math.inf, number)  # as protobuf does
    return number


def _float(text: str) -> float | None:
    if _SPECIAL_FLOATS.fullmatch(text):
        return float(text.replace(".", ""))
    if re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text):
        return float(text)
    return None


def _truth(_field: FieldDescriptor, scalar: Scalar, form: Form) -> bool:
    text = scalar.text.lower() if form is Form.YAML else scalar.text
    if not scalar.quoted and text in _TRUE[form]:
        return True
    if not scalar.quoted and text in _FALSE[form]:
        return False
    raise ValueProblem("true or false")


def _string(_field: FieldDescriptor, scalar: Scalar, form: Form) -> str:
    if scalar.quoted or form is Form.YAML:
        return scalar.text
    raise ValueProblem("a string in quotes")


def _enum_value(field: FieldDescriptor, scalar: Scalar, form: Form) -> int:
    enum = field.enum_type
    if enum is None:
        raise TypeError(f"{field.full_name} is no enum")
    by_name = {value.name: value.number for value in enum.values}
    name = scalar.text.upper() if form is Form.JSON else scalar.text
    if name in by_name and not (scalar.quoted and form is Form.PBTXT):
        return by_name[name]
    number = None if scalar.quoted else _integer(scalar.text, form)
    if number in by_name.values() and number is not None:
        return number
    text = f'Unknown enumeration value of "{scalar.text}" for field "{field.name}".'
    if name in by_name:
        raise ValueProblem("the name of the value without quotes", f"write {name}", text)
    meant = _WIRE_NAMES.get(name.upper(), "")
    meant = meant if meant in by_name else nearest(name, by_name)
    raise ValueProblem(
        "" if meant else f"one of {', '.join(by_name)}", f'did you mean "{meant}"?' if meant else "", text
    )


_READERS: dict[int, Callable[[FieldDescriptor, Scalar, Form], Any]] = {
    **dict.fromkeys(_RANGES, _whole_number),
    FieldDescriptor.CPPTYPE_FLOAT: _number,
    FieldDescriptor.CPPTYPE_DOUBLE: _number,
    FieldDescriptor.CPPTYPE_BOOL: _truth,
    FieldDescriptor.CPPTYPE_STRING: _string,
    FieldDescriptor.CPPTYPE_ENUM: _enum_value,
}
