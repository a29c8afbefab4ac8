"""The frontend's options as the transport wants them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from charonia.errors import CharoniaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.frontend import OptionValue

__all__ = ["TlsFiles", "TransportSettings", "read_settings"]

_LEVELS = ("none", "low", "medium", "high")
_MAX_INT = 2_147_483_647
_MAX_PORT = 65_535
_CHANNEL = {
    "grpc-keepalive-time": "grpc.keepalive_time_ms",
    "grpc-keepalive-timeout": "grpc.keepalive_timeout_ms",
    "grpc-keepalive-permit-without-calls": "grpc.keepalive_permit_without_calls",
    "grpc-http2-max-pings-without-data": "grpc.http2.max_pings_without_data",
    "grpc-http2-min-recv-ping-interval-without-data": "grpc.http2.min_ping_interval_without_data_ms",
    "grpc-http2-max-ping-strikes": "grpc.http2.max_ping_strikes",
    "grpc-max-connection-age": "grpc.max_connection_age_ms",
    "grpc-max-connection-age-grace": "grpc.max_connection_age_grace_ms",
    "reuse-grpc-port": "grpc.so_reuseport",
}
"""Each option that is one of gRPC's own, by its name there."""

_ZERO_IS_NO_LIMIT = frozenset({"grpc-max-connection-age", "grpc-max-connection-age-grace"})


@dataclass(frozen=True)
class TlsFiles:
    """The contents of the files that TLS needs, in PEM.

    Attributes:
        certificate: the server's certificate chain.
        key: its private key.
        roots: the certificates that vouch for clients, or None.
        mutual: whether clients must show a certificate.
    """

    certificate: bytes
    key: bytes
    roots: bytes | None
    mutual: bool


@dataclass(frozen=True)
class TransportSettings:
    """What the transport can be told.

    Attributes:
        address: where to listen.
        port: the port; 0 is a free one.
        tls: what TLS needs, or None for plain text.
        compression: how inference's answers are compressed: none, low, medium or high.
        max_message_size: the largest message of a client, in bytes.
        channel: gRPC's own arguments.
    """

    address: str
    port: int
    tls: TlsFiles | None
    compression: str
    max_message_size: int
    channel: Sequence[tuple[str, int]]


def read_settings(options: Mapping[str, OptionValue]) -> TransportSettings:
    """Read the frontend's options.

    Raises:
        CharoniaError: a value that cannot be, or a file that cannot be read; the text names the option.
    """
    level = str(options["grpc-infer-response-compression-level"]).lower()
    if level not in _LEVELS:
        raise CharoniaError(f"--grpc-infer-response-compression-level={level}: expected one of {', '.join(_LEVELS)}")
    channel = [("grpc.max_receive_message_length", _MAX_INT), ("grpc.max_send_message_length", _MAX_INT)]
    for name, argument in _CHANNEL.items():
        value = _whole_number(options, name)
        if value or name not in _ZERO_IS_NO_LIMIT:
            channel.append((argument, value))
    return TransportSettings(
        str(options["grpc-address"]),
        _whole_number(options, "grpc-port", most=_MAX_PORT),
        _tls(options),
        level,
        _whole_number(options, "grpc-max-message-size", least=1),
        tuple(channel),
    )


def _whole_number(options: Mapping[str, OptionValue], name: str, *, least: int = 0, most: int = _MAX_INT) -> int:
    value = int(options[name])
    if not least <= value <= most:
        raise CharoniaError(f"--{name}={value}: expected a whole number from {least} to {most}")
    return value


def _tls(options: Mapping[str, OptionValue]) -> TlsFiles | None:
    mutual = bool(options["grpc-use-ssl-mutual"])
    if not mutual and not options["grpc-use-ssl"]:
        return None
    asked_by = "--grpc-use-ssl-mutual" if mutual else "--grpc-use-ssl"
    certificate = _file(options, "grpc-server-cert", asked_by)
    key = _file(options, "grpc-server-key", asked_by)
    roots = _file(options, "grpc-root-cert", asked_by) if mutual or options["grpc-root-cert"] else None
    _check_pair(str(options["grpc-server-cert"]), str(options["grpc-server-key"]))
    if roots is not None:
        _check_roots(str(options["grpc-root-cert"]))
    return TlsFiles(certificate, key, roots, mutual)


def _check_pair(certificate: str, key: str) -> None:
    """Find out now what gRPC would not tell: whether the files hold a certificate and its key."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise CharoniaError(
            f"--grpc-server-cert={certificate} and --grpc-server-key={key} are no certificate chain with its unencrypted key, "
            f"in PEM: {error}"
        ) from error


def _check_roots(path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise CharoniaError(f"--grpc-root-cert={path} has no certificates in PEM: {error}") from error


def _file(options: Mapping[str, OptionValue], name: str, asked_by: str) -> bytes:
    path = str(options[name])
    if not path:
        raise CharoniaError(f"{asked_by} needs --{name}: the path of a file in PEM")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CharoniaError(f"--{name}={path} cannot be read: {error.strerror}") from error
