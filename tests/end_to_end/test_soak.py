"""The soak, short: `make soak` lets it go on for ten minutes."""

from __future__ import annotations

from memory_growth import growth_bytes
from soak import TRAFFIC, soak

_SECONDS = 20
_GROWTH_BYTES = 32 * 2**20
"""So much may come and go in a process with many threads; what grows with the requests is more after so many."""


def test_mixed_traffic_is_answered_and_the_memory_stays_flat(tmp_path):
    """Through reloads, unloads, cancellations and time-outs every request gets its own answer, or is told why it gets none."""
    report = soak(_SECONDS, tmp_path / "models")
    assert not report.failures, str(report)
    assert report.unanswered == 0
    assert {kind for kind, _ in report.ended} == set(TRAFFIC)
    assert growth_bytes(report.rss_bytes) < _GROWTH_BYTES, str(report)
