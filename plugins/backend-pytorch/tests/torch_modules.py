"""Small modules that the tests save. TorchScript needs their source in a file."""

from __future__ import annotations

import typing

import torch

Tensors = typing.Dict[str, torch.Tensor]  # noqa: UP006 - TorchScript reads this spelling in every release


class Same(torch.nn.Module):
    """Gives its input back."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class HalfAndRow(torch.nn.Module):
    """Gives X divided by 2, and row I of a table that has two rows."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.tensor([7.0, 8.0]))

    def forward(self, x: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x / 2, self.table[i]


class Difference(torch.nn.Module):
    """Tells the order of its arguments by its result."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return first - second


class OptionalShift(torch.nn.Module):
    """Has an argument that may be left out."""

    def forward(self, x: torch.Tensor, shift: typing.Optional[torch.Tensor] = None) -> torch.Tensor:  # noqa: UP045
        if shift is None:
            return x
        return x + shift


class OverDictionary(torch.nn.Module):
    """Takes a dictionary and gives one."""

    def forward(self, tensors: Tensors) -> Tensors:
        return {"sum": tensors["a"] + tensors["b"], "difference": tensors["a"] - tensors["b"]}


class Pair(typing.NamedTuple):
    """A named tuple of results."""

    low: torch.Tensor
    high: torch.Tensor


class NamedResults(torch.nn.Module):
    """Gives a named tuple."""

    def forward(self, x: torch.Tensor) -> Pair:
        return Pair(x - 1, x + 1)


class Texts(torch.nn.Module):
    """Gives a list of strings back, and their lengths."""

    def forward(self, texts: typing.List[str]) -> typing.Tuple[typing.List[str], torch.Tensor]:  # noqa: UP006
        return [text + "!" for text in texts], torch.tensor([len(text) for text in texts])


class Power(torch.nn.Module):
    """Takes a number beside a tensor, and gives one."""

    def forward(self, x: torch.Tensor, exponent: int) -> typing.Tuple[torch.Tensor, int]:  # noqa: UP006
        return x**exponent, exponent


class Counter(torch.nn.Module):
    """Adds up what it has seen, and gives its own memory."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total += x
        return self.total


class Overwriting(torch.nn.Module):
    """Writes to its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul_(2)


class Linear(torch.nn.Module):
    """A layer, which refuses inputs of another width."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Scalar(torch.nn.Module):
    """Gives a tensor without dimensions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum()


class OnGpu(torch.nn.Module):
    """Takes its input to a GPU by itself, and works there for a while."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.to("cuda")
        y = x
        for _ in range(50):
            y = y + x
        return y


class Scores(torch.nn.Module):
    """Takes an argument by name, and gives a dictionary: for exported programs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor, *, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"scores": self.layer(x) * scale, "sums": x.sum(1)}
