"""Ask a running server what kind of file something is: `python ask.py FILE…`.

It speaks the v2 inference protocol with nothing but the standard library; see tests/ for the same through `tritonclient`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from features import features
from prepare import KINDS, LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

MODEL = "file_types"
LIKELY = 0.5
"""An answer below this is no more than a guess."""


class AskError(Exception):
    """No answer could be had; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What the model takes a file for. `confidence` lies between 0 and 1."""

    label: str
    kind: str
    confidence: float

    def __str__(self) -> str:
        sure = f"{100 * self.confidence:.1f} % sure"
        return f"{self.kind} ({self.label}), {sure if self.confidence >= LIKELY else f'but only {sure}'}"


def body(contents: Sequence[bytes]) -> bytes:
    """Write the inference request for some files, as one batch."""
    rows = np.stack([features(content) for content in contents])
    tensor = {"name": "bytes", "datatype": "INT32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def read(scores: npt.ArrayLike) -> list[Answer]:
    """Put the model's output, of shape [files, labels], into words."""
    labels = LABELS.read_text().split()
    kinds = json.loads(KINDS.read_text())
    table = np.asarray(scores, np.float32).reshape(-1, len(labels))
    return [
        Answer(labels[best], kinds[labels[best]], float(row[best])) for row in table for best in [int(row.argmax())]
    ]


def ask(url: str, contents: Sequence[bytes]) -> list[Answer]:
    """Send some files' features to the server at `url`; gives an answer for each.

    Raises:
        AskError: the server cannot be reached, or refuses.
    """
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port or 8000, timeout=60)
    try:
        connection.request("POST", f"/v2/models/{MODEL}/infer", body(contents))
        response = connection.getresponse()
        told: dict[str, Any] = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise AskError(f"no good answer from {url}: {error}; is the server up (`make serve`)?") from error
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise AskError(f"{url} refused with status {response.status}: {told.get('error', told)}")
    return read(told["outputs"][0]["data"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask about the files named on the command line."""
    parser = argparse.ArgumentParser(description="Ask a running server what kind of file something is.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    told = parser.parse_args(arguments)
    try:
        for file, answer in zip(told.files, ask(told.url, [file.read_bytes() for file in told.files]), strict=True):
            print(f"{file}: {answer}")
    except (AskError, OSError) as error:
        print(f"ask: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
