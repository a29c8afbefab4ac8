"""A backend that multiplies by the number in the model's file: the simple way, a function of arrays."""

from collections.abc import Mapping

import numpy as np
from charonia.backend import ArrayExecution, Backend, InstanceContext, LoadedModel, ModelContext
from charonia.tensor import Tensor, as_numpy


class Scale(ArrayExecution):
    def __init__(self, context: InstanceContext, factor: np.float32) -> None:
        super().__init__(context)
        self.factor = factor

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        with np.errstate(over="raise"):
            return {"OUTPUT0": as_numpy(inputs["INPUT0"]) * self.factor}


class ScaleModel(LoadedModel):
    def instantiate(self, context: InstanceContext) -> Scale:
        return Scale(context, np.float32(self.context.model_path.read_text()))


class ScaleBackend(Backend):
    default_model_filename = "factor.txt"

    def load(self, context: ModelContext) -> ScaleModel:
        return ScaleModel(context)
