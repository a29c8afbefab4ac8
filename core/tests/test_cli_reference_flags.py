"""Flags of the reference that are not here: some are ignored, with a word, the others are refused, with the reason."""

from __future__ import annotations

import pytest
from charonia.cli.flags import own_flags
from charonia.cli.reference_flags import foreign_flags


def test_an_ignored_flag_is_named_once(charonia, toy):
    """What changes nothing is accepted, with one line that says so and why, however often it comes."""
    words = ["--cuda-memory-pool-byte-size=0:1", "--cuda-memory-pool-byte-size=1:1"]
    result = charonia("serve", *words, "--load-model=x", "--model-repository=m")
    assert result.stderr.count("--cuda-memory-pool-byte-size is ignored: memory is managed by the backends") == 1
    assert "requires setting '--model-control-mode=explicit'" in result.stderr


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--sagemaker-port=8080", "--sagemaker-port is not supported."),
        ("--allow-vertex-ai=true", "--allow-vertex-ai is not supported."),
        ("--backend-directory=/opt", "--backend-directory is not supported: backends are Python packages"),
    ],
)
def test_a_flag_of_what_is_not_there_is_refused(charonia, toy, word, message):
    """A user who changes over learns that the flag is understood, and that it has nothing to act on."""
    result = charonia("serve", "--model-repository=m", word)
    assert message in result.stderr
    assert result.exit_code == 2


def test_a_flag_may_come_from_the_environment_and_the_file(charonia, toy, tmp_path):
    """The same is said wherever the flag stands."""
    path = tmp_path / "server.yaml"
    path.write_text("sagemaker-port: 8080\n")
    result = charonia("serve", "--model-repository=m", f"--config={path}")
    assert "--sagemaker-port is not supported." in result.stderr
    result = charonia("serve", "--model-repository=m", env={"CHARONIA_SERVE_TRACE_RATE": "1"})
    assert "--trace-rate is not supported: use --trace-config=rate=N." in result.stderr


@pytest.mark.parametrize("word", ["--allow-grpc=false", "--allow-metrics=0", "--grpc-use-ssl=false"])
def test_switching_off_what_is_not_there_is_fine(charonia, toy, word):
    """A value that asks for what this server does anyway is taken in silence."""
    result = charonia("serve", "--model-repository=m", word, "--load-model=x")
    assert word.partition("=")[0] not in result.stderr
    assert "--load-model" in result.stderr


def test_a_flag_that_is_there_is_not_foreign():
    """What the server or a frontend has leaves the table by itself."""
    known = {flag.key for flag in own_flags()} | {"grpc-port", "http-port"}
    foreign = {flag.key for flag in foreign_flags(known, lambda *_: "")}
    assert not foreign & known
    assert {"grpc-address", "http-address"} <= foreign


@pytest.mark.parametrize("name", ["http", "grpc"])
def test_a_flag_of_a_missing_frontend_tells_what_to_install(charonia, toy, name):
    """The flags of a frontend of this project, without that frontend, lead to its package."""
    words = [f"--{name}-port=8000", f"--disable-plugin=charonia-frontend-{name}"]
    result = charonia("serve", "--model-repository=m", *words)
    assert f'--{name}-port needs the frontend "{name}"' in result.stderr
    assert result.exit_code == 2
