"""TensorFlow's threads.

A process has one pool for the work inside operators, and one for operators side by side. The first session of the process sets
the size of both, and later ones get what there is; only the pool for operators side by side can be a session's own.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charonia_backend_tensorflow.settings import INTER_THREADS, INTRA_THREADS, PER_SESSION_THREADS

if TYPE_CHECKING:
    from charonia.model_parameters import ModelParameters

__all__ = ["Threads"]

_log = logging.getLogger("charonia.backend_tensorflow.threads")


@dataclass(frozen=True)
class Threads:
    """What a model says about threads.

    Attributes:
        intra: threads inside one operator; 0 leaves it to TensorFlow, which takes a thread for each core.
        inter: threads for operators side by side; 0 as above. With 1, there are none side by side, and the thread that runs the
            session computes all of them by itself.
        own: whether the model's sessions have a pool of their own for operators side by side.
    """

    intra: int
    inter: int
    own: bool

    @staticmethod
    def read(parameters: ModelParameters) -> Threads:
        """Read a model's parameters.

        Raises:
            InvalidArgumentError: one has a value that is not allowed.
        """
        return Threads(
            parameters.number(INTRA_THREADS), parameters.number(INTER_THREADS), parameters.flag(PER_SESSION_THREADS)
        )

    @property
    def one_by_one(self) -> bool:
        """Whether the thread that runs a session computes all operators by itself."""
        return self.inter == 1

    def write(self, options: Any) -> None:
        """Write them into the `ConfigProto` of a session that is about to be opened; tell what will have no effect."""
        options.intra_op_parallelism_threads = self.intra
        _tell_of_late_wish(INTRA_THREADS, self.intra, _set_once("intra", self.intra))
        if self.one_by_one:
            return  # and the pool stays as large as others need it
        options.inter_op_parallelism_threads = self.inter
        options.use_per_session_threads = self.own
        if not self.own:
            _tell_of_late_wish(
                INTER_THREADS, self.inter, _set_once("inter", self.inter), f", or set {PER_SESSION_THREADS}"
            )


_sizes: dict[str, int] = {}


def _set_once(pool: str, size: int) -> int:
    """Give the size that the process's pool has from now on: that of whoever asked first."""
    return _sizes.setdefault(pool, size)  # the process's own, as the pools are


def _tell_of_late_wish(parameter: str, wanted: int, there: int, instead: str = "") -> None:
    if wanted and wanted != there:
        _warn_once(parameter, wanted, there, instead)


@functools.cache
def _warn_once(parameter: str, wanted: int, there: int, instead: str) -> None:
    _log.warning(
        "%s is %d, but TensorFlow's pool of this process was made for %s: set it in all models%s",
        parameter,
        wanted,
        f"{there} threads" if there else "a thread for each core",
        instead,
    )
