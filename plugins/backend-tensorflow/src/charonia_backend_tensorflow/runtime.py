"""TensorFlow itself: the module, whichever build of it is installed, and its log."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from charonia.errors import PluginError

if TYPE_CHECKING:
    import logging

__all__ = ["dismantle", "tensorflow"]


@functools.cache
def tensorflow() -> Any:
    """Import TensorFlow, and lead the log of its Python part into the server's. What its C++ part says goes to standard error.

    Raises:
        PluginError: no build of it is installed, or the one that is does not work.
    """
    try:
        import tensorflow as tf

        log = tf.get_logger()
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"TensorFlow cannot be imported ({error}): "
            'pip install "charonia-backend-tensorflow[cpu]", or "charonia-backend-tensorflow[gpu]" for CUDA; only one of the '
            "builds, since they overwrite each other"
        ) from error
    log.handlers.clear()  # its own one writes to standard error what also goes up to the root
    log.addFilter(_is_news)
    return tf


def dismantle(graph: Any) -> None:
    """Free a graph that nobody uses any more, and the weights in it.

    Its parts refer to each other, so that they would wait for Python's collector, which does not know how large they are.
    """
    from tensorflow.python.framework import ops  # there is no public way

    ops.dismantle_graph(graph)


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether somebody wants to read a line: not that sessions, on which this backend stands, are called deprecated."""
    return "is deprecated and will be removed" not in record.getMessage()
