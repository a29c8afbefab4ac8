"""TorchScript: its arguments and results under the names of a configuration."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from charonia.errors import InvalidArgumentError
from charonia_backend_pytorch.program import State
from charonia_backend_pytorch.torchscript import TorchScript
from torch_modules import (
    Counter,
    Difference,
    HalfAndRow,
    Linear,
    NamedResults,
    OptionalShift,
    OverDictionary,
    Overwriting,
    Power,
    Same,
    Scores,
    Texts,
)

TWO = [("a", "FP32", [1]), ("b", "FP32", [1])]


@pytest.mark.parametrize(
    ("first", "second"),
    [("first", "second"), ("INPUT__0", "INPUT__1"), ("a", "b"), ("x__0", "y__1")],
    ids=["arguments", "numbers", "order", "numbers of any word"],
)
def test_names_lead_to_arguments(serve, repository, config, first, second):
    """Names are those of the arguments, or end in their number, or follow the configuration's order."""
    text = config([(first, "FP32", [1]), (second, "FP32", [1])], [("OUTPUT__0", "FP32", [1])])
    handle = serve(repository(Difference(), text)).model("m")
    assert handle.infer({second: [1.0], first: [5.0]})["OUTPUT__0"].tolist() == [4]


@pytest.mark.parametrize(("first", "second"), [("first", "second"), ("INPUT__0", "INPUT__1")])
def test_order_in_the_configuration_matters_to_nothing_else(serve, repository, config, first, second):
    """Names that lead to arguments do so wherever they stand."""
    text = config([(second, "FP32", [1]), (first, "FP32", [1])], [("y", "FP32", [1])])
    handle = serve(repository(Difference(), text)).model("m")
    assert handle.infer({first: [5.0], second: [1.0]})["y"].tolist() == [4]


def test_order_is_told_in_the_log(serve, repository, config, caplog):
    """Where only the order is left, it is used and told, with the names of the arguments."""
    with caplog.at_level(logging.WARNING):
        serve(repository(Difference(), config(TWO, [("y", "FP32", [1])])))
    assert "so that their order decides; forward takes first: a tensor, second: a tensor" in caplog.text


def test_results_are_found_by_number_or_order(serve, repository, config):
    """Two results are OUTPUT__0 and OUTPUT__1 in any order, or in theirs under other names."""
    inputs = [("INPUT__0", "FP32", [1]), ("INPUT__1", "INT64", [1])]
    numbered = config(inputs, [("OUTPUT__1", "FP32", [1]), ("OUTPUT__0", "FP32", [1])])
    ordered = config(inputs, [("half", "FP32", [1]), ("row", "FP32", [1])])
    folder = repository(HalfAndRow(), numbered, name="numbered")
    server = serve(repository(HalfAndRow(), ordered, name="ordered") and folder)
    tensors = {"INPUT__0": [4.0], "INPUT__1": [1]}
    first = server.model("numbered").infer(tensors)
    second = server.model("ordered").infer(tensors)
    assert (first["OUTPUT__0"].tolist(), first["OUTPUT__1"].tolist()) == ([2], [8])
    assert (second["half"].tolist(), second["row"].tolist()) == ([2], [8])


def test_fewer_results_may_be_served(serve, repository, config):
    """A configuration may leave results out."""
    text = config([("x", "FP32", [1]), ("i", "INT64", [1])], [("OUTPUT__1", "FP32", [1])])
    answer = serve(repository(HalfAndRow(), text)).model("m").infer({"x": [4.0], "i": [0]})
    assert {name: array.tolist() for name, array in answer.outputs.items()} == {"OUTPUT__1": [7]}


def test_dictionary_goes_in_and_comes_out(serve, repository, config):
    """The one dictionary's keys are the names of the inputs, and the keys of the result those of the outputs."""
    text = config(TWO, [("difference", "FP32", [1]), ("sum", "FP32", [1])])
    answer = serve(repository(OverDictionary(), text)).model("m").infer({"b": [1.0], "a": [5.0]})
    assert (answer["sum"].tolist(), answer["difference"].tolist()) == ([6], [4])


def test_named_tuple_gives_its_names(serve, repository, config):
    """Fields of a named tuple are outputs, in any order."""
    text = config([("x", "FP32", [1])], [("high", "FP32", [1]), ("low", "FP32", [1])])
    answer = serve(repository(NamedResults(), text)).model("m").infer({"x": [5.0]})
    assert (answer["low"].tolist(), answer["high"].tolist()) == ([4], [6])


def test_optional_argument_may_be_absent(serve, repository, config):
    """An argument with a default may be left out of the configuration, or of a request."""
    given = 'input [ { name: "shift" data_type: TYPE_FP32 dims: [ 1 ] optional: true } ]'
    outputs = [("y", "FP32", [1])]
    folder = repository(OptionalShift(), config([("x", "FP32", [1])], outputs), name="without")
    repository(OptionalShift(), config([("x", "FP32", [1])], outputs, given), name="with")
    server = serve(folder)
    assert server.model("without").infer({"x": [5.0]})["y"].tolist() == [5]
    assert server.model("with").infer({"x": [5.0]})["y"].tolist() == [5]
    assert server.model("with").infer({"x": [5.0], "shift": [2.0]})["y"].tolist() == [7]


@pytest.mark.parametrize("batch", [0, 4])
def test_strings_are_lists(serve, repository, config, batch):
    """BYTES tensors of one dimension, that of the batch included, become lists of text and come from them."""
    text = config([("t", "STRING", [-1])], [("u", "STRING", [-1]), ("n", "INT64", [-1])])
    if batch:
        text = config([("t", "STRING", [1])], [("u", "STRING", [1]), ("n", "INT64", [1])], batch=batch).replace(
            "dims: [1]", "dims: [1] reshape { }"
        )
    handle = serve(repository(Texts(), text)).model("m")
    sent = [["a"], ["öl"], [""]] if batch else ["a", "öl", ""]
    answer = handle.infer({"t": sent})
    assert answer["u"].ravel().tolist() == [b"a!", "öl!".encode(), b"!"]
    assert answer["n"].ravel().tolist() == [1, 3, 0]  # in TorchScript a text has the length of its bytes
    with pytest.raises(InvalidArgumentError, match="input 't' has an element that is no UTF-8"):
        handle.infer({"t": [[b"\xff"]] if batch else [b"\xff"]})


def test_numbers_are_arguments_and_results(serve, repository, config):
    """A number of Python is one element."""
    text = config([("x", "FP32", [2]), ("exponent", "INT64", [1])], [("y", "FP32", [2]), ("e", "INT64", [1])])
    answer = serve(repository(Power(), text)).model("m").infer({"x": [2.0, 3.0], "exponent": [2]})
    assert (answer["y"].tolist(), answer["e"].tolist()) == ([4, 9], [2])


def test_traced_module_runs(serve, repository, config, saved):
    """What was recorded serves like what was compiled."""
    module = Linear()
    text = config([("INPUT__0", "FP32", [3])], [("OUTPUT__0", "FP32", [2])], batch=4)
    folder = repository(lambda folder: saved.trace(module, torch.ones(1, 3), folder / "model.pt"), text)
    inputs = np.array([[1, 2, 3], [0, -1, 2]], np.float32)
    answer = serve(folder).model("m").infer({"INPUT__0": inputs})
    expected = module(torch.from_numpy(inputs)).detach().numpy()
    np.testing.assert_allclose(answer["OUTPUT__0"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("module", "inputs", "outputs", "told"),
    [
        (Same(), [], [("y", "FP32", [1])], "must contain at least one input, none were specified: write input"),
        (Same(), [("x", "FP32", [1])], [], "must contain at least one output, none were specified: write output"),
        (Difference(), [("x", "FP32", [1])], [("y", "FP32", [1])], "expects 1 inputs (x), model provides 2"),
        (Same(), TWO, [("y", "FP32", [1])], "expects 2 inputs (a, b), model provides 1: forward takes x: a tensor"),
        (Same(), [("x__1", "FP32", [1])], [("y", "FP32", [1])], "name the inputs so, or INPUT__0"),
        (Same(), [("x", "FP32", [1])], TWO, "This model has 1 outputs"),
        (
            Same(),
            [("x", "STRING", [1])],
            [("y", "FP32", [1])],
            "is TYPE_STRING, but the model takes a tensor there",
        ),
        (
            Texts(),
            [("x", "FP32", [1])],
            [("y", "STRING", [1])],
            "takes a list of strings there: expected TYPE_STRING",
        ),
        (Texts(), [("x", "STRING", [1, 2])], [("y", "STRING", [1])], "only a 1 dimensional List of String"),
        (
            Texts(),
            [("x", "STRING", [1])],
            [("y", "STRING", [1, 2])],
            "List of String is supported as output for 'y'",
        ),
        (Power(), [("x", "FP32", [1]), ("exponent", "INT64", [2])], [("y", "FP32", [1])], "it cannot be batched"),
    ],
)
def test_configuration_that_does_not_fit_is_told(serve, repository, config, reason, module, inputs, outputs, told):
    """What the file tells is checked when the model loads, and the reason says what there is."""
    assert told in reason(serve(repository(module, config(inputs, outputs))))


class Lists(torch.nn.Module):
    """Takes what the protocol does not carry."""

    def forward(self, x: list[torch.Tensor]) -> torch.Tensor:
        return x[0]


def test_argument_that_the_protocol_cannot_carry_is_told(serve, repository, config, reason):
    """Lists of tensors have no form in the protocol."""
    told = reason(serve(repository(Lists(), config([("x", "FP32", [1])], [("y", "FP32", [1])]))))
    assert "an input of type 'List[Tensor]' was detected in the model: 'x'" in told


class NormInPlace(torch.nn.Module):
    """Works in place on what it has made itself, as networks for images do."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv1d(1, 2, 1), torch.nn.BatchNorm1d(2), torch.nn.ReLU(inplace=True)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Comparing(torch.nn.Module):
    """Has operators whose names look like those of operators in place, and fills a list."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        parts = [x]
        parts.append(y)
        if x is not y and not bool((x > 0).any()):
            return (x > 0) & (y > 0)
        return parts[0] > parts[1]


class Setting(torch.nn.Module):
    """Sets an attribute at each run."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.last
        self.last = x
        return before


@pytest.mark.parametrize(
    ("module", "state", "writes"),
    [
        (Linear(), State.NONE, False),
        (Overwriting(), State.NONE, True),
        (NormInPlace(), State.NONE, True),
        (Counter(), State.KEPT, True),
        (Setting(), State.KEPT, False),
        (Comparing(), State.NONE, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else "",
)
def test_state_and_writing_are_seen_in_the_code(tmp_path, saved, module, state, writes):
    """Attributes that are set, and operators in place, are found; batch norms count nothing when they serve."""
    saved.script(module, tmp_path / "model.pt")
    program = TorchScript(tmp_path / "model.pt", torch.device("cpu"))
    assert (program.state, program.writes_inputs) == (state, writes)


class Repeating(torch.nn.Module):
    """Goes on as long as the data want."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while bool(x.sum() < 100):
            x = x * 2
        return x


class Forking(torch.nn.Module):
    """Waits for another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.jit.wait(torch.jit.fork(self.inner, x))


@pytest.mark.parametrize(
    ("module", "predictable"),
    [(Linear(), True), (Counter(), True), (Repeating(), False), (Forking(), False)],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else "",
)
def test_time_is_predictable_without_loops_and_forks(tmp_path, saved, module, predictable):
    """Only a loop, or another thread that is waited for, makes a module take longer than its inputs' sizes tell."""
    saved.script(module, tmp_path / "model.pt")
    assert TorchScript(tmp_path / "model.pt", torch.device("cpu")).predictable is predictable


def test_input_that_is_optional_only_in_the_configuration_is_the_callers_to_give(serve, repository, config):
    """Where the program needs what the caller left out, the caller is told, and nothing is called a fault of the server."""
    more = 'input [ { name: "second" data_type: TYPE_FP32 dims: [ 1 ] optional: true } ]'
    handle = serve(repository(Difference(), config([("first", "FP32", [1])], [("y", "FP32", [1])], more))).model("m")
    with pytest.raises(InvalidArgumentError, match="model 'm' cannot do without its input second: give it"):
        handle.infer({"first": [1.0]})


def test_results_of_a_dictionary_that_are_not_there_are_told(serve, repository, config):
    """Only the run tells the keys; then the answer says which there are."""
    handle = serve(
        repository(OverDictionary(), config(TWO, [("x", "FP32", [1]), ("y", "FP32", [1]), ("z", "FP32", [1])]))
    ).model("m")
    with pytest.raises(InvalidArgumentError, match=r"The output z .* This model has 2 outputs: sum, difference"):
        handle.infer({"a": [1.0], "b": [1.0]})


def test_module_of_another_kind_is_no_torchscript(serve, repository, config, reason, saved):
    """An exported program under the name model.pt is served as what it is."""
    text = 'backend: "pytorch"'

    def write(folder):
        saved.export(Scores(), (torch.ones(2, 3),), folder / "as.pt2", named={"scale": torch.ones(2, 1)})
        (folder / "as.pt2").rename(folder / "model.pt")

    server = serve(repository(write, text))
    assert reason(server) == ""
    assert [tensor.name for tensor in server.model_metadata("m").inputs] == ["x", "scale"]
