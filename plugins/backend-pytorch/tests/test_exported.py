"""Exported programs: completion from what they know, checks, names and trees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from charonia.errors import InvalidArgumentError
from torch.export import Dim
from torch_modules import HalfAndRow, Linear, Overwriting, Same, Scores

BARE = 'backend: "pytorch"'


@pytest.fixture
def scores(saved):
    """Write a program with a named argument and a dictionary of results, for batches of up to 16."""

    def write(folder):
        batch = Dim("batch", max=16)
        saved.export(
            Scores(),
            (torch.ones(2, 3),),
            folder / "model.pt2",
            named={"scale": torch.ones(2, 1)},
            dynamic={"x": {0: batch}, "scale": {0: batch}},
        )

    return write


def test_nothing_needs_to_be_written(serve, repository, scores):
    """The program alone is a model: names, datatypes, shapes and batching are its own."""
    server = serve(repository(scores))
    config = server.model_config("m")
    assert (config.backend, config.platform, config.max_batch_size) == ("pytorch", "torch_aoti", 4)
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("x", [3]), ("scale", [1])]
    assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [("scores", [2]), ("sums", [1])]
    answer = server.model("m").infer({"x": np.ones((2, 3), np.float32), "scale": np.zeros((2, 1), np.float32)})
    assert answer["scores"].tolist() == [[0, 0], [0, 0]]
    assert answer["sums"].tolist() == [[3], [3]]


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["INPUT__0", "INPUT__1"], ["OUTPUT__0", "OUTPUT__1"]),
        (["ARGS[0]", "KWARGS[scale]"], ["RESULT[scores]", "RESULT[sums]"]),
        (["a", "b"], ["c", "d"]),
    ],
    ids=["numbers", "paths", "order"],
)
def test_other_names_lead_to_the_same_places(serve, repository, config, scores, inputs, outputs):
    """The reference's conventions work for exported programs as well."""
    text = config(
        list(zip(inputs, ["FP32", "FP32"], [[3], [1]], strict=True)),
        list(zip(outputs, ["FP32", "FP32"], [[2], [1]], strict=True)),
        batch=4,
    ).replace(
        f'name: "{outputs[1]}" data_type: TYPE_FP32 dims: [1]',
        f'name: "{outputs[1]}" data_type: TYPE_FP32 dims: [1] reshape {{ }}',
    )
    handle = serve(repository(scores, text)).model("m")
    answer = handle.infer(dict(zip(inputs, [np.ones((1, 3), np.float32), np.ones((1, 1), np.float32)], strict=True)))
    assert answer[outputs[0]].shape == (1, 2)
    assert answer[outputs[1]].tolist() == [[3]]


@pytest.mark.parametrize(
    "datatype", [torch.bool, torch.uint8, torch.int16, torch.float16, torch.bfloat16, torch.float64]
)
def test_datatypes_are_completed(serve, repository, saved, datatype):
    """The program tells its datatypes, bfloat16 among them."""
    folder = repository(lambda folder: saved.export(Same(), (torch.ones(2, dtype=datatype),), folder / "model.pt2"))
    server = serve(folder)
    spec = server.get("m").signature.inputs["x"]
    sent = np.array([1, 0], spec.datatype.dtype)
    received = server.model("m").infer({"x": sent})["OUTPUT__0"]
    assert (received.dtype, received.tolist()) == (sent.dtype, sent.tolist())


def test_fixed_shapes_do_not_batch(serve, repository, saved):
    """Where the first dimension is fixed, so is the model's shape."""
    server = serve(repository(lambda folder: saved.export(Linear(), (torch.ones(1, 3),), folder / "model.pt2")))
    config = server.model_config("m")
    assert (config.max_batch_size, list(config.input[0].dims), list(config.output[0].dims)) == (0, [1, 3], [1, 2])


def test_limit_of_the_batch_is_kept(serve, repository, scores, reason, saved):
    """The greatest batch that was exported bounds the one that is served."""
    folder = repository(scores, f"{BARE} max_batch_size: 17", name="greater")

    def small(directory):
        shape = {"x": {0: Dim("batch", max=2)}}
        saved.export(Linear(), (torch.ones(2, 3),), directory / "model.pt2", dynamic=shape)

    server = serve(repository(small, name="small") and folder)
    assert "was exported for batches of 16 at the most, but max_batch_size is 17" in reason(server, "greater")
    assert server.model_config("small").max_batch_size == 2


class Nested(torch.nn.Module):
    """Takes and gives tensors that are inside of others."""

    def forward(self, pair: dict[str, torch.Tensor], shift: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return pair["a"] + shift, [pair["b"] - shift, shift]


def test_tensors_inside_of_others_have_places_of_their_own(serve, repository, saved):
    """The leaves of the call are inputs, and those of the result outputs."""
    inputs = ({"a": torch.ones(1), "b": torch.ones(1)}, torch.ones(1))
    server = serve(repository(lambda folder: saved.export(Nested(), inputs, folder / "model.pt2")))
    assert [tensor.name for tensor in server.model_metadata("m").inputs] == ["pair_a", "pair_b", "shift"]
    answer = server.model("m").infer({"pair_a": [5.0], "pair_b": [7.0], "shift": [2.0]})
    assert [answer[f"OUTPUT__{index}"].tolist() for index in range(3)] == [[7], [5], [2]]


class Keyed(torch.nn.Module):
    """Takes one dictionary."""

    def forward(self, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        return tensors["a"] - tensors["b"]


def test_keys_of_a_lone_dictionary_are_the_names(serve, repository, saved):
    """As for TorchScript, the keys of the one argument are inputs."""
    inputs = ({"a": torch.ones(1), "b": torch.ones(1)},)
    server = serve(repository(lambda folder: saved.export(Keyed(), inputs, folder / "model.pt2")))
    assert server.model("m").infer({"a": [5.0], "b": [1.0]})["OUTPUT__0"].tolist() == [4]


class Scaled(torch.nn.Module):
    """Has a number that becomes part of the program."""

    def forward(self, x: torch.Tensor, factor: int) -> torch.Tensor:
        return x * factor


def test_constant_argument_is_part_of_the_program(serve, repository, saved):
    """A number that was given when the program was exported is no input."""
    server = serve(repository(lambda folder: saved.export(Scaled(), (torch.ones(2), 3), folder / "model.pt2")))
    assert [tensor.name for tensor in server.model_metadata("m").inputs] == ["x"]
    assert server.model("m").infer({"x": [1.0, 2.0]})["OUTPUT__0"].tolist() == [3, 6]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'input [ { name: "x" data_type: TYPE_FP64 dims: [ 3 ] } ]',
            "TYPE_FP64 for input 'x', model provides TYPE_FP32",
        ),
        ('input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]', "the model expects shape [-1, 3]"),
        ('output [ { name: "OUTPUT__7" data_type: TYPE_FP32 dims: [ 2 ] } ]', "This model has 1 outputs: OUTPUT__0"),
        ('output [ { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 5 ] } ]', "write dims: [2] for this output"),
    ],
)
def test_configuration_that_contradicts_the_program_is_told(serve, repository, saved, reason, text, told):
    """Datatypes and shapes are checked when the model loads."""
    shape = {"x": {0: Dim("batch")}}
    folder = repository(
        lambda folder: saved.export(Linear(), (torch.ones(2, 3),), folder / "model.pt2", dynamic=shape),
        f"{BARE} max_batch_size: 4 {text}",
    )
    assert told in reason(serve(folder))


def test_shape_that_a_guard_refuses_is_the_callers_mistake(serve, repository, saved, config):
    """A dimension that the configuration leaves open and the program does not is INVALID_ARG."""
    text = config([("x", "FP32", [-1, -1])], [("OUTPUT__0", "FP32", [-1, 2])])
    shape = {"x": {0: Dim("batch")}}
    folder = repository(
        lambda folder: saved.export(Linear(), (torch.ones(2, 3),), folder / "model.pt2", dynamic=shape), text
    )
    with pytest.raises(InvalidArgumentError, match=r"^PyTorch execute failure: Guard failed: x.size\(\)\[1\] == 3"):
        serve(folder).model("m").infer({"x": np.ones((1, 5), np.float32)})


def test_results_without_names_are_numbered(serve, repository, saved):
    """A tuple of results is OUTPUT__0, OUTPUT__1 and so on."""
    inputs = (torch.ones(2), torch.tensor([0, 1]))
    server = serve(repository(lambda folder: saved.export(HalfAndRow(), inputs, folder / "model.pt2")))
    assert [tensor.name for tensor in server.model_metadata("m").outputs] == ["OUTPUT__0", "OUTPUT__1"]


class Complex(torch.nn.Module):
    """Gives what the protocol cannot carry."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft(x)


def test_datatype_that_the_protocol_lacks_is_told(serve, repository, saved, reason):
    """Complex numbers are refused when the model loads."""
    folder = repository(lambda folder: saved.export(Complex(), (torch.ones(4),), folder / "model.pt2"))
    assert "output 'OUTPUT__0' of the exported program is torch.complex64" in reason(serve(folder))


def test_build_without_exported_programs_is_told(serve, repository, saved, reason, monkeypatch):
    """Where PyTorch has no torch.export.load, the reason says so and what to do."""
    folder = repository(lambda folder: saved.export(Same(), (torch.ones(2),), folder / "model.pt2"))
    monkeypatch.delattr(torch.export, "load")
    assert "has no torch.export.load, and so no exported programs: save the model as TorchScript" in reason(
        serve(folder)
    )


def test_programs_load_side_by_side(serve, repository, scores):
    """Several models that start together do not disturb each other, though PyTorch reads one program at a time."""
    folder = None
    for index in range(6):
        folder = repository(scores, name=f"m{index}")
    server = serve(folder, model_load_thread_count=4)
    assert all(server.model(f"m{index}").ready for index in range(6))


def test_kind_model_leaves_the_program_where_it_was_exported(serve, repository, saved):
    """A program that was exported on the CPU runs there."""
    more = f"{BARE} instance_group [ {{ kind: KIND_MODEL }} ]"
    server = serve(repository(lambda folder: saved.export(Same(), (torch.ones(2),), folder / "model.pt2"), more))
    assert server.model("m").infer({"x": [1.0, 2.0]})["OUTPUT__0"].tolist() == [1, 2]


class Remembering(torch.nn.Module):
    """Adds up what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x)
        return self.total.clone()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of PyTorch, while it decomposes
@pytest.mark.parametrize("decomposed", [False, True])
def test_program_that_keeps_state_is_not_shared(serve, repository, decomposed):
    """A buffer that a program changes is seen in its operators or its signature: each instance has one of its own."""

    def write(folder):
        program = torch.export.export(Remembering(), (torch.ones(2),))
        torch.export.save(program.run_decompositions() if decomposed else program, folder / "model.pt2")

    server = serve(repository(write, f"{BARE} instance_group [ {{ kind: KIND_CPU count: 2 }} ]"))
    programs = {id(instance._execution._program) for instance in server.get("m")._instances._members}
    assert len(programs) == 2


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of PyTorch, while it decomposes
@pytest.mark.parametrize("decomposed", [False, True])
def test_program_that_writes_to_its_input_does_not_write_to_the_callers(serve, repository, decomposed):
    """The caller's array is as it was, although the program overwrites what it gets."""

    def write(folder):
        program = torch.export.export(Overwriting(), (torch.ones(2),))
        torch.export.save(program.run_decompositions() if decomposed else program, folder / "model.pt2")

    mine = np.array([1, 2], np.float32)
    assert serve(repository(write)).model("m").infer({"x": mine})["OUTPUT__0"].tolist() == [2, 4]
    assert mine.tolist() == [1, 2]
