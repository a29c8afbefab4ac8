"""The strict parser: JSON as everyone reads it, the reference's liberties, and the reference's words for what is wrong."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
from charonia.errors import InvalidArgumentError
from charonia_frontend_http.equal_keys import may_have_equal_keys
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


@pytest.mark.parametrize("rest", [b"NaN", b"2", b"[%b NaN]" % (b"1.5," * 5_000)], ids=["strict", "quick", "large"])
@pytest.mark.parametrize(
    "document",
    [b'{"a":1,"a":%b}', b'{"a" : 1, "b" : ":", "a"\r\n\t:%b}', b'{"a":1,"\\u0061":%b}', b'{"a":1,"c":[0,{}],"a":%b}'],
    ids=["plain", "spaces", "escaped", "among others"],
)
def test_first_of_equal_keys_wins(document, rest):
    """As in the reference, whichever way the document is read."""
    assert load_json(document % rest)["a"] == 1


@given(VALUES)
def test_whatever_has_no_equal_keys_is_read_as_it_is(value):
    """Text that looks like keys is none, and costs no second reading."""
    told = {"value": value, 'a\\":': 'b\\\\" :'}
    document = json.dumps(told).encode()
    assert load_json(document) == told
    assert not may_have_equal_keys(json.dumps({"a\\": '{"b":1, "b":2}'}).encode(), {"a\\": ""})


@pytest.mark.parametrize("document", [b'{"b":[{"a":1,"a":2}]}', b'{"b":{"a":1,"a":2}}', b'[0,{"a":1,"a":2}]'])
def test_first_of_equal_keys_wins_at_any_depth(document):
    """Objects inside of others follow the same rule."""
    assert b'"a": 1' in json.dumps(load_json(document)).encode()


@pytest.mark.parametrize("space", [b"", b" " * 400], ids=["small", "large"])
@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"a":', b"}"), (b'{"a":', b',"a":1}'), (b"[NaN,", b"]")])
@pytest.mark.parametrize("levels", [100, 101, 500, 5_000, 100_000])
def test_nesting_is_limited(begin, end, space, levels):
    """To the same depth whichever parser reads a document: with equal keys, with what is no number, and large ones."""
    document = (begin + space) * levels + b"0" + end * levels
    if levels == 100:
        assert load_json(document)
    else:
        with pytest.raises(InvalidArgumentError, match=r"JSON nesting depth exceeds maximum allowed limit \(100\)"):
            load_json(document)


def test_many_arrays_beside_each_other_are_not_deep():
    """Only what is within each other counts."""
    assert load_json(b"[%b[0]]" % (b"[[0]]," * 1_000))


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
        (b"[%b %b]" % (LARGE, b"1" * 5_000), "Exceeds the limit"),
        (b"[%b NaN] x" % LARGE, "Extra data at 20007"),
    ],
    ids=["value", "end", "digits", "rest"],
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
