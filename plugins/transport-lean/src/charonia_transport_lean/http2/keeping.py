"""The care of connections: pings of ours and of clients, and their age, as gRPC has them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from charonia.transport import KeepAlive

    from charonia_transport_lean.http2.stream import Line

__all__ = ["Keeping"]

_PING = b"charonia"
_IDLE_INTERVAL_SECONDS = 7200.0
"""How often a client without calls may ping, unless it is told otherwise."""

_JITTER = 0.1
"""By how much ages differ, so that connections that began together do not end together."""


class Keeping:
    """Looks after one connection.

    Args:
        connection: the connection.
        settings: what the operator wants.

    Attributes:
        heard: when the client sent something the last time, in the loop's seconds.
    """

    __slots__ = (
        "_awaiting",
        "_connection",
        "_last_ping",
        "_loop",
        "_settings",
        "_strikes",
        "_timers",
        "_without_data",
        "heard",
    )

    def __init__(self, connection: Line, settings: KeepAlive) -> None:
        self._connection = connection
        self._settings = settings
        self._loop = connection.loop
        self.heard = self._loop.time()
        self._awaiting = False
        self._without_data = 0
        self._last_ping: float | None = None
        self._strikes = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Begin."""
        if self._settings.time_ms:
            self._set("ping", self._settings.time_ms, self._look)
        age = self._settings.max_age_ms
        if age:
            self._set("age", age * random.uniform(1 - _JITTER, 1 + _JITTER), self._retire)  # noqa: S311 - no secret

    def stop(self) -> None:
        """End."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def sent(self) -> None:
        """An answer went to the client."""
        self._last_ping = None
        self._strikes = self._without_data = 0

    # -- pings of the client

    def allows_ping(self) -> bool:
        """Take note of a ping. Tells whether the client may send so many."""
        now, then = self._loop.time(), self._last_ping
        self._last_ping = now
        if not self._settings.max_ping_strikes or then is None:
            return True
        interval = self._settings.min_ping_interval_ms / 1000
        if self._connection.idle and not self._settings.without_calls:
            interval = max(interval, _IDLE_INTERVAL_SECONDS)
        if now - then < interval:
            self._strikes += 1
        return self._strikes <= self._settings.max_ping_strikes

    # -- pings of ours

    def answered(self) -> None:
        """The client answered our ping."""
        self._awaiting = False
        self._cancel("answer")

    def _look(self) -> None:
        settings = self._settings
        quiet_ms = (self._loop.time() - self.heard) * 1000
        if quiet_ms < settings.time_ms:
            self._set("ping", settings.time_ms - quiet_ms, self._look)
            return
        wanted = settings.without_calls or not self._connection.idle
        most = settings.max_pings_without_data
        if wanted and not self._awaiting and not (most and self._without_data >= most):
            self._awaiting = True
            self._without_data += 1
            self._connection.ping(_PING)
            self._set("answer", settings.timeout_ms, self._connection.abort)
        self._set("ping", settings.time_ms, self._look)

    # -- age

    def _retire(self) -> None:
        self._connection.retire()
        if self._settings.max_age_grace_ms:
            self._set("grace", self._settings.max_age_grace_ms, self._connection.abort)

    def _set(self, name: str, milliseconds: float, act: object) -> None:
        self._cancel(name)
        self._timers[name] = self._loop.call_later(milliseconds / 1000, act)  # type: ignore[arg-type]

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
