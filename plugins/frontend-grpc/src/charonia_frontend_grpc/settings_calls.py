"""The calls of the trace and log settings: they change what the message names, and tell all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_protos import grpc_service_pb2 as pb

if TYPE_CHECKING:
    from charonia.server import Server

__all__ = ["SettingsCalls"]


class SettingsCalls:
    """Answers the calls of the settings.

    Args:
        server: the server that has them.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    async def trace(self, message: pb.TraceSettingRequest) -> pb.TraceSettingResponse:
        """Tell and change the trace settings of a model, or of the server; as in the reference, no value takes a change back."""
        changes = {name: list(setting.value) or None for name, setting in message.settings.items()}
        told = self._server.trace_setting(message.model_name, changes).describe()
        value = pb.TraceSettingResponse.SettingValue
        return pb.TraceSettingResponse(settings={name: value(value=values) for name, values in told.items()})

    async def log(self, message: pb.LogSettingsRequest) -> pb.LogSettingsResponse:
        """Tell and change the settings of the log."""
        changes: dict[str, object] = {}
        for name, setting in message.settings.items():
            kind = setting.WhichOneof("parameter_choice")
            changes[name] = () if kind is None else getattr(setting, kind)  # no value at all is of no right type
        told = self._server.log_settings.update(changes).describe()
        return pb.LogSettingsResponse(settings={name: _setting(value) for name, value in told.items()})


def _setting(value: bool | int | str) -> pb.LogSettingsResponse.SettingValue:  # noqa: FBT001 - it is the value itself
    if isinstance(value, bool):
        return pb.LogSettingsResponse.SettingValue(bool_param=value)
    if isinstance(value, int):
        return pb.LogSettingsResponse.SettingValue(uint32_param=value)
    return pb.LogSettingsResponse.SettingValue(string_param=value)
