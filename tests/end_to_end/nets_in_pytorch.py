"""The small nets in the two forms of PyTorch."""

from __future__ import annotations

import warnings

import torch
from small_nets import Convolution, Dense, Flatten


def write_torchscript(net, directory):
    """Write a net into a model's directory, with its configuration, since TorchScript tells neither datatypes nor shapes."""
    (directory / "1").mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(_module(net), torch.ones(2, *net.input_shape))
        torch.jit.save(traced, directory / "1" / "model.pt")
    (directory / "config.pbtxt").write_text(_config(net))


def write_exported(net, directory):
    """Write a net as an exported program into a model's directory, with a configuration that names its tensors as ours."""
    (directory / "1").mkdir(parents=True)
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(_module(net), (torch.ones(2, *net.input_shape),), dynamic_shapes=shapes)
    torch.export.save(program, directory / "1" / "model.pt2")
    (directory / "config.pbtxt").write_text(_config(net))


def _config(net):
    return f"""
        backend: "pytorch" max_batch_size: 4
        input [ {{ name: "X" data_type: TYPE_FP32 dims: {list(net.input_shape)} }} ]
        output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ {net.outputs} ] }} ]"""


def _module(net):
    return torch.nn.Sequential(*[part for layer in net.layers for part in _parts(layer)]).eval()


def _parts(layer):
    if isinstance(layer, Flatten):
        return [torch.nn.Flatten()]
    if isinstance(layer, Convolution):
        made, channels, *size = layer.kernels.shape
        module = torch.nn.Conv2d(channels, made, size)
        weights = layer.kernels
    else:
        module = torch.nn.Linear(*layer.weights.shape)
        weights = layer.weights.T
    module.load_state_dict({"weight": torch.tensor(weights), "bias": torch.tensor(layer.bias)})
    return [module] if isinstance(layer, Dense) and layer.last else [module, torch.nn.ReLU()]
