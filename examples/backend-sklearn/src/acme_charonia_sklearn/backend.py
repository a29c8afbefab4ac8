"""The backend "sklearn": a classifier of scikit-learn that joblib has stored."""

from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
from charonia.backend import ArrayExecution, Backend, InstanceContext, LoadedModel, ModelContext
from charonia.config import ModelConfig
from charonia.datatypes import DataType
from charonia.tensor import Tensor, as_numpy


class SklearnExecution(ArrayExecution):
    def __init__(self, context: InstanceContext, classifier: Any) -> None:
        super().__init__(context)
        self.classifier = classifier

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        scores = self.classifier.predict_proba(as_numpy(inputs["features"]))
        best = self.classifier.classes_[scores.argmax(axis=1)]
        return {"label": np.char.encode(best.astype(str)).astype(object)[:, None], "scores": scores.astype(np.float32)}


class SklearnModel(LoadedModel):
    def __init__(self, context: ModelContext) -> None:
        super().__init__(context)
        self.classifier = joblib.load(context.model_path)

    def instantiate(self, context: InstanceContext) -> SklearnExecution:
        return SklearnExecution(context, self.classifier)


class SklearnBackend(Backend):
    default_model_filename = "model.joblib"

    def complete_config(self, context: ModelContext) -> ModelConfig:
        classifier = joblib.load(context.model_path)
        config = ModelConfig()
        config.CopyFrom(context.config)
        if not config.input and not config.output:
            config.max_batch_size = config.max_batch_size or context.default_max_batch_size
            config.input.add(name="features", data_type=DataType.FP32.number, dims=[classifier.n_features_in_])
            config.output.add(name="label", data_type=DataType.BYTES.number, dims=[1])
            config.output.add(name="scores", data_type=DataType.FP32.number, dims=[len(classifier.classes_)])
        return config

    def load(self, context: ModelContext) -> SklearnModel:
        return SklearnModel(context)
