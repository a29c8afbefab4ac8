"""Header blocks against the package that knows HPACK, whatever the memory of earlier blocks does."""

from __future__ import annotations

import hpack
import pytest
from charonia_transport_lean.http2.frames import ConnectionFault, ErrorCode
from charonia_transport_lean.http2.header_blocks import HeaderDecoder, HeaderEncoder
from hypothesis import given
from hypothesis import strategies as st

names = st.sampled_from([":path", "a", "b", "content-type", "long-name-of-a-field"])
fields = st.lists(st.tuples(names, st.sampled_from(["", "1", "2", "x" * 900])), max_size=5).map(tuple)


@given(st.lists(st.tuples(fields, st.sampled_from([None, 0, 100, 4096]), st.booleans()), max_size=20))
def test_decoding_remembers_nothing_that_has_become_wrong(steps):
    """A client that changes the size of its table, and fields that push each other out, are understood all the same."""
    encoder, decoder = hpack.Encoder(), HeaderDecoder(lambda found: found)
    for sent, size, huffman in steps:
        if size is not None:
            encoder.header_table_size = size
        assert decoder.decode(encoder.encode(sent, huffman=huffman)) == sent


@given(st.lists(st.tuples(fields, fields, st.sampled_from([None, None, 0, 100, 4096, 60_000])), max_size=20))
def test_what_is_encoded_is_decoded(steps):
    """Whatever size of table the client wishes meanwhile."""
    encoder, decoder = HeaderEncoder(), hpack.Decoder()
    for common, varying, size in steps:
        if size is not None:
            decoder.max_allowed_table_size = size
            encoder.limit_table(size)
        block = encoder.encode(common, *varying)
        found = decoder.decode(block) if block else []
        assert tuple((name, value) for name, value in found) == common + varying


def test_blocks_that_come_again_are_small_and_read_once():
    """After the first time a field is a byte, and its meaning is that of the last time."""
    encoder = HeaderEncoder()
    answer = ((":status", "200"), ("content-type", "application/grpc"))
    assert len(encoder.encode(answer)) > len(encoder.encode(answer)) == 2
    decoder = HeaderDecoder(list)
    block = hpack.Encoder().encode([(":method", "POST")])
    assert decoder.decode(block) is decoder.decode(block)


def test_meaning_that_cannot_be_read_leaves_no_wrong_memory():
    """Where a block changes the table and then means nothing, older blocks are forgotten all the same."""
    known = hpack.Encoder()
    first = [("a", "1")]
    plain = known.encode(first), known.encode(first)

    def read(found):
        if ("b", "2") in found:
            raise ValueError("nothing")
        return found

    decoder = HeaderDecoder(read)
    assert decoder.decode(plain[0]) == decoder.decode(plain[1]) == (("a", "1"),)
    with pytest.raises(ValueError, match="nothing"):
        decoder.decode(known.encode([("b", "2")]))
    with pytest.raises(ValueError, match="nothing"):  # the first place in the table is now that of the new field
        decoder.decode(plain[1])


@given(st.binary(max_size=100))
def test_bytes_that_are_no_block_end_the_connection(block):
    """Nothing else happens, whatever comes."""
    decoder, codes = HeaderDecoder(lambda found: found), set()
    try:
        decoder.decode(block)
    except ConnectionFault as fault:
        codes.add(fault.code)
    assert codes <= {ErrorCode.COMPRESSION_ERROR, ErrorCode.ENHANCE_YOUR_CALM}


def test_bombs_are_refused():
    """A few bytes that stand for many fields are too many."""
    encoder = hpack.Encoder()
    encoder.encode([("a", "x" * 3000)])
    bomb = b"\xbe" * 1000
    decoder = HeaderDecoder(lambda found: found)
    first = hpack.Encoder().encode([("a", "x" * 3000)])
    decoder.decode(first)
    with pytest.raises(ConnectionFault) as caught:
        decoder.decode(bomb)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM
