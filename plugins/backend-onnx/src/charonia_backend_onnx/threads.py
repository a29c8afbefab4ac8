"""How a model's sessions share the machine's cores.

`InferenceSession.run` may be called by many threads at once, so that the instances of one device share a session: the weights
are in memory once, and so is the pool of threads. The instances' own threads compute, too. A session of n instances whose pool
is made for t threads therefore keeps (t - 1) + n threads busy at the most, ONNX Runtime counting the caller as one of the t.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from charonia.backend import Device
from charonia_protos.model_config_pb2 import ModelInstanceGroup

if TYPE_CHECKING:
    from charonia.config import ModelConfig

__all__ = ["fair_intra_op_threads", "instances_by_device", "session_device", "usable_cores"]

_CPU = Device("CPU")


def usable_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def session_device(device: Device) -> Device:
    """Tell whose session an instance uses: that of its GPU, or the one of the CPU, which KIND_MODEL uses, too."""
    return device if device.kind == "GPU" else _CPU


def instances_by_device(config: ModelConfig) -> dict[Device, int]:
    """Count a normalised configuration's instances that serve, for each session."""
    counts: dict[Device, int] = {}
    for group in config.instance_group:
        if group.passive:
            continue
        on_gpu = group.kind == ModelInstanceGroup.KIND_GPU
        for device in [Device("GPU", gpu) for gpu in group.gpus] if on_gpu else [_CPU]:
            counts[device] = counts.get(device, 0) + group.count
    return counts


def fair_intra_op_threads(instances: int, all_instances: int, cores: int) -> int:
    """Tell for how many threads to make a session's pool.

    All sessions of the model together keep no more threads busy than there are cores, unless the instances alone are more.

    Args:
        instances: how many instances share the session.
        all_instances: how many instances the model has, on all devices.
        cores: how many cores the process may use.

    Returns:
        At least 1, which is the caller alone.
    """
    instances = max(1, instances)
    share = cores * instances // max(all_instances, instances)
    return max(1, share - instances + 1)
