"""The trace mode `triton`: a file, as the reference writes it, which is a JSON array of records.

It is written by a thread of its own, so that no request waits for a disk.
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from charonia.gathering import Gathering
from charonia.trace import TIMESTAMPS
from charonia.trace_writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import FileIO

    from charonia.trace import Trace
    from charonia.trace_settings import TraceSetting

__all__ = ["TraceFile"]

_log = logging.getLogger(__name__)

_GATHERED_SECONDS = 1.0
_WRITTEN_AT_ONCE = 1000
"""How many traces are written before that. Python does nothing else meanwhile, for a few milliseconds."""


class TraceFile(TraceWriter):
    """A file, or several that are numbered.

    The thread starts, and the file is made, when there is something to write; what is written is there a second later. With
    a log frequency of so many traces, that many fill a numbered file, `<path>.0` first; with 0 all of them go to one file without
    a number, which is a whole array whenever somebody reads it, or at its end where it is a pipe.

    Args:
        setting: has the path.
    """

    def __init__(self, setting: TraceSetting) -> None:
        super().__init__(setting)
        self._path = setting.file
        self._ended: Gathering[Trace] = Gathering(
            "charonia-trace-file", self._write, seconds=_GATHERED_SECONDS, enough=_WRITTEN_AT_ONCE
        )
        # what follows belongs to its thread, and at the end to whoever closes
        self._failing = False
        self._whole: FileIO | None = None
        self._end = 0  # of the last record in it
        self._gathered: list[str] = []
        self._traces = 0
        self._index = 0

    def end(self, trace: Trace) -> None:
        """Write a trace, soon."""
        self._ended.put(trace)

    def _write(self, traces: list[Trace]) -> None:
        whole: list[str] = []
        for trace in traces:
            if trace.setting.log_frequency:
                self._gather(trace)
            else:
                whole += _records(trace)
        if whole:
            with self._losing():
                self._append(whole)

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Do without what cannot be written: the log says so, once until something can be again."""
        try:
            yield
        except OSError as error:
            if not self._failing:
                _log.error("traces cannot be written, and are lost: %s", error)
            self._failing = True
        else:
            if self._failing:
                _log.warning("traces are written again")
            self._failing = False

    def _gather(self, trace: Trace) -> None:
        self._gathered += _records(trace)
        self._traces += trace.parent is None
        if self._traces >= trace.setting.log_frequency:
            self._write_numbered()

    def _write_numbered(self) -> None:
        records, self._gathered, self._traces = self._gathered, [], 0
        file = Path(f"{self._path}.{self._index}")
        with self._losing():
            try:
                file.write_text(f"[{','.join(records)}]", encoding="utf-8")
            except OSError:
                with suppress(OSError):
                    file.unlink()  # half of it is of no use
                raise
            self._index += 1

    def _append(self, records: Sequence[str]) -> None:
        if self._whole is None:
            self._whole = Path(self._path).open("wb", buffering=0)  # noqa: SIM115 - it stays open until the end
        text = f"{',' if self._end else '['}{','.join(records)}".encode()
        if self._whole.seekable():
            self._replace_end(self._whole, text)
        else:  # a pipe, whose array ends with it
            _write_all(self._whole, text)
        self._end += len(text)

    def _replace_end(self, file: FileIO, text: bytes) -> None:
        try:
            file.seek(self._end)
            _write_all(file, text + b"]")
        except OSError:
            with suppress(OSError):
                file.truncate(self._end)
                file.seek(self._end)
                _write_all(file, b"]" if self._end else b"[]")
            raise

    def close(self) -> None:
        """Write what is left, and end the file. Idempotent."""
        self._ended.close()
        if self._gathered:
            self._write_numbered()
        if self._whole is not None:
            with suppress(OSError) if self._failing else self._losing(), self._whole:
                if self._end and not self._whole.seekable():
                    _write_all(self._whole, b"]")
            self._whole = None


def _write_all(file: FileIO, text: bytes) -> None:
    left = memoryview(text)
    while left:
        left = left[file.write(left) :]


def _records(trace: Trace) -> list[str]:
    """Write a trace's records, each as JSON. Most have only numbers and the reference's names, which need no encoder."""
    records = []
    number = trace.number
    if TIMESTAMPS in trace.setting.level:
        records.append(_head(trace))
        records += [
            f'{{"id":{number},"timestamps":[{{"name":"{name}","ns":{ns}}}]}}' for name, ns in trace.moments.items()
        ]
    for activity, name, data, shape, dtype in trace.tensors:
        tensor = {"name": name, "data": data, "shape": shape, "dtype": dtype}
        records.append(_json({"id": number, "activity": activity, "tensor": tensor}))
    return records


def _head(trace: Trace) -> str:
    request = f',"request_id":{_json(trace.request_id)}' if trace.request_id else ""
    parent = "" if trace.parent is None else f',"parent_id":{trace.parent.number}'
    return f'{{"id":{trace.number},{_model(trace.model, trace.version)}{request}{parent}}}'


@lru_cache(1024)  # there are few
def _model(name: str, version: int) -> str:
    return f'"model_name":{_json(name)},"model_version":{version}'


_json = json.JSONEncoder(separators=(",", ":")).encode
