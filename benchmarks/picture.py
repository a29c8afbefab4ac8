"""The results as a picture: requests a second and CPU time a request, for each way and model, by concurrency and side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import medians

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.measure import Figures, Point
    from benchmarks.report import Report

__all__ = ["draw"]

_COLOURS = {
    "charonia": "#0b7a75",
    "standard": "#6fb7b2",
    "python": "#3d6fa5",
    "python-standard": "#7a5fa5",
    "python-thread": "#b39ccf",
    "python-process": "#8fb0d3",
    "reference": "#9aa5b1",
    "bare": "#e0c48c",
}
_PANELS = (
    ("requests_per_second", "requests a second (more is better)"),
    ("cpu_us", "CPU µs a request (less is better)"),
)


def draw(report: Report, path: Path) -> None:
    """Draw the medians into a file; its suffix says in which format."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figures = medians(report.rounds)
    rows = list(dict.fromkeys((point.way, point.model) for point in figures))
    figure, axes = plt.subplots(
        len(rows), len(_PANELS), figsize=(11, 3.6 * len(rows)), squeeze=False, layout="constrained"
    )
    for row, (way, model) in zip(axes, rows, strict=True):
        shown = {point: found for point, found in figures.items() if (point.way, point.model) == (way, model)}
        for axis, (quantity, title) in zip(row, _PANELS, strict=True):
            _bars(axis, shown, quantity)
            axis.set_title(f"{way}, {model}: {title}", fontsize=10)
    axes[0][0].legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def _bars(axis: Axes, figures: dict[Point, Figures], quantity: str) -> None:
    sides = list(dict.fromkeys(point.side for point in figures))
    concurrencies = list(dict.fromkeys(point.concurrency for point in figures))
    width = 0.8 / len(sides)
    for index, side in enumerate(sides):
        values = [getattr(found, quantity) for point, found in figures.items() if point.side == side]
        places = [place + (index - (len(sides) - 1) / 2) * width for place in range(len(values))]
        bars = axis.bar(places, values, width, label=side, color=_COLOURS[side])
        axis.bar_label(bars, fmt="{:,.0f}", fontsize=7)
    axis.set_xticks(range(len(concurrencies)), [f"{number} at once" for number in concurrencies])
    axis.spines[["top", "right"]].set_visible(False)
