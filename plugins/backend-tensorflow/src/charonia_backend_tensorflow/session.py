"""Sessions: their options, opening them, and how the instances of a device share them."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Protocol

from charonia.errors import InvalidArgumentError

from charonia_backend_tensorflow.accelerators import accelerate
from charonia_backend_tensorflow.failures import load_failure
from charonia_backend_tensorflow.runtime import dismantle, tensorflow
from charonia_backend_tensorflow.settings import INIT_OPS_FILE, SESSION_SHARE_COUNT
from charonia_backend_tensorflow.threads import Threads

if TYPE_CHECKING:
    from pathlib import Path

    from charonia.backend import Device, ModelContext
    from charonia.config import ModelConfig
    from charonia.model_parameters import ModelParameters

    from charonia_backend_tensorflow.settings import BackendSettings

__all__ = ["Loadable", "SharedSessions", "session_options"]


class Loadable(Protocol):
    """A model's file, which can be loaded into any number of sessions."""

    path: Path

    def restore(self, session: Any) -> None:
        """Load graph and variables into a session, whose graph is the default one."""


class SharedSessions:
    """The sessions of a model. A session holds the weights, and any number of threads may run it at once.

    All instances on a device share one, unless the model's parameters set a limit. Owns the sessions, which `close` closes.

    Args:
        context: the model.
        parameters: its parameters.
        settings: the backend's settings.
        model: what is loaded into each session.

    Attributes:
        threads: what the model says about threads.
    """

    def __init__(
        self, context: ModelContext, parameters: ModelParameters, settings: BackendSettings, model: Loadable
    ) -> None:
        self._config = context.config
        self._settings = settings
        self._model = model
        self.threads = Threads.read(parameters)
        self._most = parameters.number(SESSION_SHARE_COUNT)
        self._initialisers = _initialisers(context, parameters)
        self._lock = threading.Lock()  # guards the two below
        self._by_device: dict[Device, tuple[Any, int]] = {}
        self._opened: list[Any] = []

    def session(self, device: Device) -> Any:
        """Give a session for one more instance on a device.

        Raises:
            InferenceError: the model cannot be loaded.
        """
        with self._lock:
            session, users = self._by_device.get(device, (None, 0))
            if session is None or (self._most and users >= self._most):
                session, users = self._open(device), 0
                self._opened.append(session)
            self._by_device[device] = (session, users + 1)
            return session

    def _open(self, device: Device) -> Any:
        tf = tensorflow()
        graph = tf.Graph()
        options = session_options(self._config, self._settings, self.threads, device)
        place = f"/GPU:{device.id}" if device.kind == "GPU" else None
        session = tf.compat.v1.Session(graph=graph, config=options)
        try:
            with graph.as_default(), graph.device(place):
                self._model.restore(session)
            if self._initialisers:
                session.run([graph.get_operation_by_name(name) for name in self._initialisers])
        except Exception as error:  # the border of loading: TensorFlow's exceptions have no base of their own
            failure = load_failure(self._model.path, error)
            _close(session)
            raise failure from error
        return session

    def close(self) -> None:
        """Close the sessions, and free their graphs. Nothing runs in them any more."""
        self._by_device.clear()
        while self._opened:
            _close(self._opened.pop())


def _close(session: Any) -> None:
    session.close()
    dismantle(session.graph)


def session_options(config: ModelConfig, settings: BackendSettings, threads: Threads, device: Device) -> Any:
    """Make the `ConfigProto` of a session on a device."""
    options = tensorflow().compat.v1.ConfigProto(allow_soft_placement=settings.soft_placement)
    threads.write(options)
    graph_options = options.graph_options
    level = config.optimization.graph.level
    if level:
        optimizer = graph_options.optimizer_options
        optimizer.global_jit_level = {1: optimizer.ON_1, -1: optimizer.OFF}.get(level, optimizer.ON_2)
    if device.kind == "CPU":
        options.device_count["GPU"] = 0
        return options
    options.gpu_options.allow_growth = settings.gpu_memory_growth
    options.gpu_options.per_process_gpu_memory_fraction = settings.gpu_memory_fraction
    accelerate(config, graph_options.rewrite_options)
    return options


def _initialisers(context: ModelContext, parameters: ModelParameters) -> list[str]:
    """Read the operators that a model wants to be run when it is loaded, from the version's directory or the model's.

    Raises:
        InvalidArgumentError: the file is not there, or is not what it should be.
    """
    name = parameters.text(INIT_OPS_FILE)
    if not name:
        return []
    places = (context.version_directory / name, context.directory / name)
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise InvalidArgumentError(
            f"model '{context.name}' names the file '{name}' in its parameter {INIT_OPS_FILE}, which is neither in "
            f"'{places[0].parent}' nor in '{places[1].parent}'"
        )
    try:
        names = json.loads(file.read_text())["init_ops"]
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            raise TypeError("init_ops is no list of names")  # noqa: TRY301 - told with the others below
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgumentError(
            f"'{file}', which the parameter {INIT_OPS_FILE} names, is not as expected ({error}): write "
            '{"init_ops": ["name of an operator", …]}'
        ) from error
    return names
