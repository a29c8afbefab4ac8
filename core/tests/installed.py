"""Plugins that are installed for a test, and what is told of them."""

from __future__ import annotations

import importlib
import importlib.metadata

import pytest
from charonia.backend import Backend, LoadedModel
from charonia.errors import PluginError
from charonia.hookspecs import hookimpl
from charonia.plugins import Plugins

ASKER = 'model "resnet" (models/resnet/config.pbtxt)'
CORE = importlib.metadata.version("charonia")

BACKENDS = """
from charonia.hookspecs import hookimpl

@hookimpl
def charonia_backends():
    return {offers}
"""

IMPLEMENTATION = """
from charonia.backend import Backend

class Acme(Backend):
    def load(self, context):
        raise NotImplementedError
"""


class Fine(Backend):
    def load(self, context):
        return LoadedModel(context)


class Extra:
    """A plugin that is an object, and no distribution."""

    @hookimpl
    def charonia_backends(self):
        return {"fine": "installed:Fine"}


class Site:
    """A folder of installed distributions, each with one plugin. Its modules can be imported while the test lasts."""

    def __init__(self, folder):
        self.folder = folder

    def install(self, distribution, plugin, source, *, version="1.0", requires=("charonia>=0.1,<1",), modules=None):
        module = f"{distribution}_{plugin}".replace("-", "_")
        (self.folder / f"{module}.py").write_text(source)
        for name, text in (modules or {}).items():
            (self.folder / f"{name}.py").write_text(text)
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = [f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"]
        metadata += [f"Requires-Dist: {text}\n" for text in requires]
        (info / "METADATA").write_text("".join(metadata))
        (info / "entry_points.txt").write_text(f"[charonia]\n{plugin} = {module}\n")
        importlib.invalidate_caches()  # a folder that was looked into a moment ago may not show that it has changed
        return module

    def plugins(self, **options):
        found = importlib.metadata.distributions(path=[str(self.folder)])
        return Plugins(entry_points=[entry for dist in found for entry in dist.entry_points], **options)


def offering(**offers):
    return BACKENDS.format(offers=repr(offers))


def refusal(plugins, name="onnxruntime", kind="backend"):
    with pytest.raises(PluginError) as caught:
        getattr(plugins, kind)(name, asker=ASKER)
    return str(caught.value)


def state_of(plugins, plugin):
    (record,) = [record for record in plugins.records() if record.plugin == plugin]
    return record.state, record.reason
