"""Two small nets with fixed weights: what each framework makes its model of, and the answers that all of them must give.

A net takes X, of shape [batch, *input_shape], and gives Y, of shape [batch, outputs], both FP32. Images have their channels in
front. Kernels are [out, in, height, width], moved by one and without padding; weights of dense layers are [in, out].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


@dataclass(frozen=True)
class Convolution:
    """A convolution, and a ReLU after it."""

    kernels: np.ndarray
    bias: np.ndarray

    def __call__(self, x):
        """Compute it, plainly."""
        windows = sliding_window_view(x, self.kernels.shape[2:], axis=(2, 3))
        made = np.einsum("bihwyx,oiyx->bohw", windows, self.kernels) + self.bias[:, None, None]
        return np.maximum(made, 0)


@dataclass(frozen=True)
class Flatten:
    """One row for each element of the batch, channels first."""

    def __call__(self, x):
        """Compute it, plainly."""
        return x.reshape(len(x), -1)


@dataclass(frozen=True)
class Dense:
    """A dense layer, and a ReLU after it unless it is the last."""

    weights: np.ndarray
    bias: np.ndarray
    last: bool = False

    def __call__(self, x):
        """Compute it, plainly."""
        made = x @ self.weights + self.bias
        return made if self.last else np.maximum(made, 0)


@dataclass(frozen=True)
class Net:
    """A net.

    Attributes:
        name: a word for it.
        input_shape: without the batch.
        outputs: how many numbers come out for each element of the batch.
        layers: in their order.
    """

    name: str
    input_shape: tuple[int, ...]
    outputs: int
    layers: tuple[Convolution | Flatten | Dense, ...]

    def answer(self, x):
        """Compute the net with numpy."""
        for layer in self.layers:
            x = layer(x)
        return x


_random = np.random.default_rng(5)


def _weights(*shape):
    return _random.normal(size=shape).astype(np.float32)


NETS = (
    Net(
        "perceptron",
        (6,),
        3,
        (
            Dense(_weights(6, 8), _weights(8)),
            Dense(_weights(8, 5), _weights(5)),
            Dense(_weights(5, 3), _weights(3), last=True),
        ),
    ),
    Net(
        "convolutions",
        (2, 8, 8),
        4,
        (
            Convolution(_weights(3, 2, 3, 3), _weights(3)),
            Convolution(_weights(4, 3, 3, 2), _weights(4)),
            Flatten(),
            Dense(_weights(4 * 4 * 5, 4), _weights(4), last=True),
        ),
    ),
)
