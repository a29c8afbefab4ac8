"""Bodies of `multipart/form-data`: what clients send is read, and what is broken is the client's mistake."""

from __future__ import annotations

import contextlib

import pytest
from charonia.errors import InvalidArgumentError
from charonia_frontend_http.form_data import FormPart, read_form
from hypothesis import given
from hypothesis import strategies as st

HEAD = b'--b\r\nContent-Disposition: form-data; name="X"'


def read(body, boundary=b"b"):
    """Read a body whose boundary is `b`."""
    return read_form(body, {b"boundary": boundary})


def test_fields_and_files_are_parts():
    """A part has its name, its file's name, its type and its bytes, line ends and NULs included."""
    body = (
        HEAD + b"\r\n\r\nhello\r\n"
        b'--b\r\ncontent-disposition: form-data; name="Y"; filename="a b.npy"\r\nContent-Type: image/png\r\n\r\n'
        b"\x00\r\n--c\r\n\n\r\n--b--\r\n"
    )
    assert read(body) == [FormPart("X", "", "", b"hello"), FormPart("Y", "a b.npy", "image/png", b"\x00\r\n--c\r\n\n")]


def test_a_form_may_be_empty():
    """A form without parts is one."""
    assert read(b"--b--\r\n") == []


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_any_content_passes_unchanged(contents):
    """What a part holds does not matter, unless it is the boundary itself."""
    boundary = b"a-boundary-that-nobody-draws"
    head = b"--" + boundary + b'\r\nContent-Disposition: form-data; name="X"\r\n\r\n'
    body = b"\r\n".join(head + content for content in contents) + b"\r\n--" + boundary + b"--\r\n"
    assert [part.content for part in read(body, boundary)] == contents


@pytest.mark.parametrize(
    ("body", "boundary", "text"),
    [
        (b"", b"", "names no boundary"),
        (b"", b"b" * 300, "oundary length"),
        (b"", b"b", "breaks off"),
        (b"no form", b"b", "failed to read"),
        (HEAD + b"\r\n\r\nhel", b"b", "breaks off"),
        (HEAD + b"\r\n\r\nhello\r\n--b\r\n", b"b", "breaks off"),
        (b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n", b"b", "a part has no name"),
        (HEAD + b"\r\nA: " + b"x" * 5000 + b"\r\n\r\n\r\n--b--\r\n", b"b", "failed to read"),
        ((HEAD + b"\r\n\r\n\r\n") * 1025 + b"--b--\r\n", b"b", "more than 1024 parts"),
    ],
)
def test_broken_forms_are_refused(body, boundary, text):
    """A body that is no form, breaks off or has too much of something says what is wrong."""
    with pytest.raises(InvalidArgumentError, match=text):
        read(body, boundary)


@given(st.binary(max_size=200), st.sampled_from([b"", b"--b\r\n", HEAD + b"\r\n", HEAD + b"\r\n\r\n"]))
def test_any_bytes_are_a_form_or_refused(content, start):
    """No body raises anything else."""
    with contextlib.suppress(InvalidArgumentError):
        read(start + content)
