"""Runs the recordings' Python models inside the tests, until a backend for such models is part of the house.

Only what those models use of their interface is here.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types

from charonia.backend import Backend, Execution, LoadedModel
from charonia.errors import ErrorCode, InferenceError, InternalError
from charonia.hookspecs import hookimpl
from charonia.request import InferenceResponse
from charonia.tensor import as_numpy


class ModelError(Exception):
    """An error that a model answers with."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = ErrorCode

    def __init__(self, message, code=ErrorCode.INTERNAL):
        super().__init__(message)
        self.code = code


class ModelTensor:
    """A named array."""

    def __init__(self, name, array):
        self._name = name
        self.array = array

    def name(self):
        """Tell the name."""
        return self._name

    def as_numpy(self):
        """Give the array."""
        return self.array

    to_dlpack = as_numpy

    @staticmethod
    def from_dlpack(name, array):
        """Make a tensor from an array of any library."""
        return ModelTensor(name, array)


class ModelRequest:
    """A request as a model sees it."""

    def __init__(self, request, outputs):
        self._request = request
        self._outputs = list(request.requested_outputs) or outputs

    def inputs(self):
        """List the inputs."""
        return [ModelTensor(name, as_numpy(tensor)) for name, tensor in self._request.inputs.items()]

    def requested_output_names(self):
        """List the outputs wanted."""
        return self._outputs

    def request_id(self):
        """Tell the request's id."""
        return self._request.id

    def correlation_id(self):
        """Tell the sequence."""
        return self._request.correlation_id

    def flags(self):
        """Tell the flags of the sequence."""
        return self._request.flags

    def timeout(self):
        """Tell the time-out in microseconds."""
        return self._request.timeout_us

    def parameters(self):
        """Tell the custom parameters as JSON."""
        return json.dumps(dict(self._request.parameters))


class ModelResponse:
    """What a model answers."""

    def __init__(self, output_tensors=(), error=None):
        self.tensors = output_tensors
        self.error = error


INTERFACE = types.ModuleType("triton_python_backend_utils")
INTERFACE.Tensor = ModelTensor
INTERFACE.InferenceResponse = ModelResponse
INTERFACE.TritonError = ModelError
INTERFACE.TritonModelException = ModelError
INTERFACE.get_input_tensor_by_name = lambda request, name: next(
    (tensor for tensor in request.inputs() if tensor.name() == name), None
)


class PythonExecution(Execution):
    """One instance: the model's own class."""

    def __init__(self, context):
        super().__init__(context)
        file = context.model.model_path
        spec = importlib.util.spec_from_file_location(f"{context.name}_model", file)
        module = importlib.util.module_from_spec(spec)
        sys.modules["triton_python_backend_utils"] = INTERFACE
        spec.loader.exec_module(module)
        self._model = module.TritonPythonModel()
        if hasattr(self._model, "initialize"):
            self._model.initialize({"model_version": str(context.model.version), "model_name": context.model.name})
        self._outputs = [output.name for output in context.model.config.output]

    def execute(self, batch):
        """Have the model answer."""
        answers = self._model.execute([ModelRequest(request, self._outputs) for request in batch.requests])
        batch.respond_all([self._answer(answer) for answer in answers])

    @staticmethod
    def _answer(answer):
        if answer.error is not None:
            code = getattr(answer.error, "code", ErrorCode.INTERNAL)
            error = InferenceError.of(code, str(answer.error))
            return InferenceResponse(error=error)
        return InferenceResponse({tensor.name(): tensor.array for tensor in answer.tensors})


class PythonModel(LoadedModel):
    """One version."""

    def instantiate(self, context):
        """Make an instance; what the model raises is its reason."""
        try:
            return PythonExecution(context)
        except Exception as error:
            raise InternalError(f"{type(error).__name__}: {error}") from error


class PythonBackend(Backend):
    """The backend of the recordings."""

    default_model_filename = "model.py"

    def load(self, context):
        """Load a version."""
        return PythonModel(context)


class PythonPlugin:
    """Offers the backend under its name."""

    @hookimpl
    def charonia_backends(self):
        """Offer it."""
        return {"python": f"{__name__}:PythonBackend"}
