"""The page that describes the server, as files."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser
from importlib import resources

import pytest
from charonia.http_message import HttpRequest, RequestHead, settled
from charonia_frontend_http.application import HttpApplication

FILES = {
    name: resources.files("charonia_frontend_http").joinpath("docs", name).read_text()
    for name in ("page.html", "page.css", "page.js")
}


class _Links(HTMLParser):
    """Collects where a page leads, and the ids that it has."""

    def __init__(self):
        super().__init__()
        self.targets = []
        self.ids = []

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.targets += [told[name] for name in ("href", "src") if name in told]
        self.ids += [told["id"]] if "id" in told else []


@pytest.mark.parametrize(
    ("target", "content_type", "name"),
    [
        ("/docs", "text/html; charset=utf-8", "page.html"),
        ("/docs/page.css", "text/css; charset=utf-8", "page.css"),
        ("/docs/page.js", "text/javascript; charset=utf-8", "page.js"),
    ],
)
async def test_page_comes_from_the_package(running, target, content_type, name):
    """The page, its style and its script are files of the package, and may load nothing from elsewhere."""
    application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), 1 << 20)
    response = await settled(application.handle(HttpRequest(RequestHead("GET", target, {}), b"")))
    assert (response.status, response.content_type) == (200, content_type)
    assert response.body.decode() == FILES[name]
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_page_needs_nothing_from_elsewhere():
    """No file names another host, and what the page links to is served beside it."""
    assert not [name for name, text in FILES.items() if re.search(r"https?://|@import|\burl\(", text)]
    links = _Links()
    links.feed(FILES["page.html"])
    assert set(links.targets) == {"data:,", "docs/page.css", "docs/page.js", "v2/openapi.json"}
    assert set(re.findall(r'find\("(\w+)"\)', FILES["page.js"])) <= set(links.ids)
