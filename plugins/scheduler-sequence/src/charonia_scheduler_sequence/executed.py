"""A request as it is executed: with the controls and states of its sequence, and without them in the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from charonia.batch import NullRequest
from charonia.errors import InferenceError
from charonia.request import InferenceResponse
from charonia.tensor import as_numpy

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.request import InferenceRequest
    from charonia.tensor import Array, Tensor

    from charonia_scheduler_sequence.controls import Controls
    from charonia_scheduler_sequence.slots import Ticket
    from charonia_scheduler_sequence.states import State, States

__all__ = ["Executed", "fill_place"]


class Executed:
    """A client's request that is being executed.

    Attributes:
        request: what is given to the instance in its stead.
        ticket: its place.
        state: what its sequence has been left with so far.

    Args:
        ticket: see above.
        controls: the model's control inputs.
        states: the model's states.
        on_response: takes each response, to be delivered by `deliver`, on the thread that made it.
    """

    __slots__ = ("_on_response", "_states", "request", "state", "ticket")

    def __init__(
        self,
        ticket: Ticket[State],
        controls: Controls,
        states: States,
        on_response: Callable[[Executed, InferenceResponse], None],
    ) -> None:
        self.ticket = ticket
        self.state = ticket.state
        self._states = states
        self._on_response = on_response
        asked = ticket.request
        self.request = asked.child(
            asked.model_name,
            {**asked.inputs, **controls.of(asked.flags, asked.correlation_id), **ticket.state},
            self._take,
            model_version=asked.model_version,
            requested_outputs=states.requested(asked.requested_outputs),
        )
        self.request.queued_ns = asked.queued_ns

    def _take(self, response: InferenceResponse) -> None:
        if response.error is None:
            response = self._without_states(response)
        self._on_response(self, response)

    def _without_states(self, response: InferenceResponse) -> InferenceResponse:
        """Keep the states among the outputs, and make the response that the client gets."""
        try:
            self.state = self._states.next(self.state, response.outputs)
        except InferenceError as error:
            return InferenceResponse(error=error, final=response.final)
        outputs = self._states.told(response.outputs, self.ticket.request.requested_outputs)
        return InferenceResponse(outputs, parameters=response.parameters, final=response.final)

    def deliver(self, response: InferenceResponse) -> None:
        """Answer the client."""
        asked = self.ticket.request
        asked.started_ns = self.request.started_ns
        asked.compute_ns = self.request.compute_ns
        asked.respond(response)


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
