"""A real browser without a window, driven over the DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager

import aiohttp
import pytest

PATIENCE_SECONDS = 60
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0"),
)


def chromium_path():
    """Find the browser, or skip the test, which says so."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is installed here (on Debian: apt-get install chromium)")
    return path


class Tab:
    """A page in the browser.

    Attributes:
        messages: what the page has complained about: exceptions, and what the browser refuses to do.
        requested: the URLs of everything that the page has loaded.
    """

    def __init__(self, socket):
        self._socket = socket
        self._sent = 0
        self.messages = []
        self.requested = []

    async def call(self, method, **parameters):
        """Have the browser do something, and give its answer."""
        self._sent += 1
        await self._socket.send_json({"id": self._sent, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=PATIENCE_SECONDS)
            if message.get("id") == self._sent:
                assert "error" not in message, message
                return message["result"]
            self._note(message.get("method"), message.get("params", {}))

    def _note(self, method, told):
        if method == "Network.requestWillBeSent":
            self.requested.append(told["request"]["url"])
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            # that the server has refused something may be what a test is about
            if told["entry"]["source"] != "network":
                self.messages.append(told["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.messages.append(json.dumps(told["exceptionDetails"]))

    async def open(self, url):
        """Go to a URL."""
        for domain in ("Network", "Log", "Runtime", "Page"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def value(self, expression):
        """Evaluate an expression, or await a promise, in the page."""
        told = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def wait_for(self, expression):
        """Wait until an expression holds, looking whenever the page changes, and give its value."""
        return await self.value(
            f"""new Promise((resolve) => {{
                const look = () => {{ const found = ({expression}); if (found) {{ observer.disconnect(); resolve(found); }} }};
                const observer = new MutationObserver(look);
                observer.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
                look();
            }})"""
        )


@asynccontextmanager
async def _browse(folder):
    """Start a browser with an empty profile in a folder, and give its one tab."""
    program = await asyncio.create_subprocess_exec(
        chromium_path(),
        *_FLAGS,
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"DevTools listening on" not in (line := await program.stderr.readline()):
                assert line, "the browser ended before it listened"
            port = line.split(b"//")[1].split(b"/")[0].decode()
        drain = asyncio.create_task(program.stderr.read())
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{port}/json/list") as response:
                (page,) = [target for target in await response.json() if target["type"] == "page"]
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
        program.terminate()
        await drain
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


@pytest.fixture
def browse(tmp_path):
    """Give what starts a browser with an empty profile, to be used with `async with`."""
    return lambda: _browse(tmp_path / "profile")
