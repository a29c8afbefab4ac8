"""Requests that are executed in the stead of others, where the execution, or the response, must be another than was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from charonia.request import InferenceRequest, InferenceResponse
    from charonia.tensor import Tensor

__all__ = ["stand_in"]


def stand_in(
    request: InferenceRequest, inputs: Mapping[str, Tensor], answer: Callable[[InferenceResponse], None]
) -> InferenceRequest:
    """Make a request that is executed instead of another one of the same model.

    Args:
        request: the other one, which learns when it was executed.
        inputs: what is executed.
        answer: gets each response, and answers `request` with it.
    """

    def take(response: InferenceResponse) -> None:
        request.started_ns = executed.started_ns
        request.compute_ns = executed.compute_ns
        answer(response)

    executed = request.child(
        request.model_name,
        inputs,
        take,
        model_version=request.model_version,
        requested_outputs=request.requested_outputs,
    )
    executed.batch_size = request.batch_size
    executed.queued_ns = request.queued_ns
    return executed
