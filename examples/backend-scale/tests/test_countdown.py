"""The backend "countdown" answers a request as often as it is asked to."""

import pytest
from charonia.errors import InvalidArgumentError
from charonia.testing.builders import model_config, write_model


@pytest.fixture
def countdown(server, model_repository):
    config = model_config(
        "countdown",
        backend="countdown",
        inputs=[("START", "INT32", [1])],
        outputs=[("LEFT", "INT32", [1])],
        max_batch_size=0,
        decoupled=True,
    )
    write_model(model_repository, config)
    return server(model_repository).model("countdown")


@pytest.mark.parametrize("start", [0, 1, 5])
def test_counts_down_to_one(countdown, start):
    """Each number has a response of its own, and then the stream ends."""
    assert [int(response["LEFT"][0]) for response in countdown.stream({"START": [start]})] == list(range(start, 0, -1))


def test_negative_start_is_refused(countdown):
    """What cannot be counted down from is the caller's fault."""
    with pytest.raises(InvalidArgumentError, match="START is -1: count down from 0 or more"):
        list(countdown.stream({"START": [-1]}))
