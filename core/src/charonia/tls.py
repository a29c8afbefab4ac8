"""TLS: the files that an operator names, and the context with what is in them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from charonia.errors import CharoniaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.frontend_offer import OptionValue

__all__ = ["TlsFiles", "read_tls"]


@dataclass(frozen=True)
class TlsFiles:
    """The paths of the files that TLS needs, in PEM.

    Attributes:
        certificate: the server's certificate chain.
        key: its private key, not encrypted.
        roots: the certificates that vouch for clients, or "".
        mutual: whether clients must show a certificate.
    """

    certificate: str
    key: str
    roots: str = ""
    mutual: bool = False

    def context(self, protocols: Sequence[str]) -> ssl.SSLContext:
        """Make a server's context that speaks one of some application protocols, by their names for ALPN, best first.

        Raises:
            OSError, ValueError: a file does not hold what it should; an SSLError is an OSError.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(list(protocols))
        context.load_cert_chain(self.certificate, self.key, password=_no_password)
        if self.roots:
            context.load_verify_locations(self.roots)
        if self.mutual:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def read_tls(options: Mapping[str, OptionValue], prefix: str) -> TlsFiles | None:
    """Read a frontend's options `PREFIX-use-ssl`, `-use-ssl-mutual`, `-server-cert`, `-server-key` and `-root-cert`.

    Gives None where they do not ask for TLS. The files are tried, so that what is wrong with them is known before
    anything listens.

    Args:
        options: the frontend's options, with or without those of mutual TLS.
        prefix: "http" or "grpc".

    Raises:
        CharoniaError: a file is not named, cannot be read, or does not hold what it should; the text names the option.
    """
    mutual = bool(options.get(f"{prefix}-use-ssl-mutual"))
    if not mutual and not options[f"{prefix}-use-ssl"]:
        return None
    asked_by = f"--{prefix}-use-ssl-mutual" if mutual else f"--{prefix}-use-ssl"
    certificate = _path(options, f"{prefix}-server-cert", asked_by)
    key = _path(options, f"{prefix}-server-key", asked_by)
    wants_roots = mutual or options.get(f"{prefix}-root-cert")
    roots = _path(options, f"{prefix}-root-cert", asked_by) if wants_roots else ""
    _check_pair(certificate, key, prefix)
    if roots:
        _check_roots(roots, prefix)
    return TlsFiles(certificate, key, roots, mutual)


def _path(options: Mapping[str, OptionValue], name: str, asked_by: str) -> str:
    path = str(options[name])
    if not path:
        raise CharoniaError(f"{asked_by} needs --{name}: the path of a file in PEM")
    try:
        with Path(path).open("rb"):
            return path
    except OSError as error:
        raise CharoniaError(f"--{name}={path} cannot be read: {error.strerror}") from error


def _check_pair(certificate: str, key: str, prefix: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise CharoniaError(
            f"--{prefix}-server-cert={certificate} and --{prefix}-server-key={key} are no certificate chain with its "
            f"unencrypted key, in PEM: {error}"
        ) from error


def _check_roots(path: str, prefix: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except OSError as error:
        raise CharoniaError(f"--{prefix}-root-cert={path} has no certificates in PEM: {error}") from error


def _no_password() -> str:
    """Keep OpenSSL from asking on the terminal."""
    raise ValueError("the key is encrypted, and a server has nobody to ask for the password")
