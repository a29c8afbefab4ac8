"""Charonia beside the reference server and beside a bare HTTP handler, measured in one run: `python -m benchmarks`."""

from __future__ import annotations

from pathlib import Path

__all__ = ["HOUSE"]

HOUSE = Path(__file__).parents[1]
"""The root of the repository: where `python -m benchmarks` finds this package."""
