"""Parts of the protocol that ask for a key in the call's metadata."""

from __future__ import annotations

import grpc
import pytest
from charonia.errors import CharoniaError, UnavailableError
from charonia.restricted_access import CATEGORIES, Restriction
from charonia_frontend_grpc.application import SERVICE
from charonia_frontend_grpc.restricted_protocol import CATEGORY, HEALTH_CHECK, RestrictedProtocol
from charonia_protos import grpc_service_pb2 as pb

KEY = "triton-grpc-protocol-a-key"
TEXT = f"This protocol is restricted, expecting header '{KEY}'"


@pytest.fixture
def restricted():
    """Give what knows that statistics ask for a key, which the operator wrote in capitals."""
    return RestrictedProtocol({"statistics": Restriction("A-Key", "s=2")})


def test_every_call_has_its_category():
    """No call is left out of what can be restricted, and each category is one of the protocol's."""
    assert set(CATEGORY) == {method.name for method in SERVICE.methods} | {HEALTH_CHECK}
    assert set(CATEGORY.values()) == set(CATEGORIES)


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        [("a-key", "s=2")],
        [(KEY, "S=2")],
        [(KEY, "")],
        [(KEY, b"\xff")],
        [(KEY, "no"), (KEY, "s=2")],
        [(KEY, "s=2"), (KEY, "no")],
    ],
)
def test_who_does_not_know_the_key_is_refused(restricted, fields):
    """Without the field, without its prefix, with another value or with several, the call is refused."""
    with pytest.raises(UnavailableError) as caught:
        restricted.check("ModelStatistics", lambda: fields)
    assert str(caught.value) == TEXT


def test_the_key_opens(restricted):
    """The value is compared to the letter, and other fields do not matter."""
    restricted.check("ModelStatistics", lambda: [("x", "y"), (KEY, "s=2")])


def test_the_rest_reads_no_metadata(restricted):
    """A call that asks for nothing does not even look."""
    restricted.check("ModelInfer", lambda: pytest.fail("the metadata was read"))


@pytest.fixture
def told(serve, calls):
    """Restrict health and inference, ask with metadata, and give (status, details), or the answer."""
    with grpc.insecure_channel(serve(grpc_restricted_protocol="health,inference:a-key=v\ntrace:t=u")) as channel:

        def ask(call, *metadata):
            try:
                return call(channel, metadata)
            except grpc.RpcError as error:
                return error.code().name, error.details()

        yield ask


ASK = {
    "unary": lambda calls, message: lambda channel, metadata: calls(channel, "ModelInfer")(message, metadata=metadata),
    "stream": lambda calls, message: (
        lambda channel, metadata: (
            next(calls(channel, "ModelStreamInfer")(iter([message]), metadata=metadata)).infer_response
        )
    ),
}


@pytest.mark.parametrize("kind", ASK)
def test_inference_is_restricted_on_both_ways(told, calls, infer_request, rows_of, kind):
    """A call ends at once with the status, and a stream, too; with the key both are answered."""
    ask = ASK[kind](calls, infer_request())
    assert told(ask) == ("UNAVAILABLE", TEXT)
    assert rows_of(told(ask, (KEY, "v"))) == [[1.0, 2.0]]


def test_health_is_restricted_in_both_services(told, calls):
    """The general health service belongs to health; what is in no group, or in another, is open or has its own key."""

    def check(channel, metadata):
        return channel.unary_unary("/grpc.health.v1.Health/Check")(b"", metadata=metadata)

    assert told(check) == ("UNAVAILABLE", TEXT)
    assert told(check, (KEY, "v")) == b"\x08\x01"

    def live(channel, metadata):
        return calls(channel, "ServerLive")(pb.ServerLiveRequest(), metadata=metadata)

    assert told(live) == ("UNAVAILABLE", TEXT)
    assert told(live, (KEY, "v")).live
    assert told(lambda channel, _: calls(channel, "ServerMetadata")(pb.ServerMetadataRequest())).name
    trace = told(lambda channel, _: calls(channel, "TraceSetting")(pb.TraceSettingRequest()), (KEY, "v"))
    assert trace[1].endswith("'triton-grpc-protocol-t'")


@pytest.mark.parametrize(
    "options",
    [{"grpc_restricted_protocol": "models:k=v"}, {"grpc_header_forward_pattern": "("}],
    ids=lambda item: next(iter(item)),
)
def test_wrong_options_stop_the_start(serve, options):
    """A frontend whose options cannot be is not made, so that nothing is open by mistake."""
    with pytest.raises(CharoniaError, match="--grpc-"):
        serve(**options)
