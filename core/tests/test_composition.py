"""The one look at an ensemble: at its graph by itself, and at the models of its steps; worded as in the reference."""

import itertools

import pytest
from charonia.composition import CompositionError, compose
from charonia.errors import ConfigError, NotFoundError
from looked_at import ADD, CHAIN, ensemble, inc, look, of_graph, of_steps

MIXED = "in ensemble e, step of model '{}' receives inputs originated from different decoupled models"


def test_sound_graph_has_no_problems():
    """Steps may stand in any order, and a tensor may have several readers."""
    assert not of_graph(
        ("add", {"A": "p", "B": "q"}, {"S": "O"}),
        ("inc", {"X": "I"}, {"Y": "p"}),
        ("inc", {"X": "I"}, {"Y": "q"}),
    )


@pytest.mark.parametrize(
    ("steps", "told", "field"),
    [
        (
            [("inc", {"X": "I"}, {"Y": "O"}), ("inc", {"X": "I"}, {"Y": "O"})],
            "ensemble tensor 'O' can appear in an output map only once for ensemble 'e' step 1",
            'ensemble_scheduling.step[1].output_map["Y"]',
        ),
        (
            [("two", {"X": "I"}, {"Y": "O", "Z": "more"})],
            "ensemble tensor 'more' is unused in ensemble 'e'",
            'ensemble_scheduling.step[0].output_map["Z"]',
        ),
        (
            [("add", {"A": "I", "B": "lost"}, {"S": "O"})],
            "output 'O' for ensemble 'e' is not written: at least one of its depending tensors, 'lost', is not connected",
            'ensemble_scheduling.step[0].input_map["B"]',
        ),
        (
            [("two", {"X": "I"}, {"Y": "O", "Z": "I"})],
            "ensemble tensor 'I' is an input of ensemble 'e', so that no step can write it",
            'ensemble_scheduling.step[0].output_map["Z"]',
        ),
    ],
)
def test_unsound_graph(steps, told, field):
    """What does not connect is told with the step where it stands."""
    (problem,) = of_graph(*steps)
    assert (problem.text, problem.field) == (told, field)
    assert problem.line


def test_output_that_no_step_writes():
    """An output of the ensemble that is in no output map is told at the output."""
    (problem,) = of_graph(("inc", {"X": "I"}, {"Y": "O"}), outputs=("O", "P"))
    assert problem.field == "output[1]"
    assert "its depending tensors, 'P', is not connected" in problem.text


def test_steps_that_wait_for_each_other():
    """A circle of steps is told with all of its steps."""
    (problem,) = of_graph(
        ("add", {"A": "I", "B": "n"}, {"S": "m"}), ("inc", {"X": "m"}, {"Y": "n"}), ("inc", {"X": "n"}, {"Y": "O"})
    )
    assert problem.text.startswith("output 'O' for ensemble 'e' is not written")
    assert problem.hint == "these wait for each other: step 1 (model 'inc'), step 0 (model 'add')"


def test_steps_beside_the_way_to_the_outputs():
    """Steps that nothing needs and that wait for each other could never begin, and are told."""
    (problem,) = of_graph(
        ("inc", {"X": "I"}, {"Y": "O"}), ("inc", {"X": "a"}, {"Y": "b"}), ("inc", {"X": "b"}, {"Y": "a"})
    )
    assert problem.text == "ensemble tensor 'b' is never written in ensemble 'e'"
    assert problem.field == 'ensemble_scheduling.step[2].input_map["X"]'
    assert "these wait for each other: step 1 (model 'inc'), step 2 (model 'inc')" in str(problem)


DEEP = 2000


def test_long_chain():
    """A graph may be as deep as one likes; what is wrong at its far end is found."""
    tensors = ["I", *(f"t{number}" for number in range(1, DEEP)), "O"]
    steps = [("inc", {"X": source}, {"Y": target}) for source, target in itertools.pairwise(tensors)]
    assert not of_steps(ensemble(*reversed(steps)), inc())
    (problem,) = of_graph(("inc", {"X": "nothing"}, {"Y": "t1"}), *steps[1:], inputs=())
    assert "'nothing', is not connected" in problem.text
    circle = of_graph(("add", {"A": "I", "B": f"t{DEEP - 1}"}, {"S": "t1"}), *steps[1:])
    assert f"step {DEEP - 2} (model 'inc')" in str(circle[0])


def test_wide_graph():
    """So may a graph be wide."""
    outputs = [f"o{number}" for number in range(DEEP)]
    steps = [("inc", {"X": "I"}, {"Y": output}) for output in outputs]
    assert not of_steps(ensemble(*steps, outputs=outputs), inc())


def test_input_that_no_step_reads():
    """An input of the ensemble that is in no input map is told, with the reference's stray quote."""
    (problem,) = of_graph(("inc", {"X": "I"}, {"Y": "O"}), inputs=("I", "J"))
    assert (problem.text, problem.field) == ("ensemble input 'J' for ensemble e' is not used", "input[1]")


def test_all_is_told_at_once():
    """One look at the configuration finds every problem of the graph."""
    problems = of_graph(("two", {"X": "I"}, {"Y": "O", "Z": "more"}), inputs=("I", "J"), outputs=("O", "P"))
    assert [problem.field for problem in problems] == [
        "input[1]",
        "output[1]",
        'ensemble_scheduling.step[0].output_map["Z"]',
    ]


def test_every_tensor_that_nothing_writes_is_told():
    """A step that lacks two tensors is told twice, and so is a step beside the way to the outputs."""
    problems = of_graph(
        ("add", {"A": "lost", "B": "gone"}, {"S": "O"}),
        ("inc", {"X": "away"}, {"Y": "P"}),
        inputs=(),
        outputs=("O", "P"),
    )
    assert [(problem.field, problem.hint) for problem in problems] == [
        (
            'ensemble_scheduling.step[0].input_map["A"]',
            "step 0 (model 'add') reads it, but no step writes it, nor is it an input",
        ),
        (
            'ensemble_scheduling.step[0].input_map["B"]',
            "step 0 (model 'add') reads it, but no step writes it, nor is it an input",
        ),
        (
            'ensemble_scheduling.step[1].input_map["X"]',
            "step 1 (model 'inc') reads it, but no step writes it, nor is it an input",
        ),
    ]
    assert problems[1].text == "ensemble tensor 'gone' is never written in ensemble 'e'"


def test_circles_are_told_beside_what_else_is_wrong():
    """Two circles and an output that nothing writes are three problems, each told once."""
    problems = of_graph(
        ("inc", {"X": "a"}, {"Y": "b"}),
        ("inc", {"X": "b"}, {"Y": "a"}),
        ("add", {"A": "I", "B": "c"}, {"S": "c"}),
        outputs=("O",),
    )
    assert [(problem.field, problem.hint) for problem in problems] == [
        ("output[0]", "it is an output, but no step writes it, nor is it an input"),
        (
            'ensemble_scheduling.step[1].input_map["X"]',
            "these wait for each other: step 0 (model 'inc'), step 1 (model 'inc')",
        ),
        ('ensemble_scheduling.step[2].input_map["B"]', "these wait for each other: step 2 (model 'add')"),
    ]


def test_graph_and_models_are_looked_at_together():
    """A graph with a circle, a dangling name and an unused input does not keep the rest from being told, in the order of the file."""
    parsed = ensemble(
        ("ghost", {"X": "lost"}, {"Y": "m"}),
        ("inc", {"X": "m"}, {"YNOPE": "n"}),
        ("add", {"A": "n", "B": "c"}, {"S": "c"}),
        ("odd", {"X": "n"}, {"Y": "O"}),
        inputs=("I", "J"),
    )
    models = [inc(), inc("add", **ADD), inc("odd", outputs=[("Y", "INT32", [3])])]
    problems = look(parsed, *models, ghost=NotFoundError("there is none"))
    places = "ensemble_scheduling.step"
    assert [(problem.field, problem.text.removeprefix("in ensemble e, ")) for problem in problems] == [
        ("input[0]", "ensemble input 'I' for ensemble e' is not used"),
        ("input[1]", "ensemble input 'J' for ensemble e' is not used"),
        (f"{places}[0].model_name", "ensemble 'e' depends on 'ghost' which has no loaded version. there is none"),
        (
            f'{places}[0].input_map["X"]',
            "output 'O' for ensemble 'e' is not written: at least one of its depending tensors, 'lost', is not connected",
        ),
        (f'{places}[1].output_map["YNOPE"]', "ensemble tensor n is mapped from non-existing output YNOPE in model inc"),
        (f'{places}[2].input_map["B"]', "ensemble tensor 'c' is never written in ensemble 'e'"),
        (
            f'{places}[3].output_map["Y"]',
            "ensemble tensor O: inconsistent data type: TYPE_FP32 is inferred from model e while TYPE_INT32 is inferred from model odd",
        ),
        (
            f'{places}[3].output_map["Y"]',
            "ensemble tensor O: inconsistent shape: [2] is inferred from model e while [3] is inferred from model odd",
        ),
    ]


def test_whose_fault_it_is():
    """An ensemble whose graph is unsound is wrong by itself; one with a sound graph does not go with its models."""
    parsed = ensemble(("inc", {"X": "I"}, {"Y": "O"}), inputs=("I", "J"))
    with pytest.raises(ConfigError, match=r'model "e" \(config\.pbtxt:3\): ensemble input'):
        compose(parsed, lambda _name, _version: inc(max_batch_size=0))
    with pytest.raises(CompositionError, match="load failed for model 'e': in ensemble e, input Z in model inc is not"):
        compose(ensemble(*CHAIN), lambda _name, _version: inc(inputs=[("X", "FP32", [2]), ("Z", "FP32", [2])]))


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([], [("ensemble_scheduling", "must specify 'step' for ensemble 'e'")]),
        (
            [("", {"X": "I"}, {"Y": "O"})],
            [("ensemble_scheduling.step[0]", "must specify 'model_name' in step 0 of ensemble 'e'")],
        ),
        (
            [("inc", {"X": "I"}, {"Y": "O"}), ("inc", {}, {"Y": "P"})],
            [
                ("ensemble_scheduling.step[1]", "must specify 'input_map' in step 1 of ensemble 'e'"),
                ('ensemble_scheduling.step[1].output_map["Y"]', "ensemble tensor 'P' is unused in ensemble 'e'"),
            ],
        ),
        (
            [("inc", {"X": "I"}, {"Y": "O"}), ("inc", {"X": "I"}, {})],
            [("ensemble_scheduling.step[1]", "must specify 'output_map' in step 1 of ensemble 'e'")],
        ),
    ],
)
def test_steps_that_lack_something(steps, told):
    """A step needs a model and both of its maps; the rest of the graph is looked at all the same."""
    assert [(problem.field, problem.text) for problem in of_graph(*steps)] == told


def test_inputs_of_different_numbers():
    """A step cannot combine the responses of a decoupled model with what comes once for a request."""
    parsed = ensemble(("dec", {"X": "I"}, {"Y": "d"}), ("add", {"A": "d", "B": "I"}, {"S": "O"}))
    told = of_steps(parsed, inc("dec", decoupled=True), inc("add", **ADD))
    assert told == [(MIXED.format("add"), "ensemble_scheduling.step[1].input_map")]


def test_outputs_of_different_numbers():
    """Nor can a response."""
    parsed = ensemble(("dec", {"X": "I"}, {"Y": "O"}), ("inc", {"X": "I"}, {"Y": "P"}), outputs=("O", "P"))
    assert of_steps(parsed, inc("dec", decoupled=True), inc()) == [(MIXED.format("e"), "output")]


def test_responses_of_one_decoupled_model_meet_again():
    """What comes from one decoupled step on different ways may be combined."""
    parsed = ensemble(
        ("dec", {"X": "I"}, {"Y": "d"}),
        ("inc", {"X": "d"}, {"Y": "p"}),
        ("add", {"A": "d", "B": "p"}, {"S": "O"}),
    )
    assert not of_steps(parsed, inc("dec", decoupled=True), inc(), inc("add", **ADD))


def test_origins_are_compared_as_far_as_they_are_known():
    """What follows from a step of which nothing is known, or that can never begin, is not compared; what is known, is."""
    parsed = ensemble(
        ("dec", {"X": "I"}, {"Y": "d"}),
        ("unknown", {"X": "d"}, {"Y": "u"}),
        ("add", {"A": "d", "B": "u"}, {"S": "O"}),
        ("add", {"A": "d", "B": "I"}, {"S": "P"}),
        ("add", {"A": "u", "B": "never"}, {"S": "Q"}),
        outputs=("O", "P", "Q"),
    )
    told = of_steps(parsed, inc("dec", decoupled=True), inc("add", **ADD))
    assert [field for text, field in told if text == MIXED.format("add")] == ["ensemble_scheduling.step[3].input_map"]
