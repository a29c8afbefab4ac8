"""How a failure in a model's code is worded: as in the reference, with the lines of code on the way to it.

Whatever a model raises ends the call into its code and nothing else, no exception excepted: `sys.exit()` is no Exception, and
neither is a cancellation of asyncio or a panic in a library of Rust. What may be meant for the program, and not for the model, is
alone let through: see `is_interruption`.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import triton_python_backend_utils
from charonia.errors import InternalError
from triton_python_backend_utils.place import MARK

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["execution_failure", "is_interruption", "load_failure"]

_OURS = tuple(str(Path(file).parent) for file in (__file__, triton_python_backend_utils.__file__))


def is_interruption(error: BaseException) -> bool:
    """Tell whether somebody may have interrupted the program by Ctrl-C, whose main thread has asked or loaded the model."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def load_failure(error: BaseException) -> InternalError:
    """Word what a model raised while it was loaded: its type and text, then `At:` and the lines of code, innermost first."""
    return InternalError(f"{type(error).__name__}: {_text(error)}{_places(error.__traceback__)}")


def execution_failure(instance: str, cause: BaseException | str) -> InternalError:
    """Word why an instance failed to execute a batch: what the model raised, or what is wrong with its answer."""
    text = cause if isinstance(cause, str) else str(load_failure(cause))
    return InternalError(f"Failed to process the request(s) for model '{instance}', message: {text}")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001 - the border of execution: a model's exception has code of its own
        return f"(its text cannot be had: {type(fault).__name__})"


def _places(traceback: TracebackType | None) -> str:
    """List the lines from the one that failed to the model's own outermost one; "" where the model's code was not reached."""
    places = []
    within = False
    while traceback is not None:
        frame = traceback.tb_frame
        within = within or MARK in frame.f_globals
        file = frame.f_code.co_filename
        if within and not file.startswith(("<frozen importlib", *_OURS)):
            places.append(f"  {file}({traceback.tb_lineno}): {frame.f_code.co_name}\n")
        traceback = traceback.tb_next
    return "\n\nAt:\n" + "".join(reversed(places)) if places else ""
