"""Which names a model's code may use without waiting for anything: in modules, in what is built in, and behind any dot.

A name that is not here may belong to something that waits for a file, a thread, another process or another model, that runs
without an end, or that leads to modules which do.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "HARMLESS_BUILTINS",
    "METHODS_AT_LOAD",
    "ONCE",
    "SPECIAL_NAMES",
    "WAITING_METHODS",
    "is_harmless",
    "is_known",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ONCE = frozenset({"auto_complete_config", "initialize", "finalize"})
"""The methods of a model that run once, while no event loop waits for it."""

_COMPUTING = _words("""
    __future__ abc array binascii bisect cmath collections collections.abc colorsys copy datetime decimal enum fractions
    hashlib heapq hmac html json math ml_dtypes numbers numpy.char numpy.strings
    numpy.typing random re statistics string struct textwrap unicodedata zlib
""")
"""Modules that only compute."""

_ALL_BUT: Mapping[str, frozenset[str]] = {
    module: _words(names)
    for module, names in {
        "base64": "main test",
        "dataclasses": "make_dataclass",
        "functools": "cached_property",
        "itertools": "count cycle repeat",
        "numpy": "DataSource fromfile fromregex genfromtxt info load loadtxt memmap save savetxt savez savez_compressed "
        "seterrcall show_config show_runtime test",
        "numpy.fft": "test",
        "numpy.linalg": "test",
        "numpy.ma": "test",
        "numpy.random": "test",
        "operator": "attrgetter methodcaller",
        "triton_python_backend_utils": "InferenceRequest InferenceResponseSender ResponseIterator is_model_ready load_model "
        "unload_model",
        "typing": "get_type_hints",
    }.items()
}
"""Modules that only compute, but for these names."""

_NOTHING_BUT: Mapping[str, frozenset[str]] = {
    module: _words(names)
    for module, names in {
        "contextlib": "closing contextmanager nullcontext suppress",
        "io": "BytesIO StringIO",
        "numpy.lib.stride_tricks": "as_strided broadcast_arrays broadcast_shapes broadcast_to sliding_window_view",
        "os": "PathLike environ fspath getenv getpid linesep sep",
        "pathlib": "Path PurePath PurePosixPath",
        "posixpath": "abspath basename commonpath dirname isabs join normpath sep split splitext",
        "sys": "byteorder float_info getsizeof maxsize path version version_info",
        "time": "gmtime localtime monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns strftime "
        "struct_time time time_ns",
        "types": "MappingProxyType SimpleNamespace",
        "uuid": "UUID uuid3 uuid4 uuid5",
    }.items()
}
"""Of other modules, the names that only compute."""

_AT_LOAD: Mapping[str, frozenset[str]] = {
    module: _words(names)
    for module, names in {
        "numpy": "fromfile genfromtxt load loadtxt show_config",
        "os": "getcwd listdir",
        "posixpath": "exists expanduser getsize isdir isfile realpath",
    }.items()
}
"""Functions that a model may call besides while it is loaded: what they give waits for nothing. (An archive of numpy's is read
when its arrays are asked for, but is a file on a disk: that has an end.)"""

METHODS_AT_LOAD = _words("absolute exists expanduser is_dir is_file read_bytes read_text resolve stat")
"""Methods of paths that a model may call while it is loaded: the same."""

WAITING_METHODS = METHODS_AT_LOAD | _words("""
    async_exec chmod cwd dump exec get_response_sender glob hardlink_to home is_mount iterdir lchmod lstat mkdir open readlink
    rename rglob rmdir samefile symlink_to tofile touch unlink walk write_bytes write_text
""")
"""Methods that may wait, of requests, arrays and paths. (A path's `replace` cannot be told from a string's; it only renames.)"""

SPECIAL_NAMES = frozenset({"__class__", "__init__", "__name__"})
"""What may stand behind a dot although Python itself gives it a meaning: the others lead to code that cannot be seen."""

HARMLESS_BUILTINS = _words("""
    Ellipsis NotImplemented __file__ __name__ abs all any ascii bin bool bytearray bytes callable chr classmethod complex dict
    divmod enumerate filter float format frozenset hash hex id int isinstance issubclass iter len list map max memoryview min
    next object oct ord pow property range repr reversed round set slice sorted staticmethod str sum super tuple type zip
""") | {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}
"""What is built into Python and only computes."""


def is_known(module: str) -> bool:
    """Tell whether anything of a module is harmless."""
    return module in _COMPUTING or module in _ALL_BUT or module in _NOTHING_BUT or module in {"numpy.lib", "os.path"}


def is_harmless(module: str, name: str, *, at_load: bool = False) -> bool:
    """Tell whether a module's name is harmless; if `at_load`, whether it may be called while the model is loaded."""
    if at_load and name in _AT_LOAD.get(module, ()):
        return True
    if name.startswith("_"):
        return module == "__future__"
    if module in _ALL_BUT:
        return name not in _ALL_BUT[module]
    return module in _COMPUTING or name in _NOTHING_BUT.get(module, ())
