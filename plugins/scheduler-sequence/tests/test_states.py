"""States that the server keeps: an output of one request is an input of the next one of its sequence."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.datatypes import DataType
from charonia.errors import InternalError, InvalidArgumentError
from charonia.request import InferenceResponse
from charonia.tensor import encode_bytes

NUMBERS = [datatype for datatype in DataType if datatype is not DataType.BYTES]


def state(datatype="INT32", dims="2", more="", initial=None):
    """Write a state, and what it begins with."""
    begin = "" if initial is None else f'initial_state {{ name: "i" data_type: TYPE_{datatype} {initial} }}'
    return (
        f'state {{ input_name: "IN" output_name: "OUT" data_type: TYPE_{datatype} dims: [ {dims} ] {more} {begin} }} '
        "max_sequence_idle_microseconds: 1000000 "
    )


def step(model, output=None, error=None):
    """Execute the next request with an output of the state; give its state."""
    (request,) = model.take()
    if error is not None:
        request.fail(error)
    else:
        model.execute(request, **({} if output is None else {"OUT": output}))
    return request.inputs["IN"]


@pytest.mark.parametrize("datatype", NUMBERS, ids=lambda datatype: datatype.name)
@pytest.mark.parametrize("same", [False, True])
def test_every_datatype(model, datatype, same):
    """A state is handed on in its own datatype."""
    more = "use_same_buffer_for_input_output: true" if same else ""
    model = model(state(datatype.config_name.removeprefix("TYPE_"), more=more))
    output = np.array([[1, 0]]).astype(datatype.dtype)
    model.send("a", start=True)
    assert step(model, output).dtype == datatype.dtype
    model.send("a")
    assert step(model).tolist() == output.tolist()


def test_text(model):
    """A state of text begins with empty text."""
    model = model(state("STRING", "-1"))
    model.send("a", start=True)
    assert step(model, np.array([[b"x", b"yz"]], np.object_)).tolist() == [[b""]]
    model.send("a")
    assert step(model).tolist() == [[b"x", b"yz"]]


def test_begins_anew_with_each_start(model):
    """A start finds the initial state, also in a sequence that goes on."""
    model = model(state(initial="dims: [ 2 ] zero_data: true"))
    model.send("a", start=True)
    assert step(model, np.array([[3, 4]], np.int32)).tolist() == [[0, 0]]
    model.send("a", start=True)
    assert step(model, np.array([[5, 6]], np.int32)).tolist() == [[0, 0]]
    model.send("a", end=True)
    assert step(model, np.array([[7, 8]], np.int32)).tolist() == [[5, 6]]
    model.send("b", start=True)
    assert step(model).tolist() == [[0, 0]]


def test_initial_state_from_a_file(model, tmp_path):
    """A file has the raw tensor, without a batch dimension."""
    (tmp_path / "initial_state").mkdir()
    (tmp_path / "initial_state" / "numbers").write_bytes(np.array([8, 9], np.int32).tobytes())
    (tmp_path / "initial_state" / "words").write_bytes(encode_bytes(np.array([b"a", b"bc"], np.object_)))
    numbers = model(state(initial='dims: [ 2 ] data_file: "numbers"'), directory=tmp_path)
    numbers.send("a", start=True)
    assert step(numbers).tolist() == [[8, 9]]
    words = model(state("STRING", initial='dims: [ 2 ] data_file: "words"'), directory=tmp_path, max_batch_size=0)
    words.send("a", start=True)
    assert step(words).tolist() == [b"a", b"bc"]


@pytest.mark.parametrize(
    ("datatype", "name", "content", "text"),
    [
        ("INT32", "missing", None, "failed to read the initial state 'missing'"),
        ("INT32", "short", b"123", "expects 8 bytes, but the data provided from 'short' is 3 bytes"),
        ("STRING", "short", b"\1\0\0\0a", "expects 2 elements, but the data provided from 'short' is 1 elements"),
        ("STRING", "cut", b"\1\0\0", "the initial state 'cut' is cut off"),
        ("INT32", "../outside", b"12345678", "outside of the model's folder"),
    ],
)
def test_files_that_do_not_fit(model, tmp_path, datatype, name, content, text):
    """A model whose initial state cannot be had does not load, and its error says why."""
    (tmp_path / "initial_state").mkdir()
    if content is not None:
        (tmp_path / "initial_state" / name).write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=text):
        model(state(datatype, initial=f'dims: [ 2 ] data_file: "{name}"'), directory=tmp_path)


def test_failed_request_leaves_the_state(model):
    """After an error, the next request has the state of before."""
    model = model(state())
    for _ in range(3):
        model.send("a", start=not model.scheduler.pending)
    step(model, np.array([[1, 2]], np.int32))
    assert step(model, error=ValueError("no")).tolist() == [[1, 2]]
    assert step(model).tolist() == [[1, 2]]


@pytest.mark.parametrize("output", [np.zeros((1, 3), np.int32), np.zeros((2,), np.int32), np.zeros((1, 2), np.int64)])
def test_output_that_is_no_such_state(model, output):
    """A state of another shape or datatype is the model's mistake; what was there before stays."""
    model = model(state())
    call = model.send("a", start=True)
    step(model, output)
    assert "state 'OUT'" in call.error
    assert isinstance(call.responses[0].error, InternalError)
    model.send("a")
    assert step(model).tolist() == [[0, 0]]


@pytest.mark.parametrize("same", [False, True])
def test_models_may_use_their_memory_again(model, same):
    """A state is safe from what a model does with its output afterwards, and from other sequences."""
    model = model(state(more="use_same_buffer_for_input_output: true" if same else ""))
    memory = np.array([[1, 2]], np.int32)
    for name in ("a", "b"):
        model.send(name, start=True)
    for request in model.take():
        model.execute(request, OUT=memory)
        memory += 10
    for name in ("a", "b"):
        model.send(name)
    assert [request.inputs["IN"].tolist() for request in model.take()] == [[[1, 2]], [[11, 12]]]


def test_clients_get_no_states(model):
    """States are computed though a client does not ask for them, and it does not get them."""
    model = model(state())
    everything = model.send("a", start=True)
    step(model, np.array([[1, 2]], np.int32))
    assert list(everything.responses[0].outputs) == ["Y"]
    some = model.send("a", requested_outputs=("Y",))
    (request,) = model.take()
    assert request.requested_outputs == ("Y", "OUT")
    model.execute(request, OUT=np.array([[3, 4]], np.int32))
    assert list(some.responses[0].outputs) == ["Y"]


def test_state_that_is_an_output(model):
    """A state that the configuration lists among the outputs is told to clients that want it."""
    model = model(state().replace('"OUT"', '"Y"').replace("[ 2 ]", "[ 1 ]"))
    call = model.send("a", 7, start=True)
    step(model)
    assert list(call.responses[0].outputs) == ["Y"]
    model.send("a")
    assert step(model).tolist() == [[7]]


def test_shapes_are_not_mixed(model):
    """Sequences whose states differ in shape are not executed together."""
    model = model(state(dims="-1"))
    for name in ("a", "b"):
        model.send(name, start=True)
    first, second = model.take()
    model.execute(first, OUT=np.zeros((1, 2), np.int32))
    model.execute(second, OUT=np.zeros((1, 3), np.int32))
    for value, name in enumerate(("a", "b")):
        model.send(name, value)
    assert [model.values(), model.values()] == [[0, None], [None, 1]]


def test_states_of_decoupled_models(model):
    """Each response may have the state; the last one counts. One that has nothing else, and does not end, is told to nobody."""
    model = model(state())
    call = model.send("a", start=True)
    (request,) = model.take()
    for number in (1, 2):
        request.respond(InferenceResponse({"OUT": np.full((1, 2), number, np.int32)}, final=False))
    request.respond(InferenceResponse({}))
    assert [list(response.outputs) for response in call.responses] == [[]]
    model.send("a")
    assert step(model).tolist() == [[2, 2]]
