"""A backend and a storage that record what is asked of them."""

from __future__ import annotations

import queue
from typing import ClassVar

from charonia.backend import ArrayExecution, Backend, LoadedModel
from charonia.hookspecs import hookimpl
from charonia.repository import LocalStorage
from charonia.testing.builders import model_config, write_model


class Record:
    """What the backend and the storage of a test have done, and the gate at which loads wait if there is one."""

    def __init__(self):
        self.loaded = []
        self.closed = []
        self.localized = []
        self.released = []
        self.entered = queue.SimpleQueue()
        self.gate = None


class Echo(ArrayExecution):
    def run(self, inputs):
        return {"OUTPUT0": inputs["INPUT0"]}


class Loaded(LoadedModel):
    record: ClassVar[Record]

    def instantiate(self, context):
        return Echo(context)

    def close(self):
        self.record.closed.append((self.context.name, self.context.version))


class Recorded(Backend):
    default_model_filename = "model.txt"
    record: ClassVar[Record]

    def load(self, context):
        text = context.model_path.read_text() if context.model_path.exists() else ""
        if text == "exit":
            raise SystemExit(3)
        if text == "interrupt":
            raise KeyboardInterrupt
        if text == "broken":
            raise ValueError("broken")
        if self.record.gate is not None:
            self.record.entered.put(context.name)
            assert self.record.gate.wait(30)
        self.record.loaded.append((context.name, context.version))
        return Loaded(context)


class Odd(LocalStorage):
    record: ClassVar[Record]

    def __init__(self, url, options):
        super().__init__(url.removeprefix("odd://"), options)

    def entries(self, model, folder=""):
        if model == "odd":
            raise ValueError("the connection is odd")
        return super().entries(model, folder)

    def localize(self, model, versions, progress):
        self.record.localized.append(model)
        return super().localize(model, versions, progress)

    def release(self, directory):
        self.record.released.append(directory.name)


class RecordPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"recorded": f"{__name__}:Recorded", "slow": f"{__name__}:Slow"}

    @hookimpl
    def charonia_repositories(self):
        return {"odd": f"{__name__}:Odd"}


def write(repository, name, versions, policy="all"):
    config = model_config(name, backend="recorded", max_batch_size=0)
    if policy == "all":
        config.version_policy.all.SetInParent()
    write_model(repository, config, {f"{version}/model.txt": text for version, text in versions.items()})
    return repository
