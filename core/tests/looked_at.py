"""Ensembles and their models as text, and what the one look at them tells."""

from charonia.composition import CompositionError, compose
from charonia.config import parse_config
from charonia.errors import ConfigError
from charonia.testing.builders import model_config

ADD = {"inputs": [("A", "FP32", [2]), ("B", "FP32", [2])], "outputs": [("S", "FP32", [2])]}
CHAIN = (("inc", {"X": "I"}, {"Y": "m"}), ("inc", {"X": "m"}, {"Y": "O"}))


def ensemble(*steps, inputs=("I",), outputs=("O",), max_batch_size=0, dims=(2,)):
    """Write the ensemble "e"; each step as (model, input map, output map)."""
    text = f"name: 'e' platform: 'ensemble' max_batch_size: {max_batch_size}\n"
    for kind, names in (("input", inputs), ("output", outputs)):
        for name in names:
            text += f"{kind} {{ name: '{name}' data_type: TYPE_FP32 dims: {list(dims)} }}\n"
    text += "ensemble_scheduling {\n"
    for model, read, written in steps:
        text += f"step {{ model_name: '{model}' model_version: -1\n"
        for part, names in (("input_map", read), ("output_map", written)):
            text += "".join(f"{part} {{ key: '{key}' value: '{value}' }}\n" for key, value in names.items())
        text += "}\n"
    return parse_config(text + "}", model="e", file="config.pbtxt", environment={})


def inc(name="inc", **differences):
    """Describe a model with an input X and an output Y, both FP32 of two elements."""
    described = {"inputs": [("X", "FP32", [2])], "outputs": [("Y", "FP32", [2])], "max_batch_size": 0, **differences}
    return model_config(name, **described)


def look(parsed, *models, **absent):
    """List all that is wrong with an ensemble; of its models, those given are known, and of those absent why they are."""
    known = {model.name: model for model in models}

    def find(name, version):
        assert version in {None, 0}
        if name in absent:
            raise absent[name]
        return known.get(name)

    try:
        compose(parsed, find)
    except (ConfigError, CompositionError) as error:
        return error.problems
    return []


def of_graph(*steps, **differences):
    """List the problems of an ensemble of whose models nothing is known."""
    return look(ensemble(*steps, **differences))


def of_steps(parsed, *models):
    """List the problems of an ensemble with its models: the texts, and the fields."""
    return [(problem.text, problem.field) for problem in look(parsed, *models)]
