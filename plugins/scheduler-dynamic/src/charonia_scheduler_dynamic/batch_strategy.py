"""What a model's author may decide about its batches: which requests go together, beyond what the configuration can say.

    from charonia_scheduler_dynamic.batch_strategy import BatchStrategy

    class AtMost4000Tokens(BatchStrategy):
        left = 4000

        def include(self, request):
            self.left -= request.inputs["tokens"].size
            return self.left >= 0

The model's parameter `batch_strategy` names the class.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import ModuleType

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest
    from charonia.scheduler import SchedulerContext

__all__ = ["BATCH_STRATEGY", "BatchStrategy", "Inclusion", "batch_strategy"]

_log = logging.getLogger("charonia.scheduler_dynamic.batch_strategy")

BATCH_STRATEGY = "batch_strategy"
"""The model's parameter that names the class: `<file in the model's directory>.py:<class>`, or `<module>:<class>`."""

_IN_C = "TRITON_BATCH_STRATEGY_PATH"
_FILE_IN_C = "batchstrategy.so"


class BatchStrategy(ABC):
    """Decides which requests go into one batch. There is an object for each batch, which is made as the batch is begun.

    The rules of the configuration hold nevertheless: no batch is larger than the model takes, shapes are not mixed, and requests
    do not overtake each other. A batch may be begun several times until it is executed, each time with an object of its own.
    Neither method may take long or wait: the queue stands still meanwhile. One thread calls at a time, not always the same.

    Args:
        config: the model's configuration, complete and normalised. Read only.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    @abstractmethod
    def include(self, request: InferenceRequest) -> bool:
        """Tell whether the next request of the queue joins. False closes the batch, and the request begins the next one.

        The first request of a batch is in it whatever is told. Where this raises, the request does not join.
        """


class Inclusion:
    """What a strategy says about one batch.

    Args:
        make: makes the strategy's object.
        members: the requests that are in the batch already.
    """

    __slots__ = ("_make", "_strategy")

    def __init__(self, make: Callable[[], BatchStrategy], members: Iterable[InferenceRequest] = ()) -> None:
        self._make = make
        self._strategy: BatchStrategy | None = None
        for request in members:
            self.admits(request)

    def admits(self, request: InferenceRequest) -> bool:
        """Ask about the next request. One about whom there is an error does not join."""
        try:
            if self._strategy is None:
                self._strategy = self._make()
            return bool(self._strategy.include(request))
        except Exception:  # noqa: BLE001 - the border to the author's code: the queue must go on
            _log.exception("the batch strategy of model %r failed", request.model_name)
            return False


def batch_strategy(context: SchedulerContext) -> Callable[[], BatchStrategy] | None:
    """Give what makes the strategy's object for each batch, or None where the model has no strategy.

    Raises:
        InvalidArgumentError: the parameter names no such class, or an object of it cannot be made.
        UnsupportedError: the model has a strategy in C, as the reference takes it.
    """
    parameters = context.config.parameters
    in_c = parameters[_IN_C].string_value if _IN_C in parameters else _library(context)
    if in_c:
        raise UnsupportedError(
            f"model '{context.config.name}' has a batch strategy in C, '{in_c}', which this server cannot load: write it as a "
            f"class in Python, see charonia_scheduler_dynamic.batch_strategy, and name it by the parameter '{BATCH_STRATEGY}'"
        )
    named = parameters[BATCH_STRATEGY].string_value if BATCH_STRATEGY in parameters else ""
    if not named:
        return None
    try:
        make = partial(_find(named, context.directory), context.config)
        make()
    except Exception as error:
        raise InvalidArgumentError(
            f"parameter '{BATCH_STRATEGY}' of model '{context.config.name}' is '{named}', which cannot be used: {error}"
        ) from error
    return make


def _library(context: SchedulerContext) -> str:
    places = (context.directory / str(context.version), context.directory)
    return next((str(place / _FILE_IN_C) for place in places if (place / _FILE_IN_C).exists()), "")


def _find(named: str, directory: Path) -> type[BatchStrategy]:
    where, _, name = named.partition(":")
    module = _execute(where, directory) if where.endswith(".py") else importlib.import_module(where)
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, BatchStrategy)):
        raise InvalidArgumentError(
            f"it names no subclass of {BatchStrategy.__module__}.{BatchStrategy.__name__}; write <file>.py:<class>, with a file "
            "in the model's directory, or <module>:<class>"
        )
    return found


def _execute(file: str, directory: Path) -> ModuleType:
    """Execute a file of the model's directory. It is no module that others could import: each load has its own."""
    path = (directory / file).resolve()
    if not path.is_relative_to(directory.resolve()):
        raise InvalidArgumentError("the file is outside of the model's directory")
    name = f"{__name__}_of_{directory.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidArgumentError("the file is no file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # while it is executed, as some decorators of classes look there
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module
