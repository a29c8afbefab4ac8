"""What a model answers with, made into the core's responses."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import triton_python_backend_utils as pb_utils
from charonia.errors import ErrorCode, InferenceError
from charonia.request import InferenceResponse

from charonia_backend_custom.ownership import given_away
from charonia_backend_custom.string_tensors import with_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.arrays import TensorLayout
    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest, Parameter
    from charonia.tensor import Tensor

__all__ = ["Answers", "ReceivedAnswer", "triton_error"]

_log = logging.getLogger("charonia.backend_custom.answers")

_CODES = (
    ErrorCode.UNKNOWN,
    ErrorCode.INTERNAL,
    ErrorCode.NOT_FOUND,
    ErrorCode.INVALID_ARG,
    ErrorCode.UNAVAILABLE,
    ErrorCode.UNSUPPORTED,
    ErrorCode.ALREADY_EXISTS,
    ErrorCode.CANCELLED,
)
"""The codes in the order of TritonError's numbers."""

_MOST_TOLD = 8
"""Of so many outputs that are not declared the log tells: a model may make names up for each request."""


def triton_error(error: InferenceError) -> pb_utils.TritonError:
    """Give an error as models see it: with its text, and the number of its code."""
    return pb_utils.TritonError(str(error), _CODES.index(error.code))


class ReceivedAnswer(pb_utils.InferenceResponse):
    """What a model in a process of its own has answered with: nobody else holds its outputs.

    Args:
        outputs: the outputs by name; strings as `bytes`.
        error: why there are none, if so.
        parameters: those of the response.
    """

    __slots__ = ("outputs",)

    def __init__(
        self, outputs: Mapping[str, Tensor], error: pb_utils.TritonError | None, parameters: Mapping[str, Parameter]
    ) -> None:
        # not by the constructor of responses that models make, which checks what comes
        self.outputs = outputs
        self._error = error
        self._parameters = parameters

    def output_tensors(self) -> list[pb_utils.Tensor]:
        """List the outputs."""
        return [pb_utils.Tensor.around(name, data) for name, data in self.outputs.items()]


class Answers:
    """Makes responses of a model's answers.

    Args:
        config: the model's configuration.
        layout: its reshapes.
    """

    def __init__(self, config: ModelConfig, layout: TensorLayout) -> None:
        self.outputs = [output.name for output in config.output]
        self._known = {*self.outputs, *(state.output_name for state in config.sequence_batching.state)}
        self._model = config.name
        self._dropped: set[str] = set()
        self._layout = layout

    def response(
        self, request: InferenceRequest, answer: pb_utils.InferenceResponse, *, final: bool = True
    ) -> InferenceResponse:
        """Make the response. As in the reference, outputs that the model does not declare, or nobody asked for, are dropped."""
        error = answer.error()
        if error is not None:
            told = InferenceError.of(_CODES[error.code()], error.message())
            return InferenceResponse(parameters=answer.parameter_values(), error=told, final=final)
        if isinstance(answer, ReceivedAnswer):
            outputs = {name: data for name, data in answer.outputs.items() if name in self._known or self._drops(name)}
        else:
            inputs = request.inputs.values()
            outputs = {
                tensor.name(): with_bytes(given_away(tensor, inputs))
                for tensor in answer.output_tensors()
                if tensor.name() in self._known or self._drops(tensor.name())
            }
        (response,) = self._layout.split([request], outputs)
        response.parameters = answer.parameter_values()
        response.final = final
        return response

    def _drops(self, name: str) -> bool:
        """Give False for an output that is not declared; the log tells of it once, and not of any number."""
        if name not in self._dropped and len(self._dropped) < _MOST_TOLD:
            self._dropped.add(name)
            _log.warning(
                "model '%s' gave the output '%s', which is dropped: its configuration has %s. Rename it, or declare it%s",
                self._model,
                name,
                ", ".join(f"'{known}'" for known in self.outputs) or "none",
                ". Further ones are not told of" if len(self._dropped) == _MOST_TOLD else "",
            )
        return False
