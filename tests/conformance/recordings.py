"""The recordings: their files, the models that they ask, and which of their exchanges belong together."""

from __future__ import annotations

import threading
import time
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).parent
MODELS = HERE / "model_repository"
GOLDEN = HERE / "golden"


def steps_of(file):
    """Give a file's exchanges in their order, as lists: those that start together are one list, any other stands alone."""
    steps = []
    for label, group in groupby(file["exchanges"], key=lambda exchange: exchange.get("parallel")):
        exchanges = list(group)
        steps.extend([exchanges] if label else [[exchange] for exchange in exchanges])
    return steps


def name_of(step):
    """Name exchanges that start together by their label, and one that stands alone by its id."""
    return step[0].get("parallel", step[0]["id"])


def answers_to(step, ask):
    """Send each request of a step at its time, and give the answers in the order of the exchanges."""
    if len(step) == 1:
        return [ask(step[0]["request"])]
    answers = {}

    def keep_answer(place, exchange):
        time.sleep(exchange["at"])  # noqa: TID251 - the recorded time; `steady_clock.py` sees to it
        answers[place] = ask(exchange["request"])

    clients = [threading.Thread(target=keep_answer, args=(place, exchange)) for place, exchange in enumerate(step)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return [answers[place] for place in range(len(step))]
