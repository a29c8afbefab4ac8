"""Ask a running server for the text of pictures: `python ask.py --url http://127.0.0.1:8000 PICTURE…`.

Nothing but Python's own library is needed: a picture's bytes go over the wire as they are, after a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL = "read_text"


class AskError(Exception):
    """There is no answer; the text says why."""


@dataclass(frozen=True)
class Line:
    """A line of text.

    Attributes:
        text: what it says.
        confidence: how sure the net is, from 0 to 1.
        box: left, top, right and bottom, in dots.
    """

    text: str
    confidence: float
    box: tuple[int, int, int, int]


def ask(url: str, picture: bytes) -> list[Line]:
    """Send a picture, in any usual format, and get its lines of text in the order of reading.

    Raises:
        AskError: the server cannot be reached, or has no answer.
    """
    element = len(picture).to_bytes(4, "little") + picture
    tensor = {
        "name": "PICTURE",
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"binary_data_size": len(element)},
    }
    header = json.dumps({"inputs": [tensor]}).encode()
    request = urllib.request.Request(
        f"{url}/v2/models/{MODEL}/infer",
        data=header + element,
        headers={"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            outputs = {tensor["name"]: tensor["data"] for tensor in json.load(answer)["outputs"]}
    except urllib.error.HTTPError as error:
        raise AskError(json.load(error)["error"]) from error
    except OSError as error:
        raise AskError(f"{url} cannot be reached: {error}") from error
    corners = iter(outputs["BOXES"])
    boxes = zip(corners, corners, corners, corners, strict=True)
    return [Line(*line) for line in zip(outputs["TEXT"], outputs["CONFIDENCE"], boxes, strict=True)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, and print each line."""
    parser = argparse.ArgumentParser(description="Read the text of pictures.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (http://127.0.0.1:8000)")
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    told = parser.parse_args(arguments)
    for picture in told.pictures:
        try:
            lines = ask(told.url, picture.read_bytes())
        except (AskError, OSError) as error:
            print(f"ask: {picture}: {error}", file=sys.stderr)
            return 1
        for line in lines:
            print(f"{line.text}  ({line.confidence:.0%} sure)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
