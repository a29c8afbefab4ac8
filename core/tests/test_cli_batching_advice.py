"""What is told about batching, and which change is worth a try."""

from __future__ import annotations

import pytest
from charonia.cli.batching_advice import Observed, advise
from charonia.scheduler import BatchReason
from charonia.testing.builders import model_config


def config_of(**dynamic):
    """Make the configuration of a model with dynamic batching."""
    config = model_config("m", max_batch_size=8)
    config.dynamic_batching.SetInParent()
    for name, value in dynamic.items():
        setattr(config.dynamic_batching, name, value)
    return config


def test_a_model_that_takes_no_batches():
    """Where max_batch_size forbids batches, that is the reason."""
    advice = advise(model_config("m", max_batch_size=0), Observed({1: 10}, {BatchReason.UNBATCHED: 10}, 100, 50))
    assert advice.sentences == [
        "10 executions with 1.0 elements on average: 10 of 1.",
        "A request waits 100 us on average, and an execution computes 50 us.",
        "100% of the batches were closed because the scheduler took one request and looked for no other.",
        "Each execution takes one request, since max_batch_size is 0.",
    ]
    assert advice.change == "max_batch_size: 8\ndynamic_batching { }"


@pytest.mark.parametrize("section", ["dynamic_batching", "sequence_batching"])
def test_a_batcher_that_gets_no_batches(section):
    """Where the model has a batcher already, the change is no other one."""
    config = model_config("m", max_batch_size=1)
    getattr(config, section).SetInParent()
    advice = advise(config, Observed({1: 10}, {}))
    assert advice.sentences[-1] == "Each execution takes one request, since max_batch_size is 1."
    assert advice.change == "max_batch_size: 8"
    assert advice.because.endswith("those of several sequences") == (section == "sequence_batching")


def test_a_model_without_a_batcher():
    """Where the configuration has no batcher, the change adds one."""
    advice = advise(model_config("m"), Observed({1: 10}, {}))
    assert advice.change == "dynamic_batching { }"
    assert "no section dynamic_batching" in advice.sentences[-1]


@pytest.mark.parametrize(
    ("observed", "change"),
    [
        (Observed({1: 9, 2: 1}, {BatchReason.QUEUE_EMPTY: 10}, 5, 4000), "max_queue_delay_microseconds: 2000"),
        (Observed({1: 9, 2: 1}, {BatchReason.DELAY_OVER: 10}, 5, 10), "max_queue_delay_microseconds: 600"),
        (Observed({8: 10}, {BatchReason.FULL: 10}, 500, 100), "max_batch_size: 16"),
        (Observed({8: 10}, {BatchReason.FULL: 10}, 50, 100), ""),
        (Observed({2: 10}, {BatchReason.SIGNATURE_CHANGED: 6, BatchReason.FULL: 4}), "allow_ragged_batch"),
        (Observed({8: 5, 7: 5}, {BatchReason.QUEUE_EMPTY: 10}), ""),
    ],
)
def test_the_change_fits_the_reasons(observed, change):
    """Each common reason has its own change; where all is well there is none."""
    advice = advise(config_of(max_queue_delay_microseconds=300), observed)
    assert change in advice.change
    assert bool(change) == bool(advice.change) == bool(advice.because)


def test_nothing_was_executed():
    """Before the first request only the configuration can be explained, and a scheduler's own reason is named."""
    assert advise(config_of(), Observed({}, {})).sentences[0] == "Nothing was executed yet."
    told = advise(config_of(), Observed({4: 1}, {"full_moon": 1})).sentences
    assert "100% of the batches were closed because of the scheduler's own reason 'full_moon'." in told
