"""Which metrics are told: what `--metrics-config` says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from charonia.errors import CharoniaError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MetricsSettings", "read_settings"]

_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_SWITCHES = ("counter_latencies", "histogram_latencies", "summary_latencies")
_EXPECTED = "--metrics-config option format is <setting>=<value>. Got {}"


@dataclass(frozen=True)
class MetricsSettings:
    """Which metrics are told.

    Attributes:
        counter_latencies: whether there are counters of durations.
        histogram_latencies: whether there are histograms of durations.
        summary_latencies: whether there are quantiles of the durations of the last minute.
        quantiles: which quantiles; from 0 to 1.
    """

    counter_latencies: bool = True
    histogram_latencies: bool = True
    summary_latencies: bool = False
    quantiles: tuple[float, ...] = (0.5, 0.9, 0.95, 0.99, 0.999)


def read_settings(told: Iterable[str]) -> MetricsSettings:
    """Read settings, each `<setting>=<value>`; a later one wins.

    Raises:
        CharoniaError: one is malformed, or unknown.
    """
    settings = MetricsSettings()
    for text in told:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise CharoniaError(_EXPECTED.format(text))
        if name == "summary_quantiles":
            settings = replace(settings, quantiles=_quantiles(value))
        elif name in _SWITCHES:
            if value.lower() not in _TRUTH:
                raise CharoniaError(f"--metrics-config={text}: expected {name}=true or {name}=false")
            switch: dict[str, Any] = {name: _TRUTH[value.lower()]}
            settings = replace(settings, **switch)
        else:
            known = ", ".join((*_SWITCHES, "summary_quantiles"))
            raise CharoniaError(f"--metrics-config={text}: there is no setting {name!r} (settings: {known})")
    return settings


def _quantiles(text: str) -> tuple[float, ...]:
    """Read `<quantile>:<error>,…`. The errors are the reference's: here a quantile is right to an eighth of its value."""
    try:
        pairs = [tuple(map(float, pair.split(":"))) for pair in text.split(",")]
        quantiles = tuple(dict.fromkeys(quantile for quantile, _ in pairs))  # the same one twice would be one row twice
    except ValueError:
        quantiles = (-1.0,)
    if not all(0 <= quantile <= 1 for quantile in quantiles):
        raise CharoniaError(
            f"--metrics-config=summary_quantiles={text}: expected <quantile>:<error>,… with quantiles from 0 to 1, such as "
            "0.5:0.05,0.9:0.01"
        )
    return quantiles
