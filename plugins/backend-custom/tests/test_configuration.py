"""Completing a configuration, in the reference's words, and reading one."""

from __future__ import annotations

import pytest
import triton_python_backend_utils as pb_utils

X = {"name": "X", "data_type": "TYPE_FP32", "dims": [4]}


def config(**parts):
    """A configuration of the model "m"."""
    return pb_utils.ModelConfig({"name": "m", **parts})


def test_what_is_added_is_there():
    """Everything that is said stands in the dictionary, and what was given to the constructor stays as it was."""
    given = {"name": "m", "input": []}
    completed = pb_utils.ModelConfig(given)
    completed.add_input({**X, "optional": True})
    completed.add_output(X)
    completed.set_max_batch_size(8)
    completed.set_dynamic_batching()
    completed.set_model_transaction_policy({"decoupled": True})
    assert completed.as_dict() == {
        "name": "m",
        "input": [{**X, "optional": True}],
        "output": [X],
        "max_batch_size": 8,
        "dynamic_batching": {},
        "model_transaction_policy": {"decoupled": True},
    }
    assert given == {"name": "m", "input": []}


def test_what_is_written_is_completed():
    """A tensor that is written in part gets what is missing; one that agrees stays; a larger batch size is taken."""
    completed = config(
        input=[{"name": "X", "data_type": "TYPE_INVALID", "dims": []}, {**X, "name": "Z"}],
        max_batch_size=4,
        dynamic_batching={"preferred_batch_size": [4]},
        model_transaction_policy={"decoupled": False},
    )
    completed.add_input(X)
    completed.add_input({**X, "name": "Z", "optional": False})
    completed.set_max_batch_size(8)
    completed.set_dynamic_batching()
    completed.set_model_transaction_policy({"decoupled": False})
    assert completed.as_dict()["input"] == [X, {**X, "name": "Z"}]
    assert completed.as_dict()["max_batch_size"] == 8
    assert completed.as_dict()["dynamic_batching"] == {"preferred_batch_size": [4]}


IN = "in auto-complete-config function for model 'm'"


@pytest.mark.parametrize(
    ("method", "argument", "message"),
    [
        ("set_max_batch_size", 8, f"configuration specified max_batch_size 16, but {IN} specified max_batch_size 8"),
        (
            "add_input",
            {**X, "data_type": "TYPE_INT8"},
            "unable to load model 'm', configuration expects datatype TYPE_FP32 for input 'X', model provides TYPE_INT8",
        ),
        (
            "add_output",
            {**X, "data_type": "TYPE_INT8"},
            "unable to load model 'm', configuration expects datatype TYPE_FP32 for output 'X', model provides TYPE_INT8",
        ),
        (
            "add_input",
            {**X, "dims": [2]},
            "model 'm', tensor 'X': the model expects dims [2] but the model configuration specifies dims [4]",
        ),
        (
            "add_input",
            {**X, "optional": True},
            "model 'm', tensor 'X': the model expects optional True but the model configuration specifies optional False",
        ),
        (
            "add_input",
            {**X, "shape": [1]},
            f"input 'X' {IN} contains property other than 'name', 'data_type', 'dims' and 'optional'.",
        ),
        (
            "add_output",
            {**X, "optional": True},
            f"output 'X' {IN} contains property other than 'name', 'data_type' and 'dims'.",
        ),
        ("add_input", {"data_type": "TYPE_FP32", "dims": [1]}, f"input {IN} is missing 'name' property."),
        ("add_output", {"name": "Y", "dims": [1]}, f"output 'Y' {IN} is missing 'data_type' property."),
        ("add_output", {"name": "Y", "data_type": "TYPE_FP32"}, f"output 'Y' {IN} is missing 'dims' property."),
        (
            "set_model_transaction_policy",
            {"decoupled": True, "x": 1},
            f"model transaction property {IN} contains property other than 'decoupled'.",
        ),
        (
            "set_model_transaction_policy",
            {"decoupled": False},
            "trying to change decoupled property in auto-complete-config for model 'm', which is already set to 'True'.",
        ),
    ],
)
def test_what_contradicts_the_configuration(method, argument, message):
    """Each contradiction is a ValueError in the reference's words."""
    written = config(input=[X], output=[X], max_batch_size=16, model_transaction_policy={"decoupled": True})
    with pytest.raises(ValueError, match="m") as told:
        getattr(written, method)(argument)
    assert str(told.value) == message


@pytest.mark.parametrize("choice", ["sequence_batching", "ensemble_scheduling"])
def test_another_scheduler_is_configured(choice):
    """A model does not ask for dynamic batching where the configuration has another scheduler."""
    with pytest.raises(ValueError, match="scheduling_choice") as told:
        config(**{choice: {}}).set_dynamic_batching()
    assert str(told.value) == (
        f"Configuration specified scheduling_choice as '{choice}', but auto-complete-config function for model 'm' tries to "
        "set scheduling_choice as 'dynamic_batching'"
    )


def test_reading_a_configuration():
    """Tensors are found by name; a policy that is not there means one response."""
    written = {"input": [X], "output": [{**X, "name": "Y"}]}
    assert pb_utils.get_input_config_by_name(written, "X") == X
    assert pb_utils.get_input_config_by_name(written, "Y") is None
    assert pb_utils.get_output_config_by_name(written, "Y")["name"] == "Y"
    assert pb_utils.get_output_config_by_name({}, "Y") is None
    assert not pb_utils.using_decoupled_model_transaction_policy(written)
    assert pb_utils.using_decoupled_model_transaction_policy({"model_transaction_policy": {"decoupled": True}})
