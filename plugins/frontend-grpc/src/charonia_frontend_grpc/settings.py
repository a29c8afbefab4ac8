"""The frontend's options as the transport wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import CharoniaError
from charonia.frontend_offer import read_whole_number
from charonia.transport import KeepAlive, RpcSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.frontend_offer import OptionValue

__all__ = ["read_settings"]

_LEVELS = ("none", "low", "medium", "high")


def read_settings(options: Mapping[str, OptionValue]) -> RpcSettings:
    """Read the frontend's options.

    Raises:
        CharoniaError: a value that cannot be; the text names the option.
    """
    level = str(options["grpc-infer-response-compression-level"]).lower()
    if level not in _LEVELS:
        raise CharoniaError(f"--grpc-infer-response-compression-level={level}: expected one of {', '.join(_LEVELS)}")
    keep_alive = KeepAlive(
        time_ms=read_whole_number(options, "grpc-keepalive-time"),
        timeout_ms=read_whole_number(options, "grpc-keepalive-timeout"),
        without_calls=bool(options["grpc-keepalive-permit-without-calls"]),
        max_pings_without_data=read_whole_number(options, "grpc-http2-max-pings-without-data"),
        min_ping_interval_ms=read_whole_number(options, "grpc-http2-min-recv-ping-interval-without-data"),
        max_ping_strikes=read_whole_number(options, "grpc-http2-max-ping-strikes"),
        max_age_ms=read_whole_number(options, "grpc-max-connection-age"),
        max_age_grace_ms=read_whole_number(options, "grpc-max-connection-age-grace"),
    )
    return RpcSettings(level, read_whole_number(options, "grpc-max-message-size", least=1), keep_alive)
