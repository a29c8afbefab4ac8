"""A request as it is executed: with the controls and states of its sequence, and without them in the answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from charonia.batch import NullRequest
from charonia.errors import InferenceError
from charonia.request import InferenceResponse
from charonia.tensor import as_numpy
from charonia.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.request import InferenceRequest
    from charonia.tensor import Array, Tensor

    from charonia_scheduler_sequence.controls import Controls
    from charonia_scheduler_sequence.seats import Ticket
    from charonia_scheduler_sequence.states import State, States

__all__ = ["Executed", "Kept", "fill_place"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept for a sequence between its executions.

    Attributes:
        tensors: what its outputs have left.
        executed: what is to be executed again, where that is the same request.
    """

    tensors: State
    executed: Executed | None = None


class Executed:
    """A client's request that is being executed, once or in several turns.

    Attributes:
        request: what is given to the instance in its stead.
        ticket: its place in this turn.
        state: what its sequence has been left with so far.

    Args:
        ticket: see above.
        controls: the model's control inputs.
        states: the model's states.
        on_response: takes each response, to be delivered by `deliver`, on the thread that made it.
    """

    __slots__ = ("_asked", "_controls", "_earlier_ns", "_on_response", "_states", "request", "state", "ticket")

    def __init__(
        self,
        ticket: Ticket[Kept],
        controls: Controls,
        states: States,
        on_response: Callable[[Executed, InferenceResponse], None],
    ) -> None:
        self.ticket = ticket
        self.state = ticket.state.tensors
        self._asked = asked = ticket.request
        self._controls = controls
        self._states = states
        self._on_response = on_response
        self._earlier_ns = (0, 0, 0)
        self.request = asked.child(
            asked.model_name,
            self._inputs(asked.flags),
            self._take,
            model_version=asked.model_version,
            requested_outputs=states.requested(asked.requested_outputs),
        )
        self.request.queued_ns = asked.queued_ns

    def _inputs(self, flags: int) -> dict[str, Tensor]:
        asked = self._asked
        return {**asked.inputs, **self._controls.of(flags, asked.correlation_id), **self.state}

    # -- turns

    def may_be_taken_back(self, take_back: Callable[[Executed], None]) -> None:
        """Let the request be given back, to be executed again.

        Args:
            take_back: called with this when that happens.
        """
        self.request.turns = self._asked.turns = Turns(partial(take_back, self))

    def end_turn(self) -> Kept:
        """Give what is kept until the next turn. What is given out then starts no sequence any more."""
        self.request.flags = 0
        return Kept(self.state, self)

    def begin_turn(self, ticket: Ticket[Kept]) -> None:
        """Be executed again.

        Args:
            ticket: the place in this turn.
        """
        self.ticket = ticket._replace(state=Kept(self.state))  # which leads back here no more
        self.request.inputs = self._inputs(self.request.flags)
        self._tell_times()
        self._earlier_ns = self._asked.compute_ns
        self.request.compute_ns = (0, 0, 0)
        turns = self.request.turns  # once: another thread may answer it just now, which takes them away
        if turns is not None:
            turns.begin()

    # -- responses

    def _take(self, response: InferenceResponse) -> None:
        if response.error is not None:
            self._on_response(self, response)
            return
        for_the_server = not response.final and self._states.alone(response.outputs)
        told = self._without_states(response)
        if told.error is not None or not for_the_server:
            self._on_response(self, told)

    def _without_states(self, response: InferenceResponse) -> InferenceResponse:
        """Keep the states among the outputs, and make the response that the client gets."""
        try:
            self.state = self._states.next(self.state, response.outputs)
        except InferenceError as error:
            return InferenceResponse(error=error, final=response.final)
        outputs = self._states.told(response.outputs, self._asked.requested_outputs)
        return InferenceResponse(outputs, parameters=response.parameters, final=response.final)

    def deliver(self, response: InferenceResponse) -> None:
        """Answer the client."""
        self._tell_times()
        self._asked.respond(response)

    def _tell_times(self) -> None:
        """Have the client's request wait until its first turn, and be computed in all of them."""
        asked = self._asked
        asked.started_ns = asked.started_ns or self.request.started_ns
        asked.compute_ns = _sum(self._earlier_ns, self.request.compute_ns)


def _sum(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def fill_place(like: InferenceRequest, controls: Controls) -> NullRequest:
    """Make a request that nobody has asked, for a place in the batch without one.

    Its inputs are zeros, of the datatypes and shapes of those of `like`; the control READY tells the model.
    """
    inputs: dict[str, Tensor] = {name: _zeros_like(tensor) for name, tensor in like.inputs.items()}
    inputs.update(controls.of_nobody())
    return NullRequest(
        like.model_name, inputs, _ignore, model_version=like.model_version, requested_outputs=like.requested_outputs
    )


def _ignore(response: InferenceResponse) -> None:
    del response


def _zeros_like(tensor: Tensor) -> Array:
    array = as_numpy(tensor)
    return np.full(array.shape, b"", np.object_) if array.dtype == np.object_ else np.zeros(array.shape, array.dtype)
