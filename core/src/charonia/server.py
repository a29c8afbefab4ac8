"""The server: it wires repositories, plugins and models together and is the one door to them."""

from __future__ import annotations

import logging
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from charonia.access_log import AccessLog
from charonia.deadline import Deadline
from charonia.errors import InvalidArgumentError, NotFoundError, RepositoryError, UnavailableError
from charonia.handle import ModelHandle
from charonia.lifecycle import Lifecycle
from charonia.loader import Loader
from charonia.log_settings import LogSettings
from charonia.mailbox import Mailboxes
from charonia.metadata import ModelMetadata, ServerMetadata, VersionStatistics
from charonia.model import Model, ModelRetiredError
from charonia.model_control import ModelControl
from charonia.model_repositories import ModelRepositories
from charonia.model_states import VersionState
from charonia.namespaced_models import NamespacedModels
from charonia.options import ServerOptions
from charonia.overrides import LoadParameters, check_model_name
from charonia.plugins import Plugins
from charonia.shared_memory import SharedMemory
from charonia.tracing import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from charonia.config import ModelConfig
    from charonia.load_teller import LoadEvent
    from charonia.metric_families import MetricFamily
    from charonia.model_states import IndexEntry
    from charonia.models import Models
    from charonia.request import InferenceRequest
    from charonia.trace_settings import TraceSetting

__all__ = ["Server"]

_EXITING = "Server exiting: it finishes what it has accepted and takes no new requests"
_END_SECONDS = 1.0
"""What models that have nothing to do any more get to end in, however little of the exit timeout is left."""

_log = logging.getLogger(__name__)


class Server:
    """An inference server in this process. Frontends are added by `charonia.serving`; none is needed.

        with Server("models") as server:
            answer = server.model("resnet").infer({"image": image})

    Every method may be called from any thread.

    Args:
        model_repository: the location of one model repository, or of several.
        options: the settings.
        plugins: the plugins; those that are installed if not given.
        log_settings: what is logged, where the caller writes the log; closed by the caller.

    Attributes:
        options: the settings.
        plugins: the plugins.
        mailboxes: the ways from instance threads into event loops.
        log_settings: what is logged, which clients may change.
        shared_memory: the regions of memory that clients share with the server.
        tracer: what traces requests; frontends ask it whether anything is traced at all.
    """

    def __init__(
        self,
        model_repository: str | Path | Sequence[str | Path] = (),
        *,
        options: ServerOptions | None = None,
        plugins: Plugins | None = None,
        log_settings: LogSettings | None = None,
    ) -> None:
        self.options = ServerOptions() if options is None else options
        self.plugins = plugins or Plugins(disabled=self.options.disabled_plugins, choices=self.options.plugin_choices)
        places = [model_repository] if isinstance(model_repository, str | Path) else model_repository
        self._repositories = ModelRepositories([str(place) for place in places], self.options, self.plugins)
        self.tracer = Tracer(self.plugins.trace_writer(self.options.trace.mode)(self.options.trace))
        self._access_log = AccessLog()
        self._loader = Loader(self.options, self.plugins, self, self.tracer, self._access_log)
        self._lifecycle = Lifecycle(self._repositories, self._loader, self.options.model_load_thread_count)
        self._models = self._lifecycle.models
        self._control = ModelControl(self._repositories, self._lifecycle, self.options)
        self._started = False
        self._closing = False
        self._state_lock = threading.Lock()  # guards `_deadline`
        self._deadline: Deadline | None = None
        self._close_lock = threading.Lock()  # guards `_closed`; whoever closes holds it to the end, and others wait
        self._closed: bool | None = None
        self.mailboxes = Mailboxes()
        self.log_settings = LogSettings() if log_settings is None else log_settings
        self._own_log_settings = log_settings is None
        self.shared_memory = SharedMemory(allowed=self.options.allow_client_shm)

    # -- its life

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, listener: Callable[[LoadEvent], None] | None = None) -> None:
        """Load the models that the control mode asks for, and be live.

        Args:
            listener: told each step of each load; called on loader threads. The log tells how loads end only where there is none.

        Raises:
            RepositoryError: a repository cannot be read; or, with `exit_on_error`, a model failed to load. The healthy ones
                serve nevertheless until `close`.
            UnavailableError: the server was closed, before or meanwhile: make another one.
        """
        if self._closing:
            raise UnavailableError("the server was closed, and does not start again: make another one")
        failures = self._control.load_first(listener)
        self._started = True
        if failures and self.options.exit_on_error:
            told = "\n".join(f"  {name}: {str(error).rstrip()}" for name, error in failures.items())
            raise RepositoryError(f"failed to load all models:\n{told}")
        self._control.follow(failures)

    def begin_shutdown(self) -> None:
        """Be not ready, and refuse new requests; accepted ones go on for `exit_timeout_secs` from now. Idempotent."""
        with self._state_lock:
            if self._deadline is None:
                self._deadline = Deadline(self.options.exit_timeout_secs)
            self._closing = True
        self._control.stop()
        self._lifecycle.refuse_loads()

    def close(self) -> bool:
        """Finish what was accepted, unload everything, join every thread. Idempotent.

        Gives False if requests, or loads, were still in progress `exit_timeout_secs` after the shutdown began.
        """
        self.begin_shutdown()
        with self._close_lock:
            if self._closed is None:
                self._closed = self._close()
            return self._closed

    def _close(self) -> bool:
        left = 0.0 if self._deadline is None else self._deadline.left
        finished = self._lifecycle.close(max(left, _END_SECONDS))
        self._control.join(_END_SECONDS)
        if not finished:
            _log.error("Exit timeout of %g s expired with requests in progress", self.options.exit_timeout_secs)
        else:  # what still runs keeps its backend and its files
            self._loader.close()
            self._repositories.close()
        for owned in (self.tracer, self._access_log, self.shared_memory):
            owned.close()
        if self._own_log_settings:
            self.log_settings.close()
        return finished

    @property
    def live(self) -> bool:
        """Whether the server has started and not begun to stop."""
        return self._started and not self._closing

    @property
    def ready(self) -> bool:
        """Whether the server is live and, with `strict_readiness`, every version that was asked to load serves."""
        return self.live and (not self.options.strict_readiness or self._models.settled)

    # -- requests

    def submit(self, request: InferenceRequest) -> None:
        """Pass a request to its model. Does not block; the request's sink gets the responses.

        Raises:
            NotFoundError: there is no such model or version.
            InvalidArgumentError: the request does not fit the model.
            UnavailableError: the model or the server does not take requests now.
        """
        self._pass_on(request, "submit")

    def submit_direct(self, request: InferenceRequest) -> bool:
        """Execute a request in the calling thread, if an instance is free. False if not: then `submit` it. Raises the same."""
        return self._pass_on(request, "submit_direct")

    def submit_prompt(self, request: InferenceRequest, model: Model | None = None) -> bool:
        """Execute a request in the calling thread, which must not be held up. Raises what `submit` raises.

        False, and nothing done, unless an instance is free and the model has proved to be so quick that passing the request to
        another thread would take longer: then `submit` it. A caller who has just looked for the `model` may say so.
        """
        if model is not None and not self._closing:
            try:
                return model.submit_prompt(request)
            except ModelRetiredError:
                return self.submit_prompt(request)
        return self._pass_on(request, "submit_prompt")

    def _pass_on(self, request: InferenceRequest, way: Literal["submit", "submit_direct", "submit_prompt"]) -> bool:
        while True:
            model = self._accepting(request)
            try:
                return bool(getattr(model, way)(request))  # of the model's own kind, which may have another way
            except ModelRetiredError:
                self._check_replaced(model)

    def _accepting(self, request: InferenceRequest) -> Model:
        if self._closing and request.parent is None:  # what was accepted may need other models to finish
            raise UnavailableError(_EXITING)
        try:
            return self.get(request.model_name, request.model_version, request.model_namespace)
        except (NotFoundError, UnavailableError):
            leaving = request.parent and self._models.leaving(request)
            if not leaving:
                raise
            return leaving

    def _check_replaced(self, model: Model) -> None:
        """Go on if the table has another model by now; the switch comes before the retirement, so that it has."""
        if self._models.serves(model):
            raise UnavailableError(
                f"Request for unknown model: '{model.name}' version {model.version} is not at ready state"
            )

    # -- models

    def model(self, name: str, version: int | None = None) -> ModelHandle:
        """Give the in-process API of a model; None is the greatest version that serves. The model need not exist yet."""
        return ModelHandle(self, name, version)

    def get(self, name: str, version: int | None = None, namespace: str = "") -> Model:
        """Find the model of a name and version, None is the greatest; in this namespace if there is one, else the only one.

        Raises:
            NotFoundError: no such model, no such version, or nothing of it is loaded; with the reference's texts.
            UnavailableError: the version is loading or unloading, or the server does not serve.
            InvalidArgumentError: several namespaces have a model of this name.
        """
        versions = self._models.find(name, namespace) if namespace else self._models.by_name.get(name)
        if versions:
            if version is None:
                return versions[max(versions)]
            model = versions.get(version)
            if model is not None:
                return model
        if not (self._started or self._closing or self._models.records):
            raise UnavailableError("the server has not been started: enter it with `with`, or call `start`")
        raise UnavailableError(_EXITING) if self._closing else self._models.explain_absence(name, version, namespace)

    def within(self, namespace: str, homes: Mapping[str, str]) -> Models:
        """Show the models as those of a namespace see them; see `charonia.models.AllModels`."""
        return NamespacedModels(self, namespace, homes) if namespace else self

    def can_serve(self, name: str, version: int | None = None, namespace: str = "") -> bool:
        """Tell whether a model, or one version of it, can execute requests now. False, too, if there is none."""
        models = self._models.find(name, namespace)
        return self.live and any(model.ready for number, model in models.items() if version in (None, number))

    def model_ready(self, name: str, version: int | None = None, namespace: str = "") -> bool:
        """Tell whether a model, or one version of it, is ready, by its own word, too.

        It may take some seconds where the model has code that tells: no event loop calls this.

        Raises:
            NotFoundError: nobody ever asked to load such a model, as in the reference's later releases.
        """
        if not self._models.keys_of(name, namespace):
            raise self._models.explain_absence(name, version, namespace)
        return self.can_serve(name, version, namespace) and self.get(name, version, namespace).confirm_ready()

    def load(self, name: str, *, config: str | None = None, files: Mapping[str, bytes] | None = None) -> None:
        """Load a model, or load it anew beside the one that serves, and switch when it is ready.

        What has changed of the models that an ensemble uses is loaded with it. An ensemble that they do not fit any more goes.

        A `config` without `files` stays in force for later loads without one, until the model is unloaded or its files in the
        repository change; `files` serve until the next load. Both as in the reference.

        Args:
            name: the model's name.
            config: the configuration in JSON, which replaces the stored one entirely.
            files: content by path in the model's directory, such as `1/model.onnx`: they replace the stored directory
                entirely, and need a `config`. With them, the model need not be in a repository.

        Raises:
            InternalError: there is no such model, or its configuration is wrong.
            InvalidArgumentError: the name or a path leads elsewhere; or a version failed to load. What served before goes on
                serving.
            UnavailableError: the server is stopping.
        """
        check_model_name(name)
        self._lifecycle.load(name, parameters=LoadParameters(config, files or {}))

    def unload(self, name: str, *, unload_dependents: bool = False) -> None:
        """Take a model out of service. Requests that it accepted still finish. No error if it is not loaded.

        Args:
            name: the model's name.
            unload_dependents: whether the models that it uses go, too, unless somebody asked for them by name, or other models
                use them. Models that use this one go in any case.
        """
        self._lifecycle.unload(name, unload_dependents=unload_dependents)

    # -- what it tells

    def metadata(self) -> ServerMetadata:
        """Tell the server's name and version."""
        return ServerMetadata.of(self.options.server_id, version("charonia"), self.plugins.names("scheduler"))

    def model_metadata(self, name: str, version: int | None = None) -> ModelMetadata:
        """Tell a model's ready versions, platform, inputs and outputs. Raises what `get` raises."""
        model = self.get(name, version)
        served = sorted(self._models.find(name) or {model.version: model}) if version is None else [model.version]
        return ModelMetadata.of(model, served)

    def model_config(self, name: str, version: int | None = None, namespace: str = "") -> ModelConfig:
        """Give a model's configuration, complete and normalised; read only. Raises what `get` raises."""
        return self.get(name, version, namespace).config

    def key_of(self, name: str, namespace: str = "") -> str:
        """Give what the server knows a model by; see `charonia.models.Models`."""
        return self._models.key_of(name, namespace)

    def labels(self, name: str, version: int | None = None, namespace: str = "") -> Mapping[str, Sequence[bytes]]:
        """Give the labels of a model's outputs, for those that have any. Raises what `get` raises."""
        return self.get(name, version, namespace).labels

    def statistics(self, name: str = "", version: int | None = None) -> list[VersionStatistics]:
        """Give the counters of all ready versions of a model, of one version, or of all models; sorted by name and version.

        Raises:
            InvalidArgumentError: nothing of it is ready. As in the reference, it is no NotFoundError here.
        """
        if not name:
            return [VersionStatistics.of(model, namespace) for namespace, model in self._models.namespaced()]
        models = self._models.find(name)
        if not models:
            raise InvalidArgumentError(f"requested model '{name}' is not available")
        if version is not None and version not in models:
            raise InvalidArgumentError(f"requested model version is not available for model '{name}'")
        return [VersionStatistics.of(model) for number, model in models.items() if version in (None, number)]

    def departing(self) -> list[tuple[VersionStatistics, ModelConfig]]:
        """Give the counters and the configuration of versions that were unloaded, and that still have requests to finish."""
        return [(VersionStatistics.of(model, namespace), model.config) for namespace, model in self._models.departing()]

    def metrics(self) -> list[MetricFamily]:
        """Give what is told beside the statistics: by the traces, the response cache and the memory budget; then by backends.

        Those of backends are their models', too, which may take any name.
        """
        return [*self.tracer.metrics(), *self._loader.metrics()]

    def trace_setting(self, model: str = "", changes: Mapping[str, Sequence[str] | None] | None = None) -> TraceSetting:
        """Tell the trace settings of a model, or with "" those of the server, and change them first if `changes` says so.

        Raises:
            InvalidArgumentError: the model does not serve, or a value is wrong; see `TraceSettings.update`.
            UnsupportedError: what is to be changed cannot be.
        """
        if model and not self.can_serve(model):
            raise InvalidArgumentError(f"Request for unknown model : {model}")
        return self.tracer.update(changes or {}, model)

    def require_explicit_control(self) -> None:
        """Refuse a client's wish to load or unload, unless the control mode lets clients have it. Programs are not bound by it.

        Raises:
            UnavailableError: the control mode is another one; the reference's text.
        """
        self._control.require_explicit()

    def index(self, *, ready: bool = False) -> list[IndexEntry]:
        """List every model of the repositories with the state of its versions; with `ready`, only what is READY.

        Where a repository cannot be read now, its models have a row with the reason.
        """
        rows = self._models.index(self._repositories.survey())
        return [row for row in rows if row.state == VersionState.READY.value] if ready else rows
