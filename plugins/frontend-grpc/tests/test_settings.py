"""The options as the transport gets them, and what is said about values that cannot be."""

from __future__ import annotations

import pytest
from charonia.errors import CharoniaError
from charonia_frontend_grpc import OPTIONS
from charonia_frontend_grpc.grpcio_transport import channel_arguments
from charonia_frontend_grpc.settings import read_settings


def options(**changed):
    """Give the defaults, but for what is changed."""
    return {option.name: option.default for option in OPTIONS} | {
        name.replace("_", "-"): value for name, value in changed.items()
    }


def test_defaults_are_the_references():
    """Without options gRPC gets the reference's values, connections grow as old as they like, and no port is shared."""
    channel = dict(channel_arguments(read_settings(options()).keep_alive, reuse_port=False))
    assert channel == {
        "grpc.max_receive_message_length": 2147483647,
        "grpc.max_send_message_length": 2147483647,
        "grpc.keepalive_time_ms": 7200000,
        "grpc.keepalive_timeout_ms": 20000,
        "grpc.keepalive_permit_without_calls": 0,
        "grpc.http2.max_pings_without_data": 2,
        "grpc.http2.min_ping_interval_without_data_ms": 300000,
        "grpc.http2.max_ping_strikes": 2,
        "grpc.so_reuseport": 0,
    }


def test_every_channel_option_is_passed_on():
    """What is set reaches gRPC under gRPC's own name."""
    changed = options(grpc_keepalive_time=1, grpc_keepalive_permit_without_calls=True, grpc_max_connection_age=2)
    changed |= {"grpc-max-connection-age-grace": 3, "grpc-http2-max-ping-strikes": 4}
    channel = dict(channel_arguments(read_settings(changed).keep_alive, reuse_port=True))
    assert channel["grpc.keepalive_time_ms"] == 1
    assert channel["grpc.keepalive_permit_without_calls"] == 1
    assert channel["grpc.max_connection_age_ms"] == 2
    assert channel["grpc.max_connection_age_grace_ms"] == 3
    assert channel["grpc.http2.max_ping_strikes"] == 4
    assert channel["grpc.so_reuseport"] == 1


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"grpc_infer_response_compression_level": "huge"},
            "--grpc-infer-response-compression-level=huge: expected one of none, low, medium, high",
        ),
        ({"grpc_keepalive_time": -1}, "--grpc-keepalive-time=-1: expected a whole number from 0 to 2147483647"),
        ({"grpc_max_message_size": 0}, "--grpc-max-message-size=0: expected a whole number from 1 to 2147483647"),
    ],
)
def test_values_that_cannot_be_are_told(changed, text):
    """The error names the option, what was found and what was expected."""
    with pytest.raises(CharoniaError) as caught:
        read_settings(options(**changed))
    assert str(caught.value) == text


def test_levels_of_compression_may_be_in_capitals():
    """As in the reference, the word's case does not matter."""
    assert read_settings(options(grpc_infer_response_compression_level="HIGH")).compression == "high"
