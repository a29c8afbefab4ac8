"""What the driver tells about NVIDIA's GPUs."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prometheus_client.metrics_core import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Gpus"]

_log = logging.getLogger("charonia.metrics_prometheus.gpus")

_FAMILIES: Sequence[tuple[str, str, str]] = (
    ("nv_gpu_utilization", "gauge", "GPU utilization rate [0.0 - 1.0)"),
    ("nv_gpu_memory_total_bytes", "gauge", "GPU total memory, in bytes"),
    ("nv_gpu_memory_used_bytes", "gauge", "GPU used memory, in bytes"),
    ("nv_gpu_power_usage", "gauge", "GPU power usage in watts"),
    ("nv_gpu_power_limit", "gauge", "GPU power management limit in watts"),
    ("nv_energy_consumption", "counter", "GPU energy consumption in joules since the Triton Server started"),
)


class Gpus:
    """The GPUs of this machine, read through the driver's own library. Used by one thread at a time; `close` it.

    Where there is no driver, one line of the log says so, and there is nothing to tell.

    Args:
        interval_seconds: how old what is told may be.
        nvml: the module `pynvml`, imported at the first use if not given.
    """

    def __init__(self, interval_seconds: float, nvml: Any = None) -> None:
        self._interval = interval_seconds
        self._nvml = nvml
        self._handles: list[tuple[str, Any]] | None = None
        self._energy_before: dict[str, int] = {}
        self._read_at = 0.0
        self._told: list[tuple[str, Mapping[str, float]]] = []

    def metrics(self) -> list[Metric]:
        """Give the reference's metrics of GPUs; what the driver does not tell of one is left out."""
        handles = self._opened()
        if handles and time.monotonic() - self._read_at >= self._interval:
            self._told = [(uuid, self._read(uuid, handle)) for uuid, handle in handles]
            self._read_at = time.monotonic()
        families = []
        for name, kind, description in _FAMILIES:
            metric = Metric(name, description, kind)
            for uuid, values in self._told:
                if name in values:
                    metric.add_sample(name, {"gpu_uuid": uuid}, values[name])
            families.append(metric)
        return families

    def _opened(self) -> list[tuple[str, Any]]:
        if self._handles is None:
            self._handles = self._open()
        return self._handles

    def _open(self) -> list[tuple[str, Any]]:
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            self._nvml.nvmlInit()
        except Exception as error:  # noqa: BLE001 - whatever ails the driver, the other metrics are told
            _log.info("there are no metrics of GPUs: %s", error)
            self._nvml = None
            return []
        nvml = self._nvml
        handles = []
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = nvml.nvmlDeviceGetUUID(handle)
            handles.append((uuid, handle))
            with suppress(nvml.NVMLError):
                self._energy_before[uuid] = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        return handles

    def _read(self, uuid: str, handle: Any) -> Mapping[str, float]:
        nvml = self._nvml
        readings: Sequence[Callable[[], dict[str, float]]] = (
            lambda: {"nv_gpu_utilization": nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100},
            lambda: _memory(nvml.nvmlDeviceGetMemoryInfo(handle)),
            lambda: {"nv_gpu_power_usage": nvml.nvmlDeviceGetPowerUsage(handle) / 1000},
            lambda: {"nv_gpu_power_limit": nvml.nvmlDeviceGetPowerManagementLimit(handle) / 1000},
            lambda: {"nv_energy_consumption": self._energy(uuid, nvml.nvmlDeviceGetTotalEnergyConsumption(handle))},
        )
        values: dict[str, float] = {}
        for reading in readings:
            with suppress(nvml.NVMLError):  # not every GPU tells everything
                values |= reading()
        return values

    def _energy(self, uuid: str, millijoules: int) -> float:
        return (millijoules - self._energy_before.get(uuid, millijoules)) / 1000

    def close(self) -> None:
        """Let go of the driver. Idempotent."""
        if self._nvml is not None and self._handles is not None:
            self._nvml.nvmlShutdown()
        self._nvml, self._handles, self._told = None, [], []


def _memory(info: Any) -> dict[str, float]:
    return {"nv_gpu_memory_total_bytes": info.total, "nv_gpu_memory_used_bytes": info.used}
