"""The look at an ensemble with the models of its steps: names, datatypes and shapes that fit, and those that are missing."""

import pytest
from charonia.composition import CircleError, CompositionError
from charonia.config import composing_models
from charonia.errors import ConfigProblem, InternalError, InvalidArgumentError, NotFoundError
from looked_at import ADD, CHAIN, ensemble, inc, look, of_steps


def test_models_of_the_steps():
    """Of a step's model, -1 is the latest version, and no version is version 0, as in the reference."""
    parsed = ensemble(*CHAIN, ("b", {"X": "I"}, {"Y": "P"}), outputs=("O", "P"))
    parsed.config.ensemble_scheduling.step[2].ClearField("model_version")
    assert composing_models(parsed.config) == [("inc", None), ("inc", None), ("b", 0)]
    assert composing_models(inc()) == []


def test_fitting_models_have_no_problems():
    """Models with the same datatypes and shapes fit."""
    assert not of_steps(ensemble(*CHAIN), inc())


def test_names_that_the_model_does_not_have():
    """Wrong names in both maps, and the input that is therefore not mapped, are told together."""
    assert of_steps(ensemble(("inc", {"NOPE": "I"}, {"YNOPE": "O"})), inc()) == [
        (
            "in ensemble e, ensemble tensor I is mapping to non-existing input NOPE in model inc",
            'ensemble_scheduling.step[0].input_map["NOPE"]',
        ),
        (
            "in ensemble e, input X in model inc is not mapped to any ensemble tensors",
            "ensemble_scheduling.step[0].input_map",
        ),
        (
            "in ensemble e, ensemble tensor O is mapped from non-existing output YNOPE in model inc",
            'ensemble_scheduling.step[0].output_map["YNOPE"]',
        ),
    ]


def test_optional_input_may_stay_unmapped():
    """Only inputs that the model must have need a tensor."""
    model = inc(inputs=[("X", "FP32", [2]), ("W", "FP32", [2])])
    model.input[1].optional = True
    assert not of_steps(ensemble(("inc", {"X": "I"}, {"Y": "O"})), model)


def test_datatypes_and_shapes_that_differ():
    """Two models that see a tensor differently are both named, and each difference is told."""
    told = of_steps(
        ensemble(("inc", {"X": "I"}, {"Y": "m"}), ("more", {"X": "m"}, {"Y": "O"})),
        inc(outputs=[("Y", "INT32", [2])]),
        inc("more", outputs=[("Y", "FP32", [3])]),
    )
    assert told == [
        (
            (
                "in ensemble e, ensemble tensor m: inconsistent data type: TYPE_INT32 is inferred from model inc while TYPE_FP32 "
                "is inferred from model more"
            ),
            'ensemble_scheduling.step[1].input_map["X"]',
        ),
        (
            (
                "in ensemble e, ensemble tensor O: inconsistent shape: [2] is inferred from model e while [3] is inferred from "
                "model more"
            ),
            'ensemble_scheduling.step[1].output_map["Y"]',
        ),
    ]


def test_every_problem_with_a_model_names_its_step():
    """Whatever does not fit a step's model, the sentence says which step it is; datatype and shape are told both."""
    parsed = ensemble(
        ("inc", {"NOPE": "I"}, {"Y": "m"}),
        ("dec", {"X": "m"}, {"Y": "d"}),
        ("add", {"A": "d", "B": "I"}, {"S": "O"}),
    )
    models = [inc(), inc("dec", inputs=[("X", "INT32", [3])], decoupled=True), inc("add", **ADD)]
    assert [str(problem).partition("(")[2] for problem in look(parsed, *models)] == [
        "see step 0 (model 'inc'); its inputs are: X)",
        "see step 0 (model 'inc'))",
        "see step 1 (model 'dec'))",
        "see step 1 (model 'dec'))",
        "found 'd' from step 1 (model 'dec'); 'I' from the request; see step 2 (model 'add'))",
    ]


@pytest.mark.parametrize(
    ("batch", "dims", "model_batch", "model_dims", "fits"),
    [
        (8, [2], 8, [2], True),
        (8, [2], 8, [-1], True),
        (8, [2], 0, [-1, 2], True),  # the whole shapes agree
        (0, [2], 4, [2], True),  # a batch dimension is put in front
        (0, [-1, 2], 4, [2], True),
        (8, [2], 8, [3], False),
        (8, [2], 0, [2, 2, 2], False),
        (0, [2, 2, 2], 4, [2], False),
    ],
)
def test_shapes_with_and_without_batch(batch, dims, model_batch, model_dims, fits):
    """Shapes agree with or without the batch dimension; -1 agrees with any size."""
    parsed = ensemble(("inc", {"X": "I"}, {"Y": "O"}), max_batch_size=batch, dims=dims)
    tensors = {"inputs": [("X", "FP32", model_dims)], "outputs": [("Y", "FP32", model_dims)]}
    assert of_steps(parsed, inc(max_batch_size=model_batch, **tensors)) == [] or not fits
    assert bool(of_steps(parsed, inc(max_batch_size=model_batch, **tensors))) is not fits


def test_larger_batches_than_a_model_takes():
    """An ensemble may not promise larger batches than each of its batching models takes."""
    parsed = ensemble(("inc", {"X": "I"}, {"Y": "O"}), max_batch_size=8)
    assert of_steps(parsed, inc(max_batch_size=4)) == [
        (
            "ensemble e allows maximum batch size 8, but it contains model inc which only allows maximum batch size to be 4",
            "ensemble_scheduling.step[0].model_name",
        )
    ]


def test_unknown_model_is_passed_over():
    """Nothing is said about a step of whose model nothing is known, but about the others."""
    parsed = ensemble(("unknown", {"X": "I"}, {"Y": "m"}), ("inc", {"NOPE": "m"}, {"Y": "O"}))
    assert [problem.field for problem in look(parsed, inc())] == [
        'ensemble_scheduling.step[1].input_map["NOPE"]',
        "ensemble_scheduling.step[1].input_map",
    ]


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (
            InternalError("it is in A and in B"),
            "ensemble e contains models that are not available or ambiguous: m (it is in A and in B)",
        ),
        (CircleError("e", "m"), "circular dependency between ensembles: e -> ... -> m -> e"),
        (
            CompositionError("m", [ConfigProblem("this does not fit")]),
            "ensemble 'e' depends on 'm' which is not valid. Model 'm' failed with error: this does not fit",
        ),
        (
            InvalidArgumentError("load failed for model 'm': broken"),
            "ensemble 'e' depends on 'm' which has no loaded version. Model 'm' loading failed with error: broken",
        ),
        (NotFoundError("it is gone"), "ensemble 'e' depends on 'm' which has no loaded version. it is gone"),
    ],
)
def test_missing_model_is_told_once_with_all_of_its_steps(why, told):
    """Why a model is missing is told as in the reference, and which steps need it."""
    parsed = ensemble(("m", {"X": "I"}, {"Y": "n"}), ("inc", {"X": "n"}, {"Y": "o"}), ("m", {"X": "o"}, {"Y": "O"}))
    (problem,) = look(parsed, inc(), m=why)
    assert (problem.text, problem.field) == (told, "ensemble_scheduling.step[0].model_name")
    assert problem.hint == "see step 0 (model 'm'), step 2 (model 'm')"
