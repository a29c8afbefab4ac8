"""The shared memory of recorded clients: objects as they were before the first exchange, and what is in them afterwards."""

from __future__ import annotations

import base64
import json
import os
from contextlib import contextmanager
from pathlib import Path

DIRECTORY = Path("/dev/shm")
RECORDED = "/gold_"
OWN = f"/charonia-gold-{os.getpid()}-"
"""What the objects' names begin with: in the recordings, and here, where several runs may stand beside each other."""


def load(path):
    """Read a file of recordings, with names of its own for the objects."""
    return json.loads(path.read_text().replace(RECORDED, OWN))


@contextmanager
def objects(files):
    """Have the objects that some files of recordings begin with."""
    paths = {}
    for file in files:
        for step in file.get("setup", ()):
            if "shm" in step:
                paths[DIRECTORY / step["shm"].lstrip("/")] = base64.b64decode(step["base64"])
    for path, content in paths.items():
        path.write_bytes(content)
    yield
    for path in paths:
        path.unlink()


def check(exchange):
    """Compare what an exchange has written with what was recorded, and take it away again."""
    place = exchange.get("check_shm")
    if place is None:
        return
    with (DIRECTORY / place["shm"].lstrip("/")).open("r+b") as memory:
        memory.seek(place["offset"])
        written = memory.read(place["size"])
        memory.seek(place["offset"])
        memory.write(bytes(place["size"]))
    assert written == base64.b64decode(exchange["response"]["shm_base64"])
