"""The words for what no plugin offers, or one that is broken: what to install, and what was perhaps meant."""

from __future__ import annotations

import logging

import pytest
from charonia.errors import PluginError
from charonia.hookspecs import hookimpl
from charonia.plugin_discovery import PluginRecord
from charonia.plugins import Plugins
from installed import ASKER, Extra, offering, refusal, state_of


def test_known_but_not_installed():
    """A name of this house tells the pip command, and what is there instead."""
    assert refusal(Plugins(entry_points=(), extra=[Extra()])) == (
        f'{ASKER} needs the backend "onnxruntime": pip install "charonia-backend-onnx[cpu]" (installed backends: fine)'
    )


def test_unknown_name_gets_the_nearest_one():
    """A misspelt name tells the right one, also if that is not installed, and what is there."""
    assert refusal(Plugins(entry_points=(), extra=[Extra()]), "onnxruntme") == (
        f'{ASKER} needs the backend "onnxruntme", which no installed plugin provides. Did you mean "onnxruntime"? '
        "(installed: fine)"
    )


@pytest.mark.parametrize("name", ["openvino", "tensorrtllm"])
def test_name_that_the_reference_knows_is_no_misspelling(name):
    """A backend that exists elsewhere is not taken for another one, however alike their names are."""

    class Alike:
        @hookimpl
        def charonia_backends(self):
            return {"python": "m:C", "tensorrat": "m:C"}

    assert refusal(Plugins(entry_points=(), extra=[Alike()]), name) == (
        f'{ASKER} needs the backend "{name}", which no installed plugin provides: it is a backend of Triton, for which a plugin '
        "is needed here (installed: python, tensorrat)"
    )


def test_unknown_name_without_a_near_one():
    """Where nothing is similar, nothing is suggested."""
    assert refusal(Plugins(entry_points=()), "ftp", "storage") == (
        f'{ASKER} needs the repository storage "ftp", which no installed plugin provides. (installed: file)'
    )


def test_broken_implementation_wins_over_the_pip_hint(site, caplog):
    """An installed plugin whose framework cannot be imported is named with version and cause, and marked in the list."""
    site.install(
        "charonia-backend-onnx",
        "backend-onnx",
        offering(onnxruntime="onnx_heavy:OnnxBackend"),
        version="1.2.0",
        modules={"onnx_heavy": "raise ImportError('libcudnn.so.9: cannot open shared object file')"},
    )
    plugins = site.plugins()
    assert plugins.names("backend") == ["onnxruntime"]
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            plugins.backend("onnxruntime", asker=ASKER)
        assert str(caught.value) == (
            f'{ASKER} needs the backend "onnxruntime", which comes from charonia-backend-onnx 1.2.0, which failed to import: '
            'libcudnn.so.9: cannot open shared object file; see "charonia plugins"'
        )
        assert isinstance(caught.value.__cause__, ImportError)
    assert state_of(plugins, "backend-onnx") == (
        "broken",
        "failed to import: libcudnn.so.9: cannot open shared object file",
    )
    assert plugins.names("backend") == []


def test_broken_entry_module_is_reported_and_the_others_are_found(site, caplog):
    """A plugin that raises at import is kept on record; those after it work; the model that needs it learns the cause."""
    site.install("charonia-backend-onnx", "a-onnx", "1 / 0", version="1.2.0")
    site.install("acme", "b-acme", offering(acme="acme_heavy:Acme"))
    with caplog.at_level(logging.WARNING):
        plugins = site.plugins()
    assert plugins.names("backend") == ["acme"]
    assert plugins.records()[-1] == PluginRecord(
        "",
        "",
        "a-onnx",
        "charonia-backend-onnx",
        "1.2.0",
        "broken",
        "failed to import: ZeroDivisionError: division by zero",
        "",
    )
    assert 'plugin "a-onnx" of charonia-backend-onnx: failed to import' in caplog.text
    assert "which comes from charonia-backend-onnx 1.2.0, which failed to import: ZeroDivisionError" in refusal(plugins)


def test_unknown_name_mentions_plugins_that_could_not_be_asked(site):
    """A third party's broken plugin may be what is missing, so that it is named."""
    site.install("acme", "acme", "raise ImportError('no acme here')", version="2.0")
    assert refusal(site.plugins(), "acme-net") == (
        f'{ASKER} needs the backend "acme-net", which no installed plugin provides. (installed: none); plugins that could not '
        "be asked: acme 2.0, failed to import: no acme here"
    )
