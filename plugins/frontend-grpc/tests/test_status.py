"""The table of codes, and texts that a status can carry."""

from __future__ import annotations

from urllib.parse import quote

import grpc
from charonia.errors import CancelledError, ErrorCode, InvalidArgumentError
from charonia.rpc import RpcCode
from charonia_frontend_grpc.status import STATUS, error_text, status_details
from hypothesis import given
from hypothesis import strategies as st


def test_every_code_has_its_status():
    """The table is complete, and only INTERNAL is INTERNAL."""
    assert set(STATUS) == set(ErrorCode)
    assert {code for code, status in STATUS.items() if status is RpcCode.INTERNAL} == {ErrorCode.INTERNAL}


def test_the_codes_are_those_of_grpc():
    """Names and numbers are grpcio's."""
    assert {(code.name, code.value) for code in RpcCode} == {(code.name, code.value[0]) for code in grpc.StatusCode}


def test_no_text_is_empty():
    """An error without words tells its code, since clients take an empty text for success."""
    assert error_text(CancelledError("")) == "Cancelled"


@given(st.text(max_size=3000) | st.integers(1, 9000).map("é".__mul__))
def test_details_fit_into_a_header(text):
    """Whatever the text is, it is whole or cut, and takes at most 5003 bytes on the wire."""
    error = InvalidArgumentError(text or "x")
    details = status_details(error)
    assert len(quote(details.encode("utf-8", "replace"), safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")) <= 5003
    assert details == str(error) or str(error).startswith(details.removesuffix("..."))


def test_what_is_no_unicode_is_replaced():
    """A name of a file that is no text cannot keep an error from being told."""
    assert status_details(InvalidArgumentError("no \udcff here")) == "no ? here"
