"""Reading the page of metrics of a running server."""

from __future__ import annotations

import http.client
import re
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MetricsPage", "metrics_url_option", "read_metrics", "whole_url"]

_PATH = "/metrics"


def whole_url(url: str) -> str:
    """Complete where a page of metrics is said to be: a scheme and the path may be left out."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError:  # nothing can be read there, and that is told then
        return url
    return urlunsplit(parts if parts.path.strip("/") else parts._replace(path=_PATH))


metrics_url_option = click.option(
    "--metrics-url",
    default=f"http://127.0.0.1:8002{_PATH}",
    callback=lambda context, parameter, value: whole_url(value),  # noqa: ARG005 - click calls with all three
    show_default=True,
    metavar="URL",
    help="Where the server's metrics are.",
)

_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True)
class MetricsPage:
    """A page of metrics.

    Attributes:
        samples: what stands on it, by name: the labels and the value of each line.
    """

    samples: Mapping[str, list[tuple[dict[str, str], float]]]

    def of(self, name: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
        """Give the lines of a name that have these labels."""
        for found, value in self.samples.get(name, ()):
            if labels.items() <= found.items():
                yield found, value

    def total(self, name: str, **labels: str) -> float:
        """Add them up."""
        return sum(value for _, value in self.of(name, **labels))


def read_metrics(url: str, timeout_seconds: float) -> MetricsPage | None:
    """Read a server's page of metrics. None where there is none: nobody answers, or with something else."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:  # noqa: S310 - the user's own URL
            text = answer.read().decode()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for name, labels, value in _told(text):
        samples.setdefault(name, []).append((labels, value))
    return MetricsPage(samples) if samples else None


def _told(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for match in map(_LINE.fullmatch, text.split("\n")):  # what else ends a line elsewhere may stand in a label
        if match is None:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        yield match[1], {name: _ESCAPE.sub(_meant, label) for name, label in _LABEL.findall(match[2] or "")}, value


def _meant(escape: re.Match[str]) -> str:
    return "\n" if escape[1] == "n" else escape[1]
