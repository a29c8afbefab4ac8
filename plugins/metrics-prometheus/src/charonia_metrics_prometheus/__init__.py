"""Metrics of the Charonia inference server for Prometheus. This module only tells where things are."""

from __future__ import annotations

from charonia.frontend_offer import FrontendOffer, FrontendOption
from charonia.hookspecs import hookimpl

OPTIONS = (
    FrontendOption("allow-metrics", default=True, help="Serve metrics at /metrics of a port of their own."),
    FrontendOption("allow-gpu-metrics", default=True, help="Tell about the GPUs, where there are any."),
    FrontendOption("allow-cpu-metrics", default=True, help="Tell about the CPU and the memory of this machine."),
    FrontendOption(
        "metrics-address", "127.0.0.1", "The address to listen on; 0.0.0.0 is every network of this machine."
    ),
    FrontendOption("metrics-port", 8002, "The port to listen on; 0 takes a free one."),
    FrontendOption("metrics-interval-ms", 2000, "How old what is told about CPU and GPUs may be, in ms."),
    FrontendOption(
        "metrics-config",
        "",
        "counter_latencies, histogram_latencies or summary_latencies, each =true or =false, or "
        "summary_quantiles=QUANTILE:ERROR,… May come several times.",
        repeatable=True,
    ),
)


@hookimpl
def charonia_frontends() -> dict[str, FrontendOffer]:
    """Offer the page that Prometheus reads."""
    return {"metrics": FrontendOffer("charonia_metrics_prometheus.frontend:MetricsFrontend", OPTIONS)}
