"""The moments of requests that came by gRPC, in their traces."""

from __future__ import annotations

import json

import charonia_frontend_grpc
import charonia_transport_lean
import grpc
import pytest
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.fakes import ArithmeticPlugin
from charonia.trace_settings import TraceSetting

ORDER = ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "QUEUE_START", "GRPC_SEND_START", "GRPC_SEND_END"]


@pytest.fixture(params=["standard", "lean"])
def traced(model_repository, tmp_path_factory, request):
    """Give a way to trace what a talk with a server says, given a channel; gives the moments of each trace, by request."""
    path = tmp_path_factory.mktemp("traces") / "trace.json"
    setting = TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(path))
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin(), charonia_frontend_grpc, charonia_transport_lean])

    def run(talk):
        options = ServerOptions(transport=request.param, trace=setting)
        with (
            Server(model_repository, options=options, plugins=plugins) as server,
            serve_in_thread(server, {"grpc-port": 0}) as (url,),
            grpc.insecure_channel(url.partition("://")[2]) as channel,
        ):
            talk(channel)
        traces = {}
        for record in json.loads(path.read_text()):
            traces.setdefault(record["id"], {}).update(record)
            for moment in record.get("timestamps", ()):
                traces[record["id"]][moment["name"]] = moment["ns"]
        return {trace["request_id"]: trace for trace in traces.values()}

    return run


def test_a_call_has_its_moments(traced, calls, infer_request):
    """A unary call is received before it is queued, and answered after the model has, be it with an error; refusals have no trace."""

    def talk(channel):
        infer = calls(channel, "ModelInfer")
        infer(infer_request(id="one"))
        for model, row in (("nobody", (1.0, 2.0)), ("picky", (7.0, 7.0))):
            with pytest.raises(grpc.RpcError):
                infer(infer_request(model=model, row=row, id=model))

    traces = traced(talk)
    assert sorted(traces) == ["one", "picky"]
    for trace in traces.values():
        assert [trace[name] for name in ORDER] == sorted(trace[name] for name in ORDER)
        assert trace["INFER_RESPONSE_COMPLETE"] <= trace["GRPC_SEND_START"]


def test_each_request_of_a_stream_has_its_moments(traced, calls, infer_request):
    """Requests of one stream have traces of their own, decoupled ones, too."""

    def talk(channel):
        asked = [infer_request(id="plain"), infer_request(model="countdown", row=(3.0,), id="many")]
        answers = list(calls(channel, "ModelStreamInfer")(iter(asked)))
        assert len(answers) == 4

    traces = traced(talk)
    assert sorted(traces) == ["many", "plain"]
    for trace in traces.values():
        assert [trace[name] for name in ORDER] == sorted(trace[name] for name in ORDER)
