"""What the tests of ensembles have in common: models that compute, and ensembles made of them."""

from __future__ import annotations

import charonia_cache_local
import charonia_scheduler_ensemble
import pytest
from charonia import ServerOptions
from charonia.config import ModelConfig
from charonia.datatypes import DataType
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin


class Repository:
    """A model repository that is filled by short calls, and the servers of it."""

    def __init__(self, path, start):
        self.path = path
        self._start = start

    def model(self, name, inputs=("X",), outputs=("Y",), **settings):
        """Write a model whose outputs are its inputs times `scale` plus `addend`."""
        known = {"max_batch_size", "decoupled", "instance_count"}
        more = {key: settings.pop(key) for key in known & settings.keys()}
        dims = settings.pop("dims", [1])
        optional = settings.pop("optional", ())
        config = model_config(
            name,
            inputs=[(tensor, "FP32", dims) for tensor in inputs],
            outputs=[(tensor, "FP32", dims) for tensor in outputs],
            parameters={key: str(value) for key, value in settings.items()},
            **{"max_batch_size": 0, **more},
        )
        for tensor in config.input:
            tensor.optional = tensor.name in optional
        write_model(self.path, config)

    def ensemble(self, *steps, name="e", inputs=("I",), outputs=("O",), dims=(1,), optional=(), **fields):
        """Write an ensemble; each step as (model, input map, output map), or with a version at the end."""
        config = ModelConfig(name=name, platform="ensemble", max_batch_size=fields.pop("max_batch_size", 0))
        for tensor in inputs:
            config.input.add(name=tensor, data_type=DataType.FP32.number, dims=dims, optional=tensor in optional)
        for tensor in outputs:
            config.output.add(name=tensor, data_type=DataType.FP32.number, dims=dims)
        for model, read, written, *version in steps:
            config.ensemble_scheduling.step.add(
                model_name=model, model_version=version[0] if version else -1, input_map=read, output_map=written
            )
        config.ensemble_scheduling.max_inflight_requests = fields.pop("max_inflight_requests", 0)
        for output, file in fields.pop("label_files", {}).items():
            next(tensor for tensor in config.output if tensor.name == output).label_filename = file
        write_model(self.path, config)

    def cache(self, name):
        """Let a model's responses be given again."""
        config = self.path / name / "config.pbtxt"
        config.write_text(config.read_text() + "response_cache { enable: true }")

    def beside(self, name):
        """Give another repository."""
        return Repository(self.path.parent / name, self._start)

    def serve(self, *others, **options):
        """Start a server of this repository, and of others."""
        places = [repository.path for repository in (self, *others)]
        return self._start(places, options=ServerOptions(**options), plugins=self.plugins)

    @property
    def plugins(self):
        """The plugins that the models need, and no others."""
        return Plugins(entry_points=(), extra=[ArithmeticPlugin(), charonia_scheduler_ensemble, charonia_cache_local])


@pytest.fixture
def repository(model_repository, server):
    """An empty model repository."""
    return Repository(model_repository, server)
