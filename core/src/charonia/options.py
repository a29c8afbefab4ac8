"""The settings of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from charonia.errors import InvalidArgumentError
from charonia.trace_settings import TraceSetting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.rate_limiter import ResourceLimit

__all__ = ["ControlMode", "RateLimit", "ServerOptions"]

ControlMode = Literal["none", "poll", "explicit"]
RateLimit = Literal["off", "execution_count"]


@dataclass(frozen=True)
class ServerOptions:
    """The settings of a server; each has the meaning of the reference's flag of the same name, where there is one.

    Attributes:
        server_id: the server's name in its metadata.
        model_control_mode: "none" loads every model at the start; "poll" does, too, and follows what changes in the repositories;
            "explicit" loads `load_model` only.
        repository_poll_secs: how often mode "poll" looks at the repositories, in seconds; 0 is never.
        repository_settle_secs: how long a change in a repository must hold still before mode "poll" acts on it, in seconds.
        load_model: the models that mode "explicit" loads at the start; "*" alone means all.
        exit_on_error: whether `Server.start` raises if a model fails to load.
        strict_readiness: whether a server with a failed model is not ready.
        exit_timeout_secs: how long requests in progress may take once the server has begun to stop, in seconds.
        disable_auto_complete_config: whether each model's configuration must be complete as it is written.
        model_config_name: the configuration `configs/NAME.pbtxt` is read instead of `config.pbtxt`, where a model has one; ""
            for none.
        model_namespacing: whether models of equal names in several repositories are models of their own, which an ensemble of the
            same repository finds by their names.
        model_load_thread_count: how many models load side by side.
        model_cache_directory: where copies of remote models lie; "" is a place in the user's folder of caches.
        model_cache_byte_size: how many bytes these may take; 0 is what the disk has.
        backend_config: settings for backends, by backend and name; those under "" are for all.
        disabled_plugins: entry points or distributions that are left alone.
        plugin_choices: which distribution serves a name that several claim, as "backend.onnxruntime" → distribution.
        allow_client_shm: whether clients may register shared memory, which lets them end the server by shrinking it.
        cache_config: the response cache as its name → its settings; without one, no response is given again.
        rate_limit: "execution_count" lets an instance execute only while it holds the resources that its `rate_limiter` lists;
            "off" ignores them.
        rate_limit_resource: how much of them there is. Without any limit, as much as the instance needs that needs most.
        warmup_batch_sizes: models without a warm-up of their own execute zeros in batches of these sizes before they serve.
        transport: what carries the frontends' messages: "standard", a plugin's name, or "auto".
        log_access: whether there is a line in the log for each request, under `charonia.access`.
        trace: which requests are traced, and the file that this is written to; nothing without one. Clients may change it.
        memory_budget: how many bytes all models may take together; 0 is no limit. With one, a model is loaded at its first
            request, and what was used least lately goes out of memory when there is no room.
        memory_wait_secs: how long such a load waits for room while everything is in use, in seconds.
        environment: what `${NAME}` in a model's configuration stands for; None means the process's environment.

    Raises:
        InvalidArgumentError: there is no such control mode, or way to limit; names are no list, or the memory budget is no
            number; the name of a configuration leads elsewhere; or there is more than one response cache.
    """

    server_id: str = "charonia"
    model_control_mode: ControlMode = "none"
    repository_poll_secs: float = 15.0
    repository_settle_secs: float = 1.0
    load_model: Sequence[str] = ()
    exit_on_error: bool = True
    strict_readiness: bool = True
    exit_timeout_secs: float = 30.0
    disable_auto_complete_config: bool = False
    model_config_name: str = ""
    model_namespacing: bool = False
    model_load_thread_count: int = 4
    model_cache_directory: str = ""
    model_cache_byte_size: int = 0
    backend_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    disabled_plugins: Sequence[str] = ()
    plugin_choices: Mapping[str, str] = field(default_factory=dict)
    allow_client_shm: bool = False
    cache_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rate_limit: RateLimit = "off"
    rate_limit_resource: Sequence[ResourceLimit] = ()
    warmup_batch_sizes: Sequence[int] = ()
    transport: str = "auto"
    log_access: bool = False
    trace: TraceSetting = field(default_factory=TraceSetting)
    memory_budget: int = 0
    memory_wait_secs: float = 30.0
    environment: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name, words in (("model_control_mode", get_args(ControlMode)), ("rate_limit", get_args(RateLimit))):
            if getattr(self, name) not in words:
                raise InvalidArgumentError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(map(repr, words))}"
                )
        for name in ("load_model", "disabled_plugins"):
            if isinstance(getattr(self, name), str):  # which is a sequence of names, too, each with one letter
                raise InvalidArgumentError(f"{name} is {getattr(self, name)!r}; expected a list of names")
        if not isinstance(self.memory_budget, int):
            raise InvalidArgumentError(f"memory_budget is {self.memory_budget!r}; expected a number of bytes")
        if any(character in self.model_config_name for character in "/\\\0"):
            raise InvalidArgumentError(
                f"model_config_name is {self.model_config_name!r}; expected the name of a file in the folder configs"
            )
        if len(self.cache_config) > 1:
            raise InvalidArgumentError(
                f"cache_config names {', '.join(map(repr, self.cache_config))}: a server has one response cache at most"
            )

    def of_backend(self, name: str) -> dict[str, str]:
        """Give the settings of one backend: those for all, overlaid by its own."""
        return {**self.backend_config.get("", {}), **self.backend_config.get(name, {})}

    def default_max_batch_size(self, backend: str) -> int:
        """Give the setting `default-max-batch-size` of a backend; the reference's default is 4.

        Raises:
            InvalidArgumentError: the setting is no whole number of 0 or more.
        """
        text = self.of_backend(backend).get("default-max-batch-size", "4")
        if not text.isdecimal():
            raise InvalidArgumentError(
                f"--backend-config={backend},default-max-batch-size={text}: expected a whole number of 0 or more"
            )
        return int(text)
