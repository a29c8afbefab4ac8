"""From a request's method and target to the endpoint that answers it.

The whole path must match, with case, and without a slash at the end; the query is ignored. Percent-escapes in a model's name
are decoded, which the reference does not do, so that every name can be reached.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from charonia.errors import InvalidArgumentError

if TYPE_CHECKING:
    from charonia.errors import InferenceError

__all__ = ["Route", "Routes"]

_MODEL = r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[0-9]+))?"
_SYSTEM = r"/v2/systemsharedmemory(?:/region/(?P<region>[^/]+))?"
_CUDA = r"/v2/cudasharedmemory(?:/region/(?P<region>[^/]+))?"
_TABLE = (
    ("GET", r"/v2/health/live", "live"),
    ("GET", r"/v2/health/ready", "ready"),
    ("GET", r"/v2", "server_metadata"),
    ("GET", r"/v2/openapi\.json", "openapi"),
    ("GET", r"/docs", "docs_page"),
    ("GET", r"/docs/page\.css", "docs_style"),
    ("GET", r"/docs/page\.js", "docs_script"),
    ("POST", r"/v2/repository(?:/[^/]+)?/index", "index"),
    ("GET", r"/v2/models/stats", "statistics"),  # wins over a model of that name, as in the reference
    ("GET", _MODEL + r"/stats", "statistics"),
    ("POST", r"/v2/repository(?:/(?P<repository>[^/]+))?/models/(?P<model>[^/]+)/load", "load"),
    ("POST", r"/v2/repository(?:/(?P<repository>[^/]+))?/models/(?P<model>[^/]+)/unload", "unload"),
    ("POST", _MODEL + r"/infer", "infer"),
    ("POST", _MODEL + r"/generate", "generate"),
    ("POST", _MODEL + r"/generate_stream", "generate_stream"),
    ("POST", _MODEL + r"/predict", "predict"),
    ("GET", _MODEL + r"/ready", "model_ready"),
    ("GET", _MODEL + r"/config", "model_config"),
    ("GET", _MODEL, "model_metadata"),
    ("GET, POST", r"/v2/trace/setting", "trace_setting"),
    ("GET, POST", r"/v2/models/(?P<model>[^/]+)/trace/setting", "trace_setting"),
    ("GET, POST", r"/v2/logging", "log_setting"),
    ("GET", _SYSTEM + r"/status", "system_status"),
    ("POST", _SYSTEM + r"/register", "system_register"),
    ("POST", _SYSTEM + r"/unregister", "system_unregister"),
    ("GET", _CUDA + r"/status", "cuda_status"),
    ("POST", _CUDA + r"/register", "cuda_register"),
    ("POST", _CUDA + r"/unregister", "cuda_unregister"),
)
_ROUTES = tuple((method, re.compile(pattern), endpoint) for method, pattern, endpoint in _TABLE)
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_MAX_VERSION_DIGITS = 18
_REMEMBERED = 1024
_MAX_REMEMBERED_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes.

    Attributes:
        endpoint: the endpoint's name; "" where no path matches.
        method: the method that it takes, or "GET, POST".
        model: the model's name in the path, or "".
        version: the version in the path, or None.
        repository: the repository's name in the path, or "".
        region: the shared memory region's name in the path, or "".
        error: what is wrong with the path, told when the endpoint is entered.
    """

    endpoint: str
    method: str = ""
    model: str = ""
    version: int | None = None
    repository: str = ""
    region: str = ""
    error: InferenceError | None = None

    def takes(self, method: str) -> bool:
        """Tell whether the endpoint takes requests of a method."""
        return method == self.method or method in self.method.split(", ")


class Routes:
    """Finds routes, and remembers those of the targets that it has seen lately: clients send the same ones again and again."""

    def __init__(self) -> None:
        self._seen: dict[str, Route] = {}

    def find(self, target: str) -> Route:
        """Find the route of a request target, which is a path or an absolute URL."""
        route = self._seen.get(target)
        if route is None:
            route = _find(target)
            if len(target) <= _MAX_REMEMBERED_LENGTH:
                if len(self._seen) >= _REMEMBERED:
                    self._seen.clear()
                self._seen[target] = route
        return route


def _find(target: str) -> Route:
    path = _ABSOLUTE.sub("", target, count=1) if not target.startswith("/") else target
    path = path.partition("?")[0].partition("#")[0]
    for method, pattern, endpoint in _ROUTES:
        match = pattern.fullmatch(path)
        if match is None:
            continue
        found = match.groupdict()
        digits = found.get("version")
        version, error = _version(digits) if digits else (None, None)
        model, repository, region = (unquote(found.get(name) or "") for name in ("model", "repository", "region"))
        return Route(endpoint, method, model, version, repository, region, error)
    return Route("")


def _version(digits: str) -> tuple[int | None, InferenceError | None]:
    if len(digits) <= _MAX_VERSION_DIGITS:
        return int(digits), None
    return None, InvalidArgumentError(
        f"failed to get model version from specified version string '{digits}' (details: stol), version should be an integral "
        "value > 0"
    )
