"""What the server says first on a connection: its settings, and its window (RFC 9113, section 3.4)."""

from __future__ import annotations

from charonia_transport_lean.http2.frame_reader import MAX_FRAME
from charonia_transport_lean.http2.frames import Setting, settings, window_update
from charonia_transport_lean.http2.header_blocks import MAX_HEADER_LIST
from charonia_transport_lean.http2.inflow import STREAM_WINDOW, WINDOW

__all__ = ["GREETING", "MOST_STREAMS"]

MOST_STREAMS = 1024
"""How many streams a client may have at a time."""

_FIRST_WINDOW = 65_535
"""The window of a connection before anything is said about it."""

GREETING = settings(
    {
        Setting.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
        Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        Setting.MAX_FRAME_SIZE: MAX_FRAME,
        Setting.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST,
    }
) + window_update(0, WINDOW - _FIRST_WINDOW)
