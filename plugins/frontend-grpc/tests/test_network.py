"""What only a real connection shows: cancelling, deadlines, a slow reader, sizes, compression, health, reflection and stopping."""

from __future__ import annotations

import queue
import socket
import threading
from contextlib import contextmanager, suppress

import grpc
import numpy as np
import pytest
from charonia.testing.fakes import Gate
from charonia_frontend_grpc.application import SERVICE
from charonia_protos import grpc_service_pb2 as pb
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PATIENCE_SECONDS = 30


def raised(call):
    """Give the code and text with which a call ends."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


class Requests:
    """The requests of a stream, sent one by one while it is open."""

    def __init__(self):
        self._queue = queue.SimpleQueue()

    def send(self, message):
        """Send a request."""
        self._queue.put(message)

    def end(self):
        """Send no more."""
        self._queue.put(None)

    def __iter__(self):
        return iter(self._queue.get, None)


@pytest.fixture
def requests():
    """Give the requests of a stream, which end with the test."""
    made = Requests()
    yield made
    made.end()


def failures(running, model):
    """Tell how many requests of a model have failed, after all before this one are through."""
    running.model(model).infer({"X": np.zeros((1, 1), np.float32)})
    (statistics,) = running.statistics(model)
    return statistics.counters.fail.count


def test_a_unary_call_and_its_error(channel, calls, infer_request, rows_of):
    """Answers and statuses pass through the transport."""
    infer = calls(channel, "ModelInfer")
    assert rows_of(infer(infer_request(row=(1, 2)))) == [[1.0, 2.0]]
    assert raised(lambda: infer(infer_request("ghost"))) == (
        "NOT_FOUND",
        "Request for unknown model: 'ghost' is not found",
    )


def test_a_text_too_long_for_a_status_is_cut(channel, calls, infer_request):
    """Whatever a client sends, it gets the status that the server means."""
    for name in ("é" * 100_000, "x" * 100_000):
        code, text = raised(lambda name=name: calls(channel, "ModelInfer")(infer_request(name)))
        assert code == "NOT_FOUND"
        assert text.endswith("...")


def test_what_is_unknown_is_unimplemented(channel):
    """Calls and services that nobody has end with gRPC's own status."""
    for path in (f"/{SERVICE.full_name}/Nothing", "/nobody/Nothing"):
        assert raised(lambda path=path: channel.unary_unary(path)(b""))[0] == "UNIMPLEMENTED"


def test_a_cancelled_call_takes_its_request_back(channel, calls, infer_request, running, taken_back):
    """What the client gives up counts as failed, though its execution went well."""
    with Gate("slow") as gate:
        call = calls(channel, "ModelInfer").future(infer_request("slow"))
        gate.wait_entered()
        call.cancel()
        assert taken_back.acquire(timeout=PATIENCE_SECONDS)
        gate.open()
    assert failures(running, "slow") == 1


def test_a_deadline_takes_the_request_back(channel, calls, infer_request, running, taken_back):
    """A client that waits no longer sees its own status, and its request is cancelled."""
    with Gate("slow") as gate:
        infer = calls(channel, "ModelInfer")
        infer(infer_request())  # so that the deadline is not over before there is a connection
        assert raised(lambda: infer(infer_request("slow"), timeout=3))[0] == "DEADLINE_EXCEEDED"
        assert taken_back.acquire(timeout=PATIENCE_SECONDS)
        gate.open()
    assert failures(running, "slow") == 1


def test_a_stream_is_open_both_ways(channel, calls, infer_request, requests, rows_of):
    """Responses come while requests still go, and after the last request the stream ends well."""
    stream = calls(channel, "ModelStreamInfer")(iter(requests), timeout=PATIENCE_SECONDS)
    for value in (1.0, 2.0):
        requests.send(infer_request(row=(value,)))
        assert rows_of(next(stream).infer_response) == [[value]]
    requests.send(infer_request("countdown", (3.0,)))
    requests.end()
    assert [rows_of(item.infer_response) for item in stream] == [[[3.0]], [[2.0]], [[1.0]]]
    assert stream.code() is grpc.StatusCode.OK


def test_a_cancelled_stream_takes_its_requests_back(channel, calls, infer_request, requests, running, taken_back):
    """What its client had asked is given up."""
    with Gate("slow") as gate:
        stream = calls(channel, "ModelStreamInfer")(iter(requests), timeout=PATIENCE_SECONDS)
        requests.send(infer_request("slow"))
        gate.wait_entered()
        stream.cancel()
        assert taken_back.acquire(timeout=PATIENCE_SECONDS)
        gate.open()
    assert failures(running, "slow") == 1


def test_a_strict_stream_ends_with_a_status(channel, calls, infer_request, requests):
    """The metadata of the stream asks for it."""
    metadata = [("triton_grpc_error", "true")]
    stream = calls(channel, "ModelStreamInfer")(iter(requests), metadata=metadata, timeout=PATIENCE_SECONDS)
    requests.send(infer_request("picky", (7.0,)))
    code, text = raised(lambda: next(stream))
    assert code == "INTERNAL"
    assert "X has the value 7" in text


def test_a_slow_reader_gets_everything(channel, calls, infer_request):
    """Many large responses wait for their reader, and none is lost."""
    row = np.arange(100_000, dtype=np.float32)
    count = 100
    stream = calls(channel, "ModelStreamInfer")(
        (infer_request(row=row, id=str(number)) for number in range(count)), timeout=2 * PATIENCE_SECONDS
    )
    assert [item.infer_response.id for item in stream] == [str(number) for number in range(count)]


def test_messages_of_megabytes_pass(serve, calls, infer_request):
    """There is no hidden limit of four megabytes."""
    options = [("grpc.max_receive_message_length", -1)]
    row = np.arange(2_000_000, dtype=np.float32)
    with grpc.insecure_channel(serve(), options=options) as channel:
        response = calls(channel, "ModelInfer")(infer_request(row=row))
    assert response.raw_output_contents[0] == row.tobytes()


def test_messages_above_the_limit_are_refused(serve, calls, infer_request):
    """The status names the option; on a stream the error is told in the stream."""
    with grpc.insecure_channel(serve(grpc_max_message_size=1000)) as channel:
        large = infer_request(row=[0.0] * 1000)
        code, text = raised(lambda: calls(channel, "ModelInfer")(large))
        assert code == "INVALID_ARGUMENT"
        assert "Use --grpc-max-message-size to increase the limit." in text
        told = list(calls(channel, "ModelStreamInfer")(iter([large, infer_request()]), timeout=PATIENCE_SECONDS))
    assert "Use --grpc-max-message-size" in told[0].error_message
    assert not told[1].error_message


@pytest.mark.parametrize("level", ["none", "low", "medium", "high"])
@pytest.mark.parametrize("algorithm", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compression_both_ways(serve, calls, infer_request, rows_of, level, algorithm):
    """Whatever is compressed with, the numbers are the same."""
    row = [1.0] * 1000
    with grpc.insecure_channel(serve(grpc_infer_response_compression_level=level), compression=algorithm) as channel:
        assert rows_of(calls(channel, "ModelInfer")(infer_request(row=row))) == [row]
        (told,) = calls(channel, "ModelStreamInfer")(iter([infer_request(row=row)]), timeout=PATIENCE_SECONDS)
        assert rows_of(told.infer_response) == [row]


class Relay:
    """Passes one connection on, and counts what comes back from the server."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self._door = socket.create_server(("127.0.0.1", 0))
        self._server = socket.create_connection((host, int(port)))
        self.address = f"127.0.0.1:{self._door.getsockname()[1]}"
        self.received = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        client, _ = self._door.accept()
        back = threading.Thread(target=self._pass_on, args=(self._server, client))
        back.start()
        self._pass_on(client, self._server)
        back.join()
        client.close()

    def _pass_on(self, source, target):
        while data := source.recv(65_536):
            if source is self._server:
                self.received += len(data)
            target.sendall(data)
        with suppress(OSError):  # the other end may have gone first
            target.shutdown(socket.SHUT_WR)

    def close(self):
        """End when both ends have."""
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        self._server.close()
        self._door.close()


@pytest.mark.parametrize(("level", "small"), [("none", False), ("low", True), ("medium", True), ("high", True)])
@pytest.mark.parametrize("name", ["ModelInfer", "ModelStreamInfer"])
def test_answers_are_compressed(serve, calls, infer_request, level, small, name):
    """With the option, what comes back is smaller than what went, and without it is not."""
    relay = Relay(serve(grpc_infer_response_compression_level=level))
    with grpc.insecure_channel(relay.address) as channel:
        call = calls(channel, name)
        message = infer_request(row=[1.0] * 5000)
        assert call(message) if name == "ModelInfer" else list(call(iter([message]), timeout=PATIENCE_SECONDS))
    relay.close()
    assert (relay.received < 10_000) is small


@contextmanager
def states_of(channel):
    """Give the states of a connection as they come. The thread that looks at them must not find the channel closed: it would raise."""
    states, before = queue.SimpleQueue(), set(threading.enumerate())
    channel.subscribe(states.put)
    looking = [thread for thread in threading.enumerate() if thread not in before and "_run" in thread.name]
    yield states
    channel.unsubscribe(states.put)
    for thread in looking:
        thread.join(PATIENCE_SECONDS)


def test_a_connection_ends_with_its_age(serve, calls, infer_request):
    """The server ends old connections, and the client makes a new one for its next call."""
    address = serve(grpc_max_connection_age=200, grpc_max_connection_age_grace=200)
    with grpc.insecure_channel(address) as channel, states_of(channel) as states:
        infer = calls(channel, "ModelInfer")
        assert infer(infer_request())
        while states.get(timeout=PATIENCE_SECONDS) is not grpc.ChannelConnectivity.READY:
            pass
        assert states.get(timeout=PATIENCE_SECONDS) is grpc.ChannelConnectivity.IDLE
        assert infer(infer_request())


def test_health_check(channel, running):
    """The general health service tells whether the server is ready, whatever service is asked."""
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"") == b"\x08\x01"
    assert check(b"\x0a\x01x") == b"\x08\x01"
    running.begin_shutdown()
    assert check(b"") == b"\x08\x02"
    assert raised(lambda: list(channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")))[0] == "UNIMPLEMENTED"


def test_reflection_describes_the_service(channel):
    """A client that knows nothing finds the service, its calls and their messages."""
    database = ProtoReflectionDescriptorDatabase(channel)
    assert SERVICE.full_name in database.get_services()
    file = database.FindFileContainingSymbol(SERVICE.full_name)
    assert [method.name for method in file.service[0].method] == [method.name for method in SERVICE.methods]


def test_the_address_may_be_of_ipv6(serve, calls, infer_request):
    """It is written with brackets."""
    address = serve(grpc_address="::1")
    assert address.startswith("[::1]:")
    with grpc.insecure_channel(address) as channel:
        assert calls(channel, "ModelInfer")(infer_request())


def test_a_taken_port_is_told(serve):
    """Two servers do not share a port unless both say so."""
    port = int(serve().rpartition(":")[2])
    with pytest.raises(Exception, match="choose another address or port"):
        serve(grpc_port=port)


def test_a_port_can_be_shared(serve):
    """With the option, the second server listens, too."""
    port = int(serve(reuse_grpc_port=True).rpartition(":")[2])
    assert serve(reuse_grpc_port=True, grpc_port=port).endswith(f":{port}")


def test_stopping_finishes_what_was_asked(stoppable, running, calls, infer_request, requests, rows_of):
    """Calls in progress are answered, an idle stream ends with the reason, and new calls are refused."""
    with (
        stoppable(running, {"grpc-port": 0}) as (url, stop),
        grpc.insecure_channel(url.removeprefix("grpc://")) as channel,
        Gate("slow") as gate,
    ):
        stream = calls(channel, "ModelStreamInfer")(iter(requests), timeout=PATIENCE_SECONDS)
        requests.send(infer_request())
        next(stream)
        call = calls(channel, "ModelInfer").future(infer_request("slow"))
        gate.wait_entered()
        stopped = stop()
        code, text = raised(lambda: next(stream))
        assert (code, text) == (
            "UNAVAILABLE",
            "GRPC server is shutting down and has stopped accepting new requests.",
        )
        assert raised(lambda: calls(channel, "ServerLive")(pb.ServerLiveRequest()))[0] == "UNAVAILABLE"
        gate.open()
        assert rows_of(call.result(PATIENCE_SECONDS)) == [[1.0, 2.0]]
        stopped.result(PATIENCE_SECONDS)
