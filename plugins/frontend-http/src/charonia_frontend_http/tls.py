"""TLS: from the options to the context with the server's certificate and key."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from charonia.errors import CharoniaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.frontend import OptionValue

__all__ = ["server_context"]


def server_context(options: Mapping[str, OptionValue]) -> ssl.SSLContext | None:
    """Make the context that the options ask for; None where they ask for none.

    Raises:
        CharoniaError: a file is not named, cannot be read, or does not hold what it should.
    """
    if not options["http-use-ssl"]:
        return None
    certificate, key = (_path(options, name) for name in ("http-server-cert", "http-server-key"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise CharoniaError(
            f"--http-server-cert={certificate} and --http-server-key={key} are no certificate with its key, in PEM: {error}"
        ) from error
    return context


def _no_password() -> str:
    """Keep OpenSSL from asking on the terminal."""
    raise ValueError("the key is encrypted, and a server has nobody to ask for the password")


def _path(options: Mapping[str, OptionValue], name: str) -> str:
    path = str(options[name])
    if not path:
        raise CharoniaError(f"--http-use-ssl needs --{name}: the path of a file in PEM")
    try:
        with Path(path).open("rb"):
            return path
    except OSError as error:
        raise CharoniaError(f"--{name}={path} cannot be read: {error.strerror}") from error
