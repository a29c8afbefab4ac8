"""What Linux tells about the machine."""

from __future__ import annotations

import sys

import pytest
from charonia_metrics_prometheus.machine import Machine, process_metrics


def values(families):
    """Give the value of each family by its name."""
    return {family.name: family.samples[0].value for family in families}


def test_utilisation_is_that_since_the_last_look(tmp_path):
    """The share of time in which the CPUs were busy, and memory as the reference counts it."""
    (tmp_path / "stat").write_text("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3 4\n")
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:    400 kB\n")
    machine = Machine(0, tmp_path)
    (tmp_path / "stat").write_text("cpu  120 0 110 750 120 0 0 0 0 0\ncpu0 1 2 3 4\n")
    assert values(machine.metrics()) == {
        "nv_cpu_utilization": 0.3,
        "nv_cpu_memory_total_bytes": 1_024_000,
        "nv_cpu_memory_used_bytes": 614_400,
    }


def test_where_nothing_is_told_there_is_nothing(tmp_path):
    """A machine without these files has no such metrics."""
    assert values(Machine(0, tmp_path).metrics()) == {}
    assert set(values(process_metrics(tmp_path))) == {"process_cpu_seconds_total"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it so")
def test_this_machine_is_told():
    """On the machine of the test every number is plausible."""
    told = values([*Machine(0).metrics(), *process_metrics()])
    assert 0 <= told["nv_cpu_utilization"] <= 1
    assert 0 < told["nv_cpu_memory_used_bytes"] < told["nv_cpu_memory_total_bytes"]
    assert told["process_resident_memory_bytes"] > 1_000_000
