"""Looking on while a request is answered: the moments of its trace, and the header field `Server-Timing`."""

from __future__ import annotations

import json
import re

import charonia_frontend_http
import charonia_transport_lean
import pytest
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia.trace_settings import TraceSetting

INFER = b'{"inputs":[{"name":"X","datatype":"FP32","shape":[1,2],"data":[1,2]}]}'
PREDICT = b'{"X":[[1,2]]}'
ALL_PARTS = ["total", "queue", "compute_input", "compute_infer", "compute_output"]


def post(path, body, content_type="application/json"):
    """Write a request."""
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def parts_of(headers):
    """Read Server-Timing as name → milliseconds, in its order."""
    return {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([0-9.]+)", headers["server-timing"])}


@pytest.fixture(params=["standard", "lean"])
def traced(model_repository, tmp_path_factory, request):
    """Give a way to trace what a talk with a server says, given its port; gives the moments of each trace."""
    path = tmp_path_factory.mktemp("traces") / "trace.json"
    write_model(
        model_repository,
        model_config("countdown", inputs=[("X", "FP32", [-1])], outputs=[("Y", "FP32", [-1])], decoupled=True),
    )
    options = ServerOptions(transport=request.param, trace=TraceSetting(level=("TIMESTAMPS",), rate=1, file=str(path)))
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin(), charonia_frontend_http, charonia_transport_lean])

    def run(talk):
        with (
            Server(model_repository, options=options, plugins=plugins) as server,
            serve_in_thread(server, {"http-port": 0}) as (url,),
        ):
            talk(int(url.rpartition(":")[2]))
        traces = {}
        for record in json.loads(path.read_text()):
            for moment in record.get("timestamps", ()):
                traces.setdefault(record["id"], {})[moment["name"]] = moment["ns"]
        return [traces[number] for number in sorted(traces)]

    return run


@pytest.mark.parametrize(
    ("path", "body", "chunks"),
    [
        ("/v2/models/m/infer", INFER, 0),
        ("/v2/models/m/predict", PREDICT, 0),
        ("/v2/models/m/generate", b'{"X":[1,2]}', 0),
        ("/v2/models/countdown/generate_stream", b'{"X":[2,2]}', 3),
    ],
)
def test_a_trace_tells_the_moments_of_the_frontend(traced, connect, path, body, chunks):
    """Whichever endpoint was asked, the request is received before it is queued, and its answer sent after it is there."""

    def talk(port):
        connection = connect(port)
        connection.send(post(path, body))
        start, _, _ = connection.response(has_body=not chunks)
        assert start.endswith("200 OK")
        for _ in range(chunks):
            connection.chunk()

    (moments,) = traced(talk)
    order = ["HTTP_RECV_START", "HTTP_RECV_END", "QUEUE_START", "HTTP_SEND_START", "HTTP_SEND_END"]
    assert [moments[name] for name in order] == sorted(moments[name] for name in order)
    assert moments["HTTP_RECV_END"] == moments["REQUEST_START"]
    if not chunks:
        assert moments["INFER_RESPONSE_COMPLETE"] <= moments["HTTP_SEND_START"]


def test_a_request_whose_client_has_gone_is_traced_to_its_end(traced, connect):
    """What was received is told, and that nothing was sent."""

    def talk(port):
        with Gate("slow") as gate:
            connection = connect(port)
            connection.send(post("/v2/models/slow/infer", INFER))
            gate.wait_entered()
            connection.close()
            asked = connect(port)  # answered after the server has seen the other one go
            asked.send(post("/v2/models/m/infer", INFER))
            asked.response()

    first, _ = traced(talk)
    assert "HTTP_RECV_END" in first
    assert "HTTP_SEND_START" not in first


def test_what_is_refused_is_not_traced(traced, connect):
    """A request that no model takes has no trace, as in the reference."""

    def talk(port):
        connection = connect(port)
        connection.send(post("/v2/models/m/infer", b'{"inputs":[]}'))
        assert connection.response()[0].endswith("400 Bad Request")
        connection.send(post("/v2/models/m/infer", INFER))
        connection.response()

    assert len(traced(talk)) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v2/models/m/infer", INFER), ("/v2/models/m/predict", PREDICT), ("/v2/models/m/generate", b'{"X":[1,2]}')],
)
def test_answers_tell_their_times_on_demand(serve, connect, path, body):
    """With the option, each answer has the whole time and its parts, which are no more than the whole."""
    connection = connect(serve(http_server_timing=True))
    connection.send(post(path, body))
    _, headers, _ = connection.response()
    parts = parts_of(headers)
    assert list(parts) == ALL_PARTS
    assert parts["total"] >= parts["queue"] + parts["compute_infer"] - 0.002


def test_a_refusal_tells_no_times_of_an_execution(serve, connect):
    """What was not executed has the whole time alone; what was not even decoded has none."""
    connection = connect(serve(http_server_timing=True))
    connection.send(post("/v2/models/m/infer", b'{"inputs":[]}'))
    assert list(parts_of(connection.response()[1])) == ["total"]
    connection.send(post("/v2/models/m/infer", b"{"))
    assert "server-timing" not in connection.response()[1]


def test_without_the_option_answers_tell_no_times(serve, connect):
    """Nobody learns what nobody has asked for; nor do other endpoints tell any."""
    connection = connect(serve())
    connection.send(post("/v2/models/m/infer", INFER))
    assert "server-timing" not in connection.response()[1]
