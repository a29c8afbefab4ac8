"""What `charonia serve` was told, as the options of the server and of its frontends."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import click

from charonia.cli.flags import parameter_name
from charonia.cli.trace_flags import trace_setting
from charonia.log_settings import LogSettings
from charonia.options import ServerOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.frontend_offer import OptionValue
    from charonia.plugins import Plugins

__all__ = ["ServeSettings"]


@dataclass(frozen=True)
class ServeSettings:
    """All that a server needs to be made.

    Attributes:
        repositories: where the models lie.
        options: the server's options.
        plugins: the plugins, some of which may be switched off.
        frontends: the frontends' options, by name.
        log: what is logged.
    """

    repositories: Sequence[str]
    options: ServerOptions
    plugins: Plugins
    frontends: Mapping[str, OptionValue]
    log: LogSettings = field(default_factory=LogSettings)

    @staticmethod
    def of(
        parameters: Mapping[str, Any], plugins: Plugins, choices: Mapping[str, str], log: LogSettings
    ) -> ServeSettings:
        """Make them from what click has parsed.

        Args:
            parameters: values by parameter name, each converted.
            plugins: the plugins whose options were among them.
            choices: which package serves a name that several claim.
            log: what is logged.

        Raises:
            click.UsageError: options that do not go together; the reference's texts.
        """
        _check_load_model(parameters["model_control_mode"], parameters["load_model"])
        same = {it.name: parameters[it.name] for it in fields(ServerOptions) if it.name in parameters}
        told: dict[str, Any] = {
            **same,
            "server_id": parameters["id"],
            "disable_auto_complete_config": same["disable_auto_complete_config"] or parameters["strict_model_config"],
            "model_config_name": same["model_config_name"] or "",
            "backend_config": _by_backend(parameters["backend_config"]),
            "disabled_plugins": parameters["disable_plugin"],
            "plugin_choices": choices,
            "cache_config": _by_cache(parameters["cache_config"], parameters["response_cache_byte_size"]),
            "trace": trace_setting(parameters["trace_config"]),
        }
        frontends = {
            option.name: _as_one(parameters[parameter_name(option.name)])
            for offer in plugins.frontends().values()
            for option in offer.options
        }
        return ServeSettings(parameters["model_repository"], ServerOptions(**told), plugins, frontends, log)


def _as_one(value: OptionValue | tuple[str, ...]) -> OptionValue:
    """Give all that was said for an option that may come several times as one text, with a line for each."""
    return "\n".join(value) if isinstance(value, tuple) else value


def _check_load_model(mode: str, names: Sequence[str]) -> None:
    if names and mode != "explicit":
        raise click.UsageError("Use of '--load-model' requires setting '--model-control-mode=explicit' as well.")
    if "*" in names and len(names) > 1:
        raise click.UsageError("Wildcard model name '*' must be the ONLY startup model if specified at all.")


def _by_backend(settings: Sequence[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Sort settings by backend; of two for the same name the later wins."""
    sorted_settings: dict[str, dict[str, str]] = {}
    for backend, name, value in settings:
        sorted_settings.setdefault(backend, {})[name] = value
    return sorted_settings


def _by_cache(settings: Sequence[tuple[str, str, str]], byte_size: int) -> dict[str, dict[str, str]]:
    """Give the one response cache with its settings, or none; of two settings of the same name the later wins."""
    if settings and byte_size:
        raise click.UsageError(
            "Incompatible flags --response-cache-byte-size and --cache-config both provided. Please provide one or the other."
        )
    if byte_size:
        return {"local": {"size": str(byte_size)}}
    caches: dict[str, dict[str, str]] = {}
    for name, setting, value in settings:
        caches.setdefault(name, {}).update({setting: value} if setting else {})
    if len(caches) > 1:
        raise click.UsageError(f"--cache-config names {', '.join(caches)}: a server has one response cache at most.")
    return caches
