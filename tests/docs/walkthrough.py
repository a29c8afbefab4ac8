"""Walking through a page as a reader does: its files are written, its commands and scripts run, in order, in one folder."""

from __future__ import annotations

import doctest
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Self

import yaml
from charonia.config import parse_config
from packaging.requirements import Requirement
from pages import HOUSE, Block

from benchmarks.process import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

BIN = Path(sys.executable).parent
WRITTEN_PORTS = ("8000", "8001", "8002")
"""The ports that pages use; free ones take their places when a page is run."""

READY = "Ctrl-C"
"""What the line has that `charonia serve` prints when everything listens."""

FRONTENDS = {
    "grpc": ("charonia-frontend-grpc", "CHARONIA_SERVE_GRPC_PORT", "8001"),
    "metrics": ("charonia-metrics-prometheus", "CHARONIA_SERVE_METRICS_PORT", "8002"),
}
"""Extra → the frontend that it brings, and where that learns its port. Readers have it once their page has told them to install it."""

_PATIENCE = 120
_DISTRIBUTIONS = {
    project["name"]: project
    for manifest in [*HOUSE.glob("*/pyproject.toml"), *HOUSE.glob("*/*/pyproject.toml")]
    for project in [tomllib.loads(manifest.read_text())["project"]]
}
_OTHERS = {"onnx", "pillow", "tritonclient"}
"""Distributions of others that pages tell readers to install; all are installed where the tests run."""


class Walkthrough:
    """The folder of one reader, and the servers that the page has started.

    Args:
        folder: an empty folder; gets links to the repository's own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("examples", "Makefile"):
            (folder / name).symlink_to(HOUSE / name)
        self._servers: list[subprocess.Popen[str]] = []
        self._ports = {written: str(free_port()) for written in WRITTEN_PORTS}
        url = f"http://127.0.0.1:{self._ports['8000']}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHARONIA_")}
        self._environment = {
            **inherited,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "COLUMNS": "120",
            **{f"CHARONIA_{command}_URL": url for command in ("INFER", "MODELS", "EXPLAIN", "TOP")},
            "CHARONIA_TOP_METRICS_URL": f"http://127.0.0.1:{self._ports['8002']}/metrics",
        }
        self._installed: set[str] = set()
        self._install(set())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in reversed(self._servers):
            server.terminate()
            server.communicate(timeout=_PATIENCE)
            assert server.returncode == 0, f"a server of this page ended with status {server.returncode}"

    def take(self, block: Block, output: Block | None) -> None:
        """Do what a block says. `output` is the block that shows what it prints, if there is one."""
        if "not run" in block.marks:
            assert len(block.marks["not run"].split()) >= 3, f"{block.place}: say why it is not run"
        elif "shows" in block.marks:
            assert block.text == (HOUSE / block.marks["shows"]).read_text(), (
                f"{block.place} is not {block.marks['shows']}: run tests/docs/pages.py"
            )
        elif "file" in block.marks:
            target = self._folder / block.marks["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self._localised(block.text))
        else:
            reader = getattr(self, f"_take_{block.kind}", None)
            assert reader is not None, f"{block.place}: nobody knows how to run a block of kind {block.kind!r}; mark it"
            reader(block, output)

    # -- one method for each kind of block

    def _take_console(self, block: Block, _: Block | None) -> None:
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            count = 1
            while lines[count - 1].endswith("\\\n"):
                count += 1
            self._command(block, "".join(lines[:count]).replace("\\\n", " ").strip(), "".join(lines[count:]))

    def _take_sh(self, block: Block, _: Block | None) -> None:
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                self._command(block, line.strip(), None)

    def _take_python(self, block: Block, output: Block | None) -> None:
        script = self._folder / "snippet.py"
        script.write_text(self._localised(block.text))
        printed = self._run(block, [sys.executable, str(script)])
        _compare(block, output.text if output else "", printed)

    def _take_pbtxt(self, block: Block, _: Block | None) -> None:
        name = re.search(r'^name: "(\w+)"', block.text, re.MULTILINE)
        parse_config(block.text, model=name[1] if name else "shown", file="config.pbtxt", environment={})

    def _take_yaml(self, block: Block, _: Block | None) -> None:
        yaml.safe_load(block.text)

    def _take_toml(self, block: Block, _: Block | None) -> None:
        tomllib.loads(block.text)

    def _take_json(self, block: Block, _: Block | None) -> None:
        json.loads(block.text)

    def _take_text(self, block: Block, _: Block | None) -> None:
        assert "\n$ " not in f"\n{block.text}", f"{block.place}: commands belong into a block of kind console"

    def _take_mermaid(self, block: Block, _: Block | None) -> None:
        assert block.text.split()[0] in {"flowchart", "stateDiagram-v2", "sequenceDiagram"}, block.place

    # -- commands

    def _command(self, block: Block, command: str, shown: str | None) -> None:
        words = shlex.split(command, comments=True)
        if words[:2] == ["pip", "install"]:
            self._install(check_requirements(block, words[2:]))
        elif words[0] == "make":
            self._run(block, ["make", "-C", str(HOUSE), "--dry-run", *words[1:]])
            if words[1:] == ["serve"]:
                demo = [sys.executable, str(HOUSE / "examples/file-types/demo.py"), f"--port={self._ports['8000']}"]
                self._serve(block, demo, shown or "...", ready="by hand")
        elif words[:2] == ["charonia", "serve"]:
            port = [] if "--http-port" in command else ["--http-port", self._ports["8000"]]
            self._serve(block, [str(BIN / "charonia"), *map(self._localised, words[1:]), *port], shown or "...")
        else:
            _compare(
                block, "..." if shown is None else shown, self._run(block, ["bash", "-ec", self._localised(command)])
            )

    def _install(self, extras: set[str]) -> None:
        """Let the servers that this page starts from now on have the frontends of these extras, too."""
        self._installed |= extras
        absent = [plugin for extra, (plugin, _, _) in FRONTENDS.items() if extra not in self._installed]
        self._environment["CHARONIA_SERVE_DISABLE_PLUGIN"] = " ".join(absent)
        for extra in FRONTENDS.keys() & self._installed:
            _, option, port = FRONTENDS[extra]
            self._environment[option] = self._ports[port]

    def _serve(self, block: Block, command: Sequence[str], shown: str, ready: str = READY) -> None:
        """Start a server that goes on until the page ends, and compare what it says until it is ready."""
        server = subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._servers.append(server)
        assert server.stdout is not None
        said = ""
        for line in server.stdout:
            said += line
            if ready in line:
                _compare(block, shown, self._as_written(said))
                return
        raise AssertionError(f"{block.place}: the server ended before it was ready:\n{said}")

    def _run(self, block: Block, command: Sequence[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE,
        )
        wanted = int(block.marks.get("exit", "0"))
        assert done.returncode == wanted, f"{block.place}: exit status {done.returncode}\n{done.stdout}"
        return self._as_written(done.stdout)

    def _localised(self, text: str) -> str:
        """Put the ports of this run where the page has the usual ones."""
        where = r"((?:127\.0\.0\.1|localhost):|--http-port[ =]|-port\": |\A)(800\d)\b"
        return re.sub(where, lambda match: match[1] + self._ports[match[2]], text)

    def _as_written(self, text: str) -> str:
        for written, port in self._ports.items():
            text = re.sub(rf":{port}\b", f":{written}", text)
        return text


def check_requirements(block: Block, words: Sequence[str]) -> set[str]:
    """See that what a page tells to install is a distribution of this repository, with such an extra, or one of few others.

    Returns:
        the extras of this repository's distributions.
    """
    told: set[str] = set()
    for word in words:
        if word.startswith("-"):
            continue
        if "/" in word:
            folder = HOUSE / word.partition("[")[0]
            assert (folder / "pyproject.toml").is_file(), f"{block.place}: {word} cannot be installed"
            continue
        wanted = Requirement(word)
        if wanted.name in _OTHERS:
            continue
        assert wanted.name in _DISTRIBUTIONS, f"{block.place}: there is no {wanted.name}"
        extras = _DISTRIBUTIONS[wanted.name].get("optional-dependencies", {})
        assert wanted.extras <= set(extras), f"{block.place}: {wanted.name} has the extras {sorted(extras)}"
        told |= wanted.extras
    return told


def _compare(block: Block, shown: str, printed: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if not doctest.OutputChecker().check_output(shown, printed, flags):
        raise AssertionError(f"{block.place} shows\n{shown}\nbut this came\n{printed}")
