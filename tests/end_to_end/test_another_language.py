"""A client that was not made for this protocol, in another language: JavaScript with the gRPC library of its world."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from charonia import Server
from charonia.serving import serve_in_thread

from benchmarks.tools.download import UnavailableError, cache_folder, run_step

HOUSE = Path(__file__).parents[2]
PACKAGES = ["@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1"]
QUIET = ["--no-audit", "--no-fund", "--no-save", "--no-package-lock", "--ignore-scripts"]
PATIENCE = 60
NOT_FOUND = 5


@pytest.fixture(scope="module")
def modules():
    """Give the folder of JavaScript packages in the user's cache; where there is no Node.js, tell so."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm, the client's language and its installer")
    home = cache_folder("charonia-node")
    wanted = home / "wanted"
    if not wanted.exists() or wanted.read_text() != " ".join(PACKAGES):
        home.mkdir(parents=True, exist_ok=True)
        try:
            run_step("the JavaScript client", ["npm", "install", f"--prefix={home}", *QUIET, *PACKAGES])
        except UnavailableError as error:
            pytest.skip(str(error))
        wanted.write_text(" ".join(PACKAGES))
    return home / "node_modules"


@pytest.fixture
def found(modules, tmp_path, save_identity):
    """Run the client against a server with one model, and give what it was told."""
    save_identity(tmp_path, "fp32")
    with Server(tmp_path) as server, serve_in_thread(server, {"allow-http": False, "grpc-port": 0}) as (url,):
        done = subprocess.run(
            [
                "node",
                Path(__file__).with_name("node_client.js"),
                url.removeprefix("grpc://"),
                HOUSE / "protos" / "proto",
            ],
            env=os.environ | {"NODE_PATH": str(modules)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_javascript_client_finds_everything_it_knows(found):
    """Made from the house's own .proto files, it reads health, metadata and configuration, and infers by call and by stream."""
    assert (found["live"], found["ready"]) == ({"live": True}, {"ready": True})
    assert (found["metadata"]["name"], found["metadata"]["versions"]) == ("fp32", ["1"])
    assert found["metadata"]["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 3]}]
    assert found["config"]["config"]["backend"] == "onnxruntime"
    assert found["raw"] == {"id": "raw", "shape": [1, 3], "rows": [[4, 5, 6]]}
    assert found["typed"] == {"id": "typed", "shape": [1, 3], "rows": [[1, 2, 3]]}
    assert found["streamed"] == [
        {"id": "a", "shape": [1, 3], "rows": [[1, 1, 1]]},
        {"id": "b", "shape": [1, 3], "rows": [[2, 2, 2]]},
    ]
    assert found["unknown"]["code"] == NOT_FOUND
    assert "'absent'" in found["unknown"]["details"]
