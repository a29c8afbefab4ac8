"""TensorFlow's threads, of which a process has one set: in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOAD = """
import logging, sys
logging.basicConfig(format="%(message)s", stream=sys.stdout)
from charonia import Server, ServerOptions

with Server(sys.argv[1], options=ServerOptions(model_control_mode="explicit")) as server:
    for name in sys.argv[2:]:
        server.load(name)
        print(name, server.model(name).infer({"X": [[1.0, 2.0, 3.0]]})["Y"].tolist())
"""


@pytest.fixture
def load(repository, models, full_config):
    """Write models with parameters, load one after the other in a new process, and give what it says."""
    saved = models.identity()

    def run(*wishes):
        names = []
        for index, parameters in enumerate(wishes):
            names.append(f"m{index}")
            texts = [
                f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
                for key, value in parameters.items()
            ]
            folder = repository(saved, full_config(" ".join(texts)), name=names[-1])
        command = [sys.executable, "-W", "error", "-c", LOAD, folder, *names]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        assert [line for line in lines if line.startswith("m")] == [f"{name} [[1.0, 2.0, 3.0]]" for name in names]
        return [line for line in lines if not line.startswith("m")]

    return run


def test_models_of_one_mind_get_what_they_ask(load):
    """Sizes that all models agree on, or have for themselves, raise no word, and neither does anything else of TensorFlow."""
    wish = {"TF_NUM_INTRA_THREADS": "1", "TF_NUM_INTER_THREADS": "2"}
    assert load(wish, wish, {}, {"TF_NUM_INTER_THREADS": "5", "TF_USE_PER_SESSION_THREADS": "1"}) == []


def test_model_that_comes_too_late_is_told(load):
    """The process's pools keep the size that they were made with."""
    told = load({}, {"TF_NUM_INTRA_THREADS": "3", "TF_NUM_INTER_THREADS": "2"})
    made = "but TensorFlow's pool of this process was made for a thread for each core: set it in all models"
    assert told == [
        f"TF_NUM_INTRA_THREADS is 3, {made}",
        f"TF_NUM_INTER_THREADS is 2, {made}, or set TF_USE_PER_SESSION_THREADS",
    ]


def test_one_thread_is_the_models_own_choice(load):
    """A model that wants no operators side by side gets that, whatever the pool of the process is."""
    assert (
        load({}, {"TF_NUM_INTER_THREADS": "1"}, {"TF_NUM_INTER_THREADS": "1", "TF_USE_PER_SESSION_THREADS": "1"}) == []
    )
