"""The GPUs of this machine."""

from __future__ import annotations

import pytest
from charonia.machine_gpus import machine_gpus


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, 3), ("", 0), ("-1", 0), ("2", 1), ("0,1", 2), ("1,-1,2", 1), ("GPU-8932f937", 1), ("0,1,2,3,4", 3)],
)
def test_gpus_are_counted_as_cuda_counts_them(monkeypatch, tmp_path, visible, expected):
    """CUDA numbers what it sees from 0, and CUDA_VISIBLE_DEVICES says what that is, up to the first number that is none."""
    for name in ("nvidia0", "nvidia1", "nvidia4", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine_gpus(tmp_path) == list(range(expected))
