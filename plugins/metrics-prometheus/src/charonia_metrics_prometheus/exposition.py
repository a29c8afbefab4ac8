"""Prometheus' text format 0.0.4.

prometheus-client writes it, too, but renames every counter to end in `_total`, and the reference's counters do not.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric

__all__ = ["CONTENT_TYPE", "exposition"]

CONTENT_TYPE = "text/plain; charset=utf-8"

_TEXT_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
_LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def exposition(families: Iterable[Metric]) -> bytes:
    """Write families. Those without a sample are left out, as in the reference."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {family.documentation.translate(_TEXT_ESCAPES)}")
        lines.append(f"# TYPE {family.name} {family.type}")
        lines += [f"{sample.name}{_labels(sample.labels)} {_number(sample.value)}" for sample in family.samples]
    lines.append("")
    return "\n".join(lines).encode(errors="replace")  # one text of a model that is none must not take the page away


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join([_label(*item) for item in labels.items()]) + "}"


@lru_cache(maxsize=8192)
def _label(name: str, value: str) -> str:
    """Write one label. The same ones come again and again, many times on one page."""
    return f'{name}="{value.translate(_LABEL_ESCAPES)}"'


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
