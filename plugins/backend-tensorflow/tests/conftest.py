"""Models of TensorFlow, made here, and servers around them."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import tensorflow as tf

v1 = tf.compat.v1

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4) - 6


class TensorFlowModels:
    """Makes models of a few operators. Tensors are (name, datatype by TensorFlow's name, shape).

    Args:
        folder: an empty directory.
    """

    def __init__(self, folder):
        self._folder = folder
        self._count = 0

    def _place(self):
        self._count += 1
        return self._folder / str(self._count)

    def saved(self, function, inputs, *, keep=None, **signatures):
        """Save a function of tensors with this signature, and give the directory. `keep` is what the model owns."""
        module = tf.Module()
        module.kept = keep
        specs = [tf.TensorSpec(shape, datatype, name) for name, datatype, shape in inputs]
        served = {
            name: tf.function(each).get_concrete_function(*specs)
            for name, each in (signatures or {"serving_default": function}).items()
        }
        place = self._place()
        tf.saved_model.save(module, str(place), signatures=served)
        return place

    def identity(self, datatype="float32", shape=(None, 3)):
        """Save a model whose Y is its X."""
        return self.saved(lambda x: {"Y": tf.identity(x)}, [("X", datatype, shape)])

    def perceptron(self):
        """Save a linear layer with a ReLU."""
        weights = tf.Variable(WEIGHTS)
        return self.saved(lambda x: {"Y": tf.nn.relu(x @ weights)}, [("X", "float32", (None, 3))], keep=weights)

    def of_version_1(self, tags=("serve",), signature="serving_default"):
        """Save, as TensorFlow 1 does, Y = X times a variable of 2; give the directory."""
        place = self._place()
        with self.session() as session:
            x = v1.placeholder("float32", [None, 3], name="x")
            factor = v1.Variable(2.0, use_resource=False)
            y = tf.multiply(x, factor, name="y")
            session.run(factor.initializer)
            info = v1.saved_model.build_tensor_info
            served = v1.saved_model.build_signature_def({"X": info(x)}, {"Y": info(y)}, "predict")
            builder = v1.saved_model.Builder(str(place))
            builder.add_meta_graph_and_variables(session, list(tags), signature_def_map={signature: served})
            builder.save()
        return place

    def graph_def(self, build):
        """Freeze what `build` adds to a graph, and give the bytes."""
        with self.session() as session:
            build()
            return session.graph.as_graph_def().SerializeToString()

    def frozen_perceptron(self):
        """Freeze the linear layer with its ReLU: x, y."""

        def build():
            x = v1.placeholder("float32", [None, 3], name="x")
            tf.nn.relu(x @ tf.constant(WEIGHTS), name="y")

        return self.graph_def(build)

    @staticmethod
    @contextmanager
    def session():
        """Open a session on a graph of its own."""
        with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
            yield session


@pytest.fixture
def models(tmp_path):
    return TensorFlowModels(tmp_path / "made")


@pytest.fixture
def repository(tmp_path):
    """Write a model, a directory or the bytes of a graph, and perhaps its configuration, into the repository, and give that."""

    def write(model, config=None, name="m"):
        folder = tmp_path / "models" / name / "1"
        folder.mkdir(parents=True)
        if isinstance(model, bytes):
            (folder / "model.graphdef").write_bytes(model)
        elif model is not None:
            shutil.copytree(model, folder / "model.savedmodel")
        if config is not None:
            (folder.parent / "config.pbtxt").write_text(config)
        return tmp_path / "models"

    return write


@pytest.fixture
def full_config():
    """Write a complete configuration of a model that batches."""

    def write(more="", *, x="X", y="Y", x_dims="[ 3 ]", y_dims="[ 3 ]", batch=4):
        return (
            f'backend: "tensorflow" max_batch_size: {batch} '
            f'input [ {{ name: "{x}" data_type: TYPE_FP32 dims: {x_dims} }} ] '
            f'output [ {{ name: "{y}" data_type: TYPE_FP32 dims: {y_dims} }} ] {more}'
        )

    return write
