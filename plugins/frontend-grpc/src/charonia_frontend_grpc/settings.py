"""The frontend's options as the transport wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import CharoniaError
from charonia.transport import KeepAlive, RpcSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.frontend_offer import OptionValue

__all__ = ["read_port", "read_settings"]

_LEVELS = ("none", "low", "medium", "high")
_MAX_INT = 2_147_483_647
_MAX_PORT = 65_535


def read_settings(options: Mapping[str, OptionValue]) -> RpcSettings:
    """Read the frontend's options.

    Raises:
        CharoniaError: a value that cannot be; the text names the option.
    """
    level = str(options["grpc-infer-response-compression-level"]).lower()
    if level not in _LEVELS:
        raise CharoniaError(f"--grpc-infer-response-compression-level={level}: expected one of {', '.join(_LEVELS)}")
    keep_alive = KeepAlive(
        time_ms=_whole_number(options, "grpc-keepalive-time"),
        timeout_ms=_whole_number(options, "grpc-keepalive-timeout"),
        without_calls=bool(options["grpc-keepalive-permit-without-calls"]),
        max_pings_without_data=_whole_number(options, "grpc-http2-max-pings-without-data"),
        min_ping_interval_ms=_whole_number(options, "grpc-http2-min-recv-ping-interval-without-data"),
        max_ping_strikes=_whole_number(options, "grpc-http2-max-ping-strikes"),
        max_age_ms=_whole_number(options, "grpc-max-connection-age"),
        max_age_grace_ms=_whole_number(options, "grpc-max-connection-age-grace"),
    )
    return RpcSettings(level, _whole_number(options, "grpc-max-message-size", least=1), keep_alive)


def read_port(options: Mapping[str, OptionValue]) -> int:
    """Read the port.

    Raises:
        CharoniaError: there is no such port.
    """
    return _whole_number(options, "grpc-port", most=_MAX_PORT)


def _whole_number(options: Mapping[str, OptionValue], name: str, *, least: int = 0, most: int = _MAX_INT) -> int:
    value = int(options[name])
    if not least <= value <= most:
        raise CharoniaError(f"--{name}={value}: expected a whole number from {least} to {most}")
    return value
