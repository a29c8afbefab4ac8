"""The strict parser: JSON as everyone reads it, the reference's liberties, and the reference's words for what is wrong."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
from charonia.errors import InvalidArgumentError
from charonia_frontend_http.json_access import load_json
from charonia_frontend_http.json_parser import parse_json
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_reads_what_json_writes(value, indent, ascii_only):
    """Any value comes back as Python's own writer wrote it, spaces and escapes included."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert parse_json(text.encode("utf-8", "surrogatepass")) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(document):
    """No input makes it raise anything but the error for malformed documents."""
    with contextlib.suppress(InvalidArgumentError):
        load_json(document)


@pytest.mark.parametrize(
    ("document", "reason", "offset"),
    [
        (b"", "The document is empty.", 0),
        (b"   ", "The document is empty.", 3),
        (b"{", "Missing a name for object member.", 1),
        (b'{"a":1,}', "Missing a name for object member.", 7),
        (b'{"a"', "Missing a colon after a name of object member.", 4),
        (b'{"a":1', "Missing a comma or '}' after an object member.", 6),
        (b"[1", "Missing a comma or ']' after an array element.", 2),
        (b"not json", "Invalid value.", 1),
        (b"[", "Invalid value.", 1),
        (b"[1,]", "Invalid value.", 3),
        (b"tru", "Invalid value.", 3),  # codespell:ignore tru
        (b'{"a":"x', "Missing a closing quotation mark in string.", 7),
        (rb'"\q"', "Invalid escape character in string.", 1),
        (b'"a\nb"', "Invalid escape character in string.", 2),
        (rb'"\ud800\u0041"', "The surrogate pair in string is invalid.", 1),
        (b"\xef\xbb\xbf{", "Missing a name for object member.", 4),
        (b" \xef\xbb\xbf{}", "Invalid value.", 1),
        (b"[Infi]", "Invalid value.", 5),
        (b"-", "Invalid value.", 1),
        (b"01", "The document root must not be followed by other values.", 1),
        (b'{"a":1]', "Missing a comma or '}' after an object member.", 6),
        (rb'"\u12G4"', "Incorrect hex digit after \\u escape in string.", 1),
        (rb'"\ud800"', "The surrogate pair in string is invalid.", 1),
        (b"1.", "Miss fraction part in number.", 2),
        (b"1e", "Miss exponent in number.", 2),
        (b"1e999", "Number too big to be stored in double.", 0),
        (b"{}x", "The document root must not be followed by other values.", 2),
    ],
)
def test_mistakes_are_told_as_the_reference_tells_them(document, reason, offset):
    """Each mistake has the recorded reason and byte offset."""
    with pytest.raises(InvalidArgumentError) as caught:
        load_json(document)
    assert str(caught.value) == f"failed to parse the request JSON buffer: {reason} at {offset}"


@pytest.mark.parametrize(
    ("document", "value"),
    [(b"[Infinity]", math.inf), (b"[-Infinity]", -math.inf), (b"[Inf]", math.inf), (b"[-Inf]", -math.inf)],
)
def test_infinities_are_words(document, value):
    """The words for infinite numbers are read."""
    assert load_json(document) == [value]


def test_nan_is_a_word():
    """So is the one for no number."""
    assert math.isnan(load_json(b"[NaN]")[0])


def test_nul_ends_the_document():
    """What follows a NUL byte is not looked at."""
    assert load_json(b'{"a":1}\0garbage') == {"a": 1}


def test_bytes_that_are_no_utf8_pass_through():
    """A string keeps bytes that are no text, so that they can be told again."""
    (text,) = load_json(b'["a\xffb"]')
    assert text.encode("utf-8", "surrogateescape") == b"a\xffb"


def test_byte_order_mark_is_overlooked():
    """A document may start with the mark that some editors write."""
    assert load_json(b"\xef\xbb\xbf[1]") == [1]


def test_low_surrogate_by_itself_passes_through():
    """As in the reference, half a pair is kept where it is the second half."""
    (text,) = load_json(rb'["\udc00"]')
    assert text.encode("utf-8", "surrogateescape") == b"\xed\xb0\x80"


def test_first_of_equal_keys_wins_in_the_strict_parser():
    """As in the reference; the quick parser, which reads what is plain, keeps the last one."""
    assert load_json(b'{"a":1,"a":NaN}') == {"a": 1}
    assert load_json(b'{"a":1,"a":2}') == {"a": 2}


def test_nesting_is_limited():
    """A document that is nested too deep is refused before it costs anything."""
    assert parse_json(b"[" * 100 + b"]" * 100)
    with pytest.raises(InvalidArgumentError, match=r"JSON nesting depth exceeds maximum allowed limit \(100\)"):
        load_json(b"[" * 5000 + b"]" * 5000)


@pytest.mark.parametrize(("text", "kind"), [("18446744073709551615", int), ("18446744073709551616", float)])
def test_integers_end_at_64_bits(text, kind):
    """An integer that 64 bits do not hold is a double."""
    assert type(parse_json(text.encode())) is kind


LARGE = b"1.5," * 5_000


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"[%b x]" % LARGE, "Expecting value at 20002"),
        (b"[%b 1" % LARGE, "Expecting ',' delimiter at 20003"),
        (b"[%b" % LARGE + b"[" * 100_000, "it is nested too deep"),
        (b"[%b %b]" % (LARGE, b"1" * 5_000), "Exceeds the limit"),
        (b"[%b NaN] x" % LARGE, "Extra data at 20007"),
    ],
    ids=["value", "end", "depth", "digits", "rest"],
)
def test_mistakes_of_large_documents_are_told_soon(document, reason):
    """A large document that is wrong somewhere is not read byte by byte; where the mistake is, is told all the same."""
    with pytest.raises(InvalidArgumentError, match=f"failed to parse the request JSON buffer: {reason}"):
        load_json(document)


def test_large_documents_may_hold_what_is_no_number():
    """The words for what is no finite number are read in large documents, too, and bytes that are no UTF-8 pass through."""
    *numbers, nan, infinity, text = load_json(b'[%b NaN, -Infinity, "\xff"]' % LARGE)
    assert numbers == [1.5] * 5_000
    assert math.isnan(nan)
    assert infinity == -math.inf
    assert text.encode("utf-8", "surrogateescape") == b"\xff"
