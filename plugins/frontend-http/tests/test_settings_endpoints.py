"""The trace and log settings over HTTP: told whole, changed in part, refused in the reference's words."""

from __future__ import annotations

import json
import logging

import pytest
from charonia import Server
from charonia.errors import ErrorCode, InferenceError
from charonia.http_message import HttpRequest, RequestHead
from charonia.plugins import Plugins
from charonia_frontend_http.routes import Route
from charonia_frontend_http.settings_endpoints import SettingsEndpoints
from hypothesis import given
from hypothesis import strategies as st

TRACE = "/v2/trace/setting"
LOG = "/v2/logging"
DEFAULT_TRACE = {
    "trace_level": ["OFF"],
    "trace_rate": "1000",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_file": "",
    "trace_mode": "triton",
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
async def ask(asking):
    """Send requests to an application; give status and what the body says."""
    async with asking() as ask:

        async def send(method, target, document=None):
            status, content_type, said = await ask(method, target, document)
            assert content_type == "application/json"
            return status, said

        yield send


async def test_trace_settings(ask):
    """A model has the server's settings save its own; null takes a change back; what is not known is passed over."""
    assert await ask("GET", TRACE) == await ask("POST", TRACE, {}) == (200, DEFAULT_TRACE)
    assert (await ask("POST", TRACE, {"trace_rate": "9", "bogus": 1, "trace_level": []}))[1]["trace_rate"] == "9"
    own = "/v2/models/m/trace/setting"
    assert (await ask("POST", own, {"trace_count": "5"}))[1] == {
        **DEFAULT_TRACE,
        "trace_rate": "9",
        "trace_count": "5",
    }
    assert (await ask("GET", own))[1]["trace_count"] == "5"
    assert await ask("POST", TRACE, {"trace_rate": None, "trace_level": None}) == (200, DEFAULT_TRACE)


@pytest.mark.parametrize(
    ("document", "status", "text"),
    [
        (None, 400, "failed to parse the request JSON buffer: The document is empty. at 0"),
        ([], 400, "attempt to access JSON non-object as object"),
        ({"trace_rate": 5}, 400, "attempt to access JSON non-string as string"),
        ({"trace_level": "TENSORS"}, 400, "attempt to access JSON non-array as array"),
        ({"trace_level": [1]}, 400, "attempt to access JSON non-string as string"),
        ({"trace_level": ["TENSORS"]}, 400, "Attempting to set invalid trace setting :trace file name is not given"),
        ({"trace_file": "x"}, 501, "trace file location can not be updated through network protocol"),
        ({"trace_file": None, "trace_rate": 5}, 501, "trace file location can not be updated through network protocol"),
    ],
)
async def test_wrong_trace_settings(ask, document, status, text):
    """What cannot be set is told, and changes nothing."""
    assert await ask("POST", TRACE, document) == (status, {"error": text})
    assert await ask("GET", TRACE) == (200, DEFAULT_TRACE)


async def test_trace_settings_of_nothing(ask):
    """A model that does not serve has no settings."""
    answer = await ask("GET", "/v2/models/ghost/trace/setting")
    assert answer == (400, {"error": "Request for unknown model : ghost"})


@pytest.mark.parametrize("target", [TRACE, LOG, "/v2/models/m/trace/setting"])
async def test_settings_are_got_and_posted(ask, target):
    """No other method is taken."""
    assert await ask("PUT", target, {}) == (405, {"error": "Method Not Allowed"})


async def test_log_settings(ask):
    """They hold at once for the real log; null changes nothing."""
    assert await ask("GET", LOG) == await ask("POST", LOG, {"log_file": None, "zzz": 1}) == (200, DEFAULT_LOG)
    wanted = {"log_verbose_level": 1, "log_info": False, "log_format": "ISO8601", "log_error": None}
    assert await ask("POST", LOG, wanted) == (200, {**DEFAULT_LOG, **wanted, "log_error": True})
    assert logging.getLogger("charonia.any").isEnabledFor(logging.DEBUG)


@pytest.mark.parametrize(
    ("document", "status", "text"),
    [
        (None, 400, "failed to parse the request JSON buffer: The document is empty. at 0"),
        ({"log_info": 1}, 400, "attempt to access JSON non-boolean as boolean"),
        ({"log_verbose_level": -1}, 400, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        ({"log_verbose_level": 2**32}, 400, "expect int32 for 'log_verbose_level'"),
        ({"log_format": 1}, 400, "attempt to access JSON non-string as string"),
        ({"log_format": "zzz"}, 400, "invalid argument for log_format, got: zzz"),
        ({"log_file": "/tmp/x"}, 501, "log file location can not be updated through network protocol"),
    ],
)
async def test_wrong_log_settings(ask, document, status, text):
    """What cannot be set is told, and changes nothing."""
    assert await ask("POST", LOG, document) == (status, {"error": text})
    assert await ask("GET", LOG) == (200, DEFAULT_LOG)


NAMES = [*DEFAULT_TRACE, *DEFAULT_LOG, "more"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["OFF", "TENSORS", "7", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(document=VALUES | st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
@pytest.mark.parametrize("endpoint", ["trace_setting", "log_setting"])
def test_any_document_gets_an_answer(endpoint, document):
    """Whatever the document says, the answer has all settings, or tells a mistake that is not the server's."""
    server = Server(plugins=Plugins(entry_points=()))
    body = json.dumps(document).encode()
    try:
        response = SettingsEndpoints(server).by_name[endpoint](
            Route(endpoint), HttpRequest(RequestHead("POST", "/", {}), body)
        )
    except InferenceError as error:
        assert error.code in {ErrorCode.INVALID_ARG, ErrorCode.UNSUPPORTED}  # noqa: PT017 - one of the two good ends
    else:
        assert set(json.loads(response.body)) == set(DEFAULT_TRACE if endpoint == "trace_setting" else DEFAULT_LOG)
    finally:
        server.close()
