"""From targets to endpoints."""

from __future__ import annotations

import pytest
from charonia_frontend_http.routes import Routes
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("target", "method", "endpoint", "model", "version"),
    [
        ("/v2/health/live", "GET", "live", "", None),
        ("/v2/health/ready", "GET", "ready", "", None),
        ("/v2", "GET", "server_metadata", "", None),
        ("/v2/models/m", "GET", "model_metadata", "m", None),
        ("/v2/models/m/versions/3", "GET", "model_metadata", "m", 3),
        ("/v2/models/m/config", "GET", "model_config", "m", None),
        ("/v2/models/m/versions/3/config", "GET", "model_config", "m", 3),
        ("/v2/models/m/ready", "GET", "model_ready", "m", None),
        ("/v2/models/m/versions/3/ready", "GET", "model_ready", "m", 3),
        ("/v2/models/m/infer", "POST", "infer", "m", None),
        ("/v2/models/m/versions/003/infer", "POST", "infer", "m", 3),
        ("/v2/repository/index", "POST", "index", "", None),
        ("/v2/repository/any/index", "POST", "index", "", None),
    ],
)
def test_endpoints_have_their_paths(target, method, endpoint, model, version):
    """Each path of the protocol leads to its endpoint, which takes one method."""
    route = Routes().find(target)
    assert (route.method, route.endpoint, route.model, route.version) == (method, endpoint, model, version)
    assert route.error is None


@pytest.mark.parametrize(
    "target",
    [
        *("/", "*", "", "v2", "/v2/", "/V2", "/v2/health", "/v2/health/live/", "/v2/models", "/v2/models/"),
        *("/v2/models/m/", "/v2/models/m/bogus", "/v2/models/m/versions/x", "/v2/models/m/versions/-1/infer"),
        *("/v2/models/m/versions//infer", "/v2/models//infer", "/v2/models/a/b/infer", "/v2/models/m/versions/٣/infer"),
    ],
)
def test_other_paths_lead_nowhere(target):
    """The whole path must match, with case and without a slash at the end."""
    assert Routes().find(target).endpoint == ""


@pytest.mark.parametrize(
    "target",
    ["/v2/models/m?x=1", "/v2/models/m#part", "http://here:8000/v2/models/m", "HTTPS://here/v2/models/m?x=/ready"],
)
def test_query_and_host_do_not_matter(target):
    """What stands around the path is ignored, absolute targets included."""
    route = Routes().find(target)
    assert (route.endpoint, route.model) == ("model_metadata", "m")


def test_names_are_decoded():
    """Every name can be reached, since percent-escapes are decoded after the path was cut."""
    routes = Routes()
    assert routes.find("/v2/models/add%5Fsub/infer").model == "add_sub"
    assert routes.find("/v2/models/a%2Fb%20%C3%A9").model == "a/b é"


@pytest.mark.parametrize("digits", ["9" * 20, "1" * 5000])
def test_version_with_too_many_digits_is_told(digits):
    """Digits that are no version in any server are the client's mistake, not a missing path."""
    route = Routes().find(f"/v2/models/m/versions/{digits}/infer")
    assert route.endpoint == "infer"
    assert str(route.error) == (
        f"failed to get model version from specified version string '{digits}' (details: stol), version should be an "
        "integral value > 0"
    )


@given(st.text())
def test_any_target_is_found_twice_the_same(target):
    """No target breaks it, and a remembered route is the one that was found first."""
    routes = Routes()
    assert routes.find(target) == routes.find(target)


def test_memory_is_bounded():
    """Neither many targets nor long ones fill the memory."""
    routes = Routes()
    for number in range(3000):
        routes.find(f"/v2/models/{number}")
    routes.find("/v2/models/" + "a" * 5000)
    assert len(routes._seen) <= 1024
    assert max(map(len, routes._seen)) <= 1024
