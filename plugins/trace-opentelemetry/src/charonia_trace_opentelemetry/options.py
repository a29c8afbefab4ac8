"""The options of the mode: `--trace-config opentelemetry,NAME=VALUE`, with the reference's names and defaults."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from charonia.errors import CharoniaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ExportOptions", "read_options", "without_login"]

_OPTION = "--trace-config=opentelemetry,"
_SCHEMES = ("http://", "https://", "grpc://", "grpcs://")
_NUMBERS = {"bsp_schedule_delay": 5000, "bsp_max_export_batch_size": 512, "bsp_max_queue_size": 2048}
"""Those that are numbers, with their defaults."""


@dataclass(frozen=True)
class ExportOptions:
    """Where spans go, and how they are gathered on the way.

    Attributes:
        url: the collector: http:// or https:// for OTLP over HTTP, with the whole path; grpc:// or grpcs:// for OTLP over gRPC.
        resource: what the collector is told about this server, by the names of OpenTelemetry's resource attributes.
        bsp_schedule_delay: how long spans are gathered at most, in milliseconds.
        bsp_max_export_batch_size: how many spans are sent at once.
        bsp_max_queue_size: how many traces, and spans of models, may wait; those beyond are lost.
    """

    url: str
    resource: Mapping[str, str]
    bsp_schedule_delay: int
    bsp_max_export_batch_size: int
    bsp_max_queue_size: int

    def describe(self) -> tuple[tuple[str, str], ...]:
        """Give them as clients are told them: without the login that a URL may have."""
        resource = ",".join(f"{key}={value}" for key, value in self.resource.items())
        told = {"url": without_login(self.url), "resource": resource} | {
            name: str(getattr(self, name)) for name in _NUMBERS
        }
        return tuple((name, value) for name, value in told.items() if value)


def read_options(told: Iterable[tuple[str, str]]) -> ExportOptions:
    """Read what was told; of two of a name the later wins, save that resource attributes add up.

    What was not told is taken from OpenTelemetry's own environment variables `OTEL_BSP_…`, where they are set.

    Raises:
        CharoniaError: there is no such option, or its value cannot be.
    """
    url = "http://localhost:4318/v1/traces"
    resource: dict[str, str] = {}
    numbers = {
        name: _number(variable := f"OTEL_{name.upper()}", os.environ.get(variable, str(default)))
        for name, default in _NUMBERS.items()
    }
    for name, value in told:
        if name == "url":
            url = value
        elif name == "resource":
            key, equals, content = value.partition("=")
            if not key or not equals:
                raise _mistake(
                    _OPTION + name, value, "an attribute's name and its value, as in resource=service.name=vision"
                )
            resource[key] = content
        elif name in numbers:
            numbers[name] = _number(_OPTION + name, value)
        else:
            known = ", ".join(("url", "resource", *_NUMBERS))
            raise CharoniaError(f"{_OPTION}{name}={value}: there is no such option; there are {known}")
    if problem := _problem_of(url):
        raise _mistake(f"{_OPTION}url", url, problem)
    options = ExportOptions(url, resource, **numbers)
    if options.bsp_max_export_batch_size > options.bsp_max_queue_size:
        raise _mistake(
            f"{_OPTION}bsp_max_export_batch_size",
            str(options.bsp_max_export_batch_size),
            f"no more than bsp_max_queue_size, which is {options.bsp_max_queue_size}",
        )
    return options


def without_login(url: str) -> str:
    """Give a URL as others may read it."""
    return re.sub(r"(?<=://)[^/?#]*@", "", url)


def _problem_of(url: str) -> str:
    """Say what a URL should be, if it is none that leads to a collector."""
    if not url.startswith(_SCHEMES):
        return f"a URL that begins with {', '.join(_SCHEMES)}"
    host, path = _place_of(url)
    if not host:
        return "a host behind the scheme, and where a port is given, one from 1 to 65535"
    if url.startswith("grpc") and path:
        return "nothing behind host and port, since gRPC has no paths"
    return ""


def _place_of(url: str) -> tuple[str, str]:
    """Give the host and the path of a URL; "" for both if it leads nowhere."""
    with suppress(ValueError):  # the port is no number, or too large; or an address in brackets is none
        parts = urlsplit(url)
        if parts.port != 0:
            return parts.hostname or "", parts.path
    return "", ""


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise _mistake(name, text, "a whole number from 1 up")
    return int(text)


def _mistake(name: str, value: str, expected: str) -> CharoniaError:
    return CharoniaError(f"{name}={value}: expected {expected}")
