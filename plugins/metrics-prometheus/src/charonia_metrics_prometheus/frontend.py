"""The metrics' frontend: its options and its life."""

from __future__ import annotations

import asyncio
import errno
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from charonia.errors import CharoniaError
from charonia.frontend import Frontend, network_place
from charonia.frontend_offer import read_lines, read_port
from prometheus_client.registry import CollectorRegistry

from charonia_metrics_prometheus import OPTIONS
from charonia_metrics_prometheus.collector import ServerCollector
from charonia_metrics_prometheus.exposition import exposition
from charonia_metrics_prometheus.gpus import Gpus
from charonia_metrics_prometheus.loop_lag import LoopLag
from charonia_metrics_prometheus.machine import Machine
from charonia_metrics_prometheus.page import MetricsPage
from charonia_metrics_prometheus.settings import read_settings
from charonia_metrics_prometheus.summaries import STEP_SECONDS, Summaries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.frontend_offer import OptionValue
    from charonia.server import Server

__all__ = ["MetricsFrontend"]

_log = logging.getLogger("charonia.metrics_prometheus.frontend")

_USUAL_PORT = {option.name: option.default for option in OPTIONS}["metrics-port"]


class MetricsFrontend(Frontend):
    """Serves the metrics on a port of their own. They are read on a thread of their own, so that no request waits for them.

    Where the usual port is taken and no other was asked for, the server goes on without: whoever runs two servers side by
    side for a moment is told so, and kept from nothing.

    Raises:
        CharoniaError: an option has a value that cannot be; told before any frontend listens.
    """

    def __init__(self, server: Server, options: Mapping[str, OptionValue]) -> None:
        super().__init__(server, options)
        settings = read_settings(read_lines(options, "metrics-config"))
        self._port = read_port(options, "metrics-port")
        interval_ms = int(options["metrics-interval-ms"])
        if interval_ms < 0:
            raise CharoniaError(f"--metrics-interval-ms={interval_ms}: expected a whole number from 0 up")
        interval = interval_ms / 1000
        self._lag = LoopLag()
        self._gpus = Gpus(interval) if options["allow-gpu-metrics"] else None
        self._summaries = Summaries(settings.quantiles) if settings.summary_latencies else None
        self._collector = ServerCollector(
            server,
            settings,
            machine=Machine(interval) if options["allow-cpu-metrics"] else None,
            gpus=self._gpus,
            summaries=self._summaries,
            lag=self._lag,
        )
        self.registry = CollectorRegistry()
        self.registry.register(self._collector)
        self._reader: ThreadPoolExecutor | None = None
        self._page = MetricsPage(self._render)
        self._stepping: asyncio.Task[None] | None = None
        self._place = ""

    @property
    def enabled(self) -> bool:
        """Whether `--allow-metrics` is on."""
        return bool(self.options["allow-metrics"])

    async def start(self) -> Sequence[str]:
        """Listen at `--metrics-address` and `--metrics-port`. The page is no place to ask models, so that no URL is given."""
        address = str(self.options["metrics-address"])
        try:
            port = await self._page.listen(address, self._port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or self._port != _USUAL_PORT:
                raise
            self._place = f"none, since port {self._port} is taken: choose another one by --metrics-port"
            _log.info("metrics: %s", self._place)
            return ()
        self._place = f"http://{network_place(address, port)}/metrics"
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="charonia-metrics")
        self._lag.start()
        if self._summaries is not None:
            self._stepping = asyncio.create_task(self._step(self._reader))
        return ()

    async def _render(self) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(
            self._reader, lambda: exposition(self.registry.collect())
        )

    async def _step(self, reader: ThreadPoolExecutor) -> None:
        while True:
            await asyncio.get_running_loop().run_in_executor(reader, self._collector.step_summaries)
            await asyncio.sleep(STEP_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        """Close the door."""
        self._lag.stop()
        if self._stepping is not None:
            self._stepping.cancel()
            await asyncio.gather(self._stepping, return_exceptions=True)
            self._stepping = None
        await self._page.close()
        if self._reader is not None:
            self._reader.shutdown()
            self._reader = None
        if self._gpus is not None:
            self._gpus.close()

    def describe(self) -> Mapping[str, Any]:
        """Tell where the metrics are."""
        return {"Metrics": self._place} if self._place else {}
