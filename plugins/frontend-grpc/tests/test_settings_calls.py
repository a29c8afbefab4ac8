"""The trace and log settings over gRPC: told whole, changed in part, refused in the reference's words."""

from __future__ import annotations

import logging

import pytest
from charonia.errors import InferenceError
from charonia.rpc import settled
from charonia_protos import grpc_service_pb2 as pb

DEFAULT_TRACE = {
    "trace_level": ["OFF"],
    "trace_rate": ["1000"],
    "trace_count": ["-1"],
    "log_frequency": ["0"],
    "trace_file": [""],
    "trace_mode": ["triton"],
}
DEFAULT_LOG = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}


@pytest.fixture
def trace(application):
    """Change trace settings, and give all."""

    async def send(model="", **changes):
        message = pb.TraceSettingRequest(model_name=model)
        for name, values in changes.items():
            message.settings[name].value[:] = values
            message.settings[name].SetInParent()
        answer = await settled((await application()).call("TraceSetting", message.SerializeToString()))
        return {
            name: list(setting.value) for name, setting in pb.TraceSettingResponse.FromString(answer).settings.items()
        }

    return send


@pytest.fixture
def log(application):
    """Change settings of the log, each given as (kind, value), and give all."""

    async def send(**changes):
        message = pb.LogSettingsRequest()
        for name, (kind, value) in changes.items():
            if kind:
                setattr(message.settings[name], kind, value)
            else:
                message.settings[name].SetInParent()
        answer = await settled((await application()).call("LogSettings", message.SerializeToString()))
        settings = pb.LogSettingsResponse.FromString(answer).settings
        return {name: getattr(setting, setting.WhichOneof("parameter_choice")) for name, setting in settings.items()}

    return send


async def test_trace_settings(trace):
    """A model has the server's settings save its own; a name without values takes a change back."""
    assert await trace() == DEFAULT_TRACE
    assert (await trace(trace_rate=["9"], bogus=["1"]))["trace_rate"] == ["9"]
    assert (await trace("m", trace_count=["5"]))["trace_rate"] == ["9"]
    assert (await trace("m"))["trace_count"] == ["5"]
    assert await trace(trace_rate=[]) == DEFAULT_TRACE


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"model": "ghost"}, "INVALID_ARG", "Request for unknown model : ghost"),
        ({"trace_rate": ["9", "8"]}, "INVALID_ARG", "expect only 1 value for 'trace_rate'"),
        ({"trace_count": ["-2"]}, "INVALID_ARG", "Unable to parse 'trace_count'. Expecting value >= -1, got: -2"),
        (
            {"trace_file": ["x"]},
            "UNSUPPORTED",
            "trace file location can not be updated through network protocol",
        ),
    ],
)
async def test_wrong_trace_settings(trace, changes, code, text):
    """What cannot be set is told with its code."""
    with pytest.raises(InferenceError) as caught:
        await trace(**changes)
    assert (caught.value.code.name, str(caught.value)) == (code, text)


async def test_log_settings(log):
    """Values have the types of the protocol, and hold for the real log until the server ends."""
    assert await log() == DEFAULT_LOG
    changed = await log(log_verbose_level=("uint32_param", 1), log_info=("bool_param", False))
    assert changed == {**DEFAULT_LOG, "log_verbose_level": 1, "log_info": False}
    assert logging.getLogger("charonia.any").isEnabledFor(logging.DEBUG)


@pytest.mark.parametrize(
    ("name", "kind", "value", "code", "text"),
    [
        ("log_info", "string_param", "x", "INVALID_ARG", "expect boolean for 'log_info'"),
        ("log_info", "", None, "INVALID_ARG", "expect boolean for 'log_info'"),
        ("log_verbose_level", "string_param", "x", "INVALID_ARG", "expect int32 for 'log_verbose_level'"),
        ("log_format", "bool_param", True, "INVALID_ARG", "expect string for 'log_format'"),
        ("log_format", "string_param", "zz", "INVALID_ARG", "invalid argument for log_format, got: zz"),
        (
            "log_file",
            "string_param",
            "x",
            "UNSUPPORTED",
            "log file location can not be updated through network protocol",
        ),
    ],
)
async def test_wrong_log_settings(log, name, kind, value, code, text):
    """What cannot be set is told with its code."""
    with pytest.raises(InferenceError) as caught:
        await log(**{name: (kind, value)})
    assert (caught.value.code.name, str(caught.value)) == (code, text)
