"""Requests that were there when a process ended."""

from __future__ import annotations

import numpy as np
from charonia.request import InferenceRequest
from charonia_backend_custom.process.suspects import Suspects


def request(value, **options):
    """Make a request with two inputs."""
    words = np.array([value.encode()], np.object_)
    return InferenceRequest("m", {"X": np.array([len(value)]), "W": words}, [].append, **options)


def test_a_request_is_known_by_what_it_asks():
    """Who asks, and under which name, is no matter; inputs and parameters are."""
    suspects = Suspects()
    suspects.note([request("a", id="1")])
    assert not suspects.guilty(request("a"))
    suspects.note([request("a", id="2"), request("b")])
    assert suspects.guilty(request("a", id="3"))
    assert not suspects.guilty(request("b"))
    assert not suspects.guilty(request("a", parameters={"temperature": 1}))


def test_equal_requests_of_one_batch_count_once():
    """A batch ends a process once, however often it holds a request."""
    suspects = Suspects()
    suspects.note([request("a"), request("a")])
    assert not suspects.guilty(request("a"))


def test_what_is_remembered_is_bounded():
    """The oldest suspects are forgotten."""
    suspects = Suspects()
    for _ in range(2):
        suspects.note([request("first")])
    for number in range(300):
        suspects.note([request(str(number))])
    assert not suspects.guilty(request("first"))


def test_who_was_executed_well_is_acquitted():
    """A process that lives on proves the innocence of what it has executed."""
    suspects = Suspects()
    assert not suspects.suspected(request("a"))
    suspects.note([request("a"), request("b")])
    assert suspects.suspected(request("a"))
    suspects.acquit(request("a"))
    assert not suspects.suspected(request("a"))
    assert suspects.suspected(request("b"))
    suspects.note([request("a")])
    assert not suspects.guilty(request("a"))
