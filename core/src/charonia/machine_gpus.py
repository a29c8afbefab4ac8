"""The GPUs of this machine, counted without any of NVIDIA's libraries."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["machine_gpus"]


def machine_gpus(devices: Path = Path("/dev")) -> list[int]:
    """List the NVIDIA GPUs that this process may use, by the numbers that CUDA gives them.

    CUDA counts what it sees from 0: the devices of the driver, or those of them that CUDA_VISIBLE_DEVICES names.

    Args:
        devices: the directory in which the driver shows its devices.
    """
    present = len(list(devices.glob("nvidia[0-9]*")))
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return list(range(present))
    names = [name.strip() for name in chosen.split(",")]
    stop = next((place for place, name in enumerate(names) if name in {"", "-1"}), len(names))  # as CUDA reads it
    return list(range(min(present, stop)))
