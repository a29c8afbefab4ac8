"""What is told about batching, and which change is worth a try."""

from __future__ import annotations

import pytest
from charonia.cli.batching_advice import advise
from charonia.cli.observed_batches import Observed
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
    advice = advise(model_config("m", max_batch_size=0), Observed({1: 10}, {BatchReason.UNBATCHED: 10}, 10, 100, 50))
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


def test_who_hardly_waits_gains_nothing():
    """That nothing changes before more clients ask at the same time is told with the change."""
    alone = Observed({1: 10}, {BatchReason.UNBATCHED: 10}, 10, queue_us=300, compute_us=10_000)
    assert "so far they hardly wait" in advise(model_config("m"), alone).because
    waiting = Observed({1: 10}, {BatchReason.UNBATCHED: 10}, 10, queue_us=9_000, compute_us=10_000)
    assert "so far they hardly wait" not in advise(model_config("m"), waiting).because


EMPTY, DELAYED = {BatchReason.QUEUE_EMPTY: 10}, {BatchReason.DELAY_OVER: 10}
FULL, PREFERRED, PAST = {BatchReason.FULL: 10}, {BatchReason.PREFERRED_SIZE: 10}, {BatchReason.PAST_PREFERRED: 10}


@pytest.mark.parametrize(
    ("delay", "observed", "change"),
    [
        pytest.param(0, Observed({1: 90}, EMPTY, 90, 300, 10_000), "", id="one client"),
        pytest.param(0, Observed({4: 90}, EMPTY, 90, 300, 10_000), "", id="one client that sends several rows"),
        pytest.param(0, Observed({1: 90}, EMPTY, 90, 150, 50), "", id="one client of a quick model"),
        pytest.param(0, Observed({1: 90}, EMPTY, 90, 9_000, 10_000), "microseconds: 5000 }", id="two clients in turns"),
        pytest.param(
            0, Observed({1: 50, 3: 40}, EMPTY, 170, 7_000, 10_000), "microseconds: 5000 }", id="four in turns"
        ),
        pytest.param(
            1000, Observed({3: 50, 5: 40}, DELAYED, 350, 6_600, 10_000), "microseconds: 5000 }", id="too short"
        ),
        pytest.param(100, Observed({1: 90}, DELAYED, 90, 900, 10_000), "microseconds: 0 }", id="a delay for nobody"),
        pytest.param(20_000, Observed({1: 90}, DELAYED, 90, 20_900, 10_000), "microseconds: 0 }", id="a long one"),
        pytest.param(20_000, Observed({3: 90}, DELAYED, 270, 20_600, 10_000), "microseconds: 5000 }", id="too long"),
        pytest.param(6_000, Observed({3: 90}, DELAYED, 270, 6_600, 10_000), "", id="long enough"),
        pytest.param(0, Observed({1: 5, 3: 4}, EMPTY, 17, 7_000, 10_000), "", id="too few to tell"),
        pytest.param(0, Observed({1: 90}, {}, 90, 9_000, 10_000), "", id="a server that tells no reasons"),
        pytest.param(0, Observed({8: 10}, FULL, 80, 500, 100), "max_batch_size: 16", id="full, and the queue is long"),
        pytest.param(0, Observed({8: 10}, FULL, 80, 50, 100), "", id="full"),
        pytest.param(
            0, Observed({8: 10}, FULL, 80, 50, 100, failed=40), "max_batch_size: 16", id="full, and many fail"
        ),
        pytest.param(
            0, Observed({5: 10}, {BatchReason.WOULD_OVERFLOW: 9}, 10, 500, 100), "max_batch_size: 16", id="too large"
        ),
        pytest.param(0, Observed({2: 10}, PREFERRED, 20, 500, 100), "preferred_batch_size: [ 8 ]", id="kept small"),
        pytest.param(
            0, Observed({3: 10}, PAST, 20, 500, 100), "preferred_batch_size: [ 8 ]", id="past the preferred sizes"
        ),
        pytest.param(
            0, Observed({8: 10}, PREFERRED, 80, 500, 100), "max_batch_size: 16", id="a preferred size that is full"
        ),
        pytest.param(0, Observed({8: 5, 7: 5}, EMPTY, 75), "", id="well"),
    ],
)
def test_the_change_fits_what_happens(delay, observed, change):
    """Each common situation has its own change; where all is well, or nothing is known, there is none."""
    advice = advise(config_of(max_queue_delay_microseconds=delay), observed)
    assert change in advice.change
    assert bool(change) == bool(advice.change) == bool(advice.because)


def linear(**counted):
    """Observe a model for which 8 elements take 7.9 times as long as one."""
    return Observed({1: 50, 4: 5, 8: 50}, compute_us_by_size={1: 1000, 4: 3950, 8: 7900}, **counted)


@pytest.mark.parametrize(
    ("config", "observed", "change"),
    [
        pytest.param(config_of(), linear(reasons=FULL, requests=450, queue_us=30_000, compute_us=4_000), "", id="full"),
        pytest.param(
            config_of(max_queue_delay_microseconds=2000),
            linear(reasons=DELAYED, requests=450, queue_us=30_000, compute_us=4_000),
            "dynamic_batching { max_queue_delay_microseconds: 0 }",
            id="delayed",
        ),
        pytest.param(
            config_of(), linear(reasons=EMPTY, requests=450, queue_us=30_000, compute_us=4_000), "", id="turns"
        ),
        pytest.param(model_config("m"), linear(reasons=EMPTY, requests=450, queue_us=30_000), "", id="no batcher"),
    ],
)
def test_larger_batches_that_gain_nothing(config, observed, change):
    """Where a batch takes as long as its elements one by one, no larger ones are proposed."""
    config.max_batch_size = 32
    advice = advise(config, observed)
    assert "One with 8 elements computes 7.9 times as long as one with 1." in advice.sentences
    assert advice.change == change
    assert bool(change) != advice.sentences[-1].startswith("Batches compute the longer")


def test_sizes_that_cannot_be_compared():
    """A size that came only a few times, or that is nearly the other one, says nothing."""
    few = Observed({1: 50, 8: 9}, EMPTY, 120, compute_us_by_size={1: 1000, 8: 8000})
    near = Observed({7: 50, 8: 50}, FULL, 120, compute_us_by_size={7: 1000, 8: 8000})
    assert (few.growth, near.growth) == (None, None)
    assert few.pays
    assert near.pays


def test_requests_of_other_kinds():
    """Inputs of variable size are named; where there are none, it is not the shapes that part the batches."""
    parted = Observed({2: 10}, {BatchReason.SIGNATURE_CHANGED: 6, BatchReason.FULL: 4}, 20)
    config = config_of()
    advice = advise(config, parted)
    assert advice.sentences[-1].startswith("Only requests that give the same optional inputs")
    assert advice.change == ""
    config.input.add(name="TOKENS", dims=[-1])
    assert advise(config, parted).change == 'input [ { name: "TOKENS" … allow_ragged_batch: true } ]'


def test_what_stays_of_a_section_is_not_lost():
    """The change stands alone where the section has nothing else, and beside an ellipsis where it has."""
    turns = Observed({1: 90}, EMPTY, 90, 9_000, 10_000)
    config = config_of()
    config.dynamic_batching.preferred_batch_size.append(8)  # what is there where nobody wrote it
    assert advise(config, turns).change == "dynamic_batching { max_queue_delay_microseconds: 5000 }"
    config.dynamic_batching.priority_levels = 2
    assert advise(config, turns).change == "dynamic_batching { … max_queue_delay_microseconds: 5000 }"


@pytest.mark.parametrize(
    ("strategy", "change"),
    [
        ("direct", "sequence_batching { … direct { max_queue_delay_microseconds: 5000 minimum_slot_utilization: 1 } }"),
        ("oldest", "sequence_batching { … oldest { … max_queue_delay_microseconds: 5000 } }"),
    ],
)
def test_sequences_that_take_turns(strategy, change):
    """Sequences that are executed by turns find together with a delay; where they wait for nobody, nothing is changed."""
    config = model_config("m", max_batch_size=4)
    getattr(config.sequence_batching, strategy).SetInParent()
    if strategy == "oldest":
        config.sequence_batching.oldest.max_candidate_sequences = 4
    assert advise(config, Observed({1: 50, 3: 50}, EMPTY, 200, 8_000, 10_000)).change == change
    assert advise(config, Observed({1: 50}, EMPTY, 50, 300, 10_000)).change == ""
    assert advise(config, Observed({1: 50, 3: 50}, {}, 200, 8_000, 10_000)).change == ""
    getattr(config.sequence_batching, strategy).max_queue_delay_microseconds = 5000
    if strategy == "direct":
        config.sequence_batching.direct.minimum_slot_utilization = 1
    assert advise(config, Observed({1: 50, 3: 50}, DELAYED, 200, 9_000, 10_000)).change == ""


def test_ensembles_name_their_models():
    """Each model of the steps is named once: that is where to ask next."""
    config = model_config("e", backend="")
    for name in ("first", "second", "first"):
        config.ensemble_scheduling.step.add(model_name=name)
    (sentence,) = advise(config, Observed({}, {})).sentences
    assert sentence.endswith("ask for the models of its steps, first, second.")


def test_what_was_not_executed_is_told():
    """Requests that the cache answered, and those that failed, explain why there are few executions."""
    sentences = advise(config_of(), Observed({1: 10}, EMPTY, 10, cached=85, failed=5)).sentences
    assert "85 of 100 requests were answered from the response cache, and not executed." in sentences
    assert any(sentence.startswith("5 of 100 requests failed: ") for sentence in sentences)


def test_nothing_was_executed():
    """Before the first request nothing can be said of what would be better, and a scheduler's own reason is named."""
    assert advise(config_of(), Observed({}, {})).sentences == ["Nothing was executed yet."]
    told = advise(config_of(), Observed({4: 1}, {"full_moon": 1})).sentences
    assert told[-1] == "So few executions do not tell what would be better."
    assert "100% of the batches were closed because of the scheduler's own reason 'full_moon'." in told
