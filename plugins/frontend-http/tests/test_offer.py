"""What the plugin offers, and that offering costs nothing."""

from __future__ import annotations

import subprocess
import sys

from charonia_frontend_http import charonia_frontends


def test_entry_module_is_light():
    """Asking the plugin what it offers imports neither the server library nor the JSON library."""
    program = (
        "import sys, charonia_frontend_http as plugin; plugin.charonia_frontends();"
        "print([name for name in ('aiohttp', 'orjson', 'uvloop', 'numpy') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_listens_on_loopback_unless_told_otherwise():
    """Nobody is reached from another machine by accident."""
    (offer,) = charonia_frontends().values()
    assert {option.name: option.default for option in offer.options}["http-address"] == "127.0.0.1"
