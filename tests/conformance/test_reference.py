"""The recordings replayed against the reference itself, so that they cannot rot: what it answers today is what was recorded."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import grpc
import pytest
import recorded_grpc
import recorded_http
import recorded_memory
from differences import DEADLY, NOT_REPEATABLE
from recordings import GOLDEN, MODELS, answers_to, name_of, steps_of

from benchmarks.process import free_port

FILES = {path.stem: recorded_memory.load(path) for path in sorted(GOLDEN.glob("*.json"))}


@pytest.fixture(scope="module")
def ports_of(run_reference):
    """Run the reference, and tell its ports for HTTP and for gRPC by topic; topics of one group share a server."""
    ports = {}
    with ExitStack() as opened:

        def started(topic):
            group = FILES[topic]["group"]
            if group not in ports:
                ports[group] = (free_port(), free_port())
                flags = flags_of(FILES[topic], *ports[group])
                opened.enter_context(run_reference(ports[group][0], *flags))  # HTTP, which comes after gRPC
            return ports[group]

        yield started


def flags_of(file, http_port, grpc_port):
    """Give the flags that a group was recorded with, and those that say where to listen and how to end."""
    return [
        f"--model-repository={MODELS}",
        "--http-address=127.0.0.1",
        f"--http-port={http_port}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc_port}",
        "--allow-metrics=false",
        "--exit-timeout-secs=1",  # sequences that were not ended would hold it up
        *file["server_args"],
    ]


@pytest.mark.parametrize("topic", FILES)
def test_reference_answers_as_recorded(ports_of, topic, subtests):
    """Each request of a file, in order and with its flags, has the recorded answer."""
    http_port, grpc_port = ports_of(topic)
    with recorded_memory.objects([FILES[topic]]), grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        for step in steps_of(FILES[topic]):
            if (topic, name_of(step)) in {*NOT_REPEATABLE, *DEADLY}:
                continue
            by_grpc = "rpc" in step[0]["request"]
            ask = (
                partial(recorded_grpc.ask, channel) if by_grpc else partial(recorded_http.ask, ("127.0.0.1", http_port))
            )
            with subtests.test(name_of(step)):
                for exchange, answer in zip(step, answers_to(step, ask), strict=True):
                    if by_grpc:
                        recorded_grpc.check(exchange, answer)
                    else:
                        recorded_http.check(exchange, answer, status=exchange["response"]["status"])
