"""What the driver tells about GPUs."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pynvml
import pytest
from charonia_metrics_prometheus.gpus import Gpus


class Driver:
    """A driver's library with one GPU that does not tell its power limit."""

    NVMLError = pynvml.NVMLError
    energy = 5_000
    open = 0

    def nvmlInit(self):  # noqa: N802 - the library's name
        self.open += 1

    def nvmlShutdown(self):  # noqa: N802 - the library's name
        self.open -= 1

    def nvmlDeviceGetCount(self):  # noqa: N802 - the library's name
        return 1

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802 - the library's name
        return index

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802 - the library's name
        return f"GPU-{handle}"

    def nvmlDeviceGetUtilizationRates(self, handle):  # noqa: N802 - the library's name
        return SimpleNamespace(gpu=25)

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802 - the library's name
        return SimpleNamespace(total=1000, used=10)

    def nvmlDeviceGetPowerUsage(self, handle):  # noqa: N802 - the library's name
        return 70_500

    def nvmlDeviceGetPowerManagementLimit(self, handle):  # noqa: N802 - the library's name
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802 - the library's name
        self.energy += 1_500
        return self.energy


def told_by(gpus):
    """Give the samples of each family that has any."""
    return {family.name: [(s.labels, s.value) for s in family.samples] for family in gpus.metrics() if family.samples}


def test_units_are_the_reference_s():
    """Shares, bytes, watts, and joules since the start; what a GPU does not tell is left out."""
    driver = Driver()
    gpus = Gpus(0, nvml=driver)
    label = {"gpu_uuid": "GPU-0"}
    assert told_by(gpus) == {
        "nv_gpu_utilization": [(label, 0.25)],
        "nv_gpu_memory_total_bytes": [(label, 1000)],
        "nv_gpu_memory_used_bytes": [(label, 10)],
        "nv_gpu_power_usage": [(label, 70.5)],
        "nv_energy_consumption": [(label, 1.5)],
    }
    gpus.close()
    gpus.close()
    assert driver.open == 0


def test_without_a_driver_one_line_says_so(caplog):
    """A machine without a driver has no metrics of GPUs, and its log says so once."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        pass
    else:
        pynvml.nvmlShutdown()
        pytest.skip("this machine has a driver")
    gpus = Gpus(0)
    with caplog.at_level(logging.INFO):
        assert told_by(gpus) == told_by(gpus) == {}
    gpus.close()
    assert [record.message.partition(":")[0] for record in caplog.records] == ["there are no metrics of GPUs"]


@pytest.mark.gpu
def test_a_real_gpu_is_told():
    """On a machine with a GPU every one of the reference's six is there."""
    gpus = Gpus(0)
    told = told_by(gpus)
    gpus.close()
    if not told:
        pytest.skip("no NVIDIA driver answers on this machine")
    assert len(told) == 6
    ((_, total),) = told["nv_gpu_memory_total_bytes"][:1]
    assert total > 2**30
