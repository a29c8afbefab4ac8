"""Traces of requests, played on this server and on the reference: the same requests are executed together on both.

What is expected stands with each trace. That it is what the reference does is tested wherever the reference is installed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import dynamic
import ensembles
import iterative
import pytest
import sequences
from charonia import Server
from charonia.clock import Clock
from charonia.serving import serve_in_thread
from steady_clock import SteadyTime

from benchmarks.process import free_port

SCHEDULES = [*dynamic.SCHEDULES, *sequences.SCHEDULES, *iterative.SCHEDULES, *ensembles.SCHEDULES]
_AT_A_TIME = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Write the models of all schedules into one repository."""
    repository = tmp_path_factory.mktemp("models")
    for schedule in SCHEDULES:
        schedule.write_model(repository)
    return repository


def played(address, clock, *, tries=1):
    """Play all traces by a clock, a few at a time, and give what became of each, by model.

    With several `tries`, a trace is played again while something else than expected becomes of it.
    """

    def play(schedule):
        for _ in range(tries):
            outcome = schedule.play(address, clock)
            if outcome == (schedule.executions, schedule.errors):
                break
        return outcome

    with ThreadPoolExecutor(_AT_A_TIME) as players:
        return dict(zip([schedule.model for schedule in SCHEDULES], players.map(play, SCHEDULES), strict=True))


@pytest.fixture(scope="module")
def outcomes(models):
    """Play the traces on this server."""
    with (
        SteadyTime() as steady,
        Server(models) as server,
        serve_in_thread(server, {"grpc-port": 0, "allow-http": False}) as (url,),
    ):
        return played(url.removeprefix("grpc://"), steady.clock())


@pytest.fixture(scope="module")
def reference_outcomes(run_reference, models):
    """Play the traces on the reference."""
    port = free_port()
    flags = [
        f"--model-repository={models}",
        "--allow-http=false",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={port}",
        "--allow-metrics=false",
        "--exit-timeout-secs=1",
    ]
    with run_reference(port, *flags, ready="Started GRPCInferenceService"):
        return played(
            f"127.0.0.1:{port}", Clock(), tries=3
        )  # its threads race with each other where the machine is busy


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.model)
def test_this_server(outcomes, schedule):
    """The requests of the trace are executed together as expected, and the others are answered with the expected errors."""
    assert outcomes[schedule.model] == (schedule.executions, schedule.errors)


@pytest.mark.timeout(600)  # the first one waits for all traces, which takes minutes on a machine that is busy
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.model)
def test_reference(reference_outcomes, schedule):
    """What is expected is what the reference does, or one of the two things that it does by chance."""
    executions, errors = reference_outcomes[schedule.model]
    assert executions in (schedule.executions, schedule.by_chance)
    assert errors == schedule.errors
