"""The reference's flags that this server has no use for, or nothing behind, so that whoever changes over reads why.

A flag leaves this table by itself as soon as the server or an installed frontend has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from charonia.cli.flags import Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["foreign_flags"]

_IGNORED = {
    "enable-peer-access": "GPUs are driven by the backends",
    "grpc-infer-thread-count": "threads follow from the models' instances",
    "grpc-infer-allocation-pool-size": "nothing is pooled for it here",
    "grpc-max-response-pool-size": "nothing is pooled for it here",
    "http-thread-count": "one event loop serves all connections",
    "pinned-memory-pool-byte-size": "memory is managed by the backends",
    "cuda-memory-pool-byte-size": "memory is managed by the backends",
    "cuda-virtual-address-size": "memory is managed by the backends",
    "min-supported-compute-capability": "the backends know which GPUs they can use",
    "buffer-manager-thread-count": "inputs are gathered by the instances' own threads",
    "cache-directory": "caches are Python packages: install them with pip",
    "host-policy": "threads are placed by the operating system",
    "tf-allow-soft-placement": "the reference itself has dropped it",
    "tf-gpu-memory-fraction": "the reference itself has dropped it",
    "tf-add-vgpu": "the reference itself has dropped it",
}
"""Flags that change nothing here, and why."""

_LACKING = {
    "model-load-retry-count": "a model that fails to load stays unavailable",
    "model-load-gpu-limit": "",
    "trace-file": "use --trace-config=triton,file=FILE",
    "trace-level": "use --trace-config=level=LEVEL",
    "trace-rate": "use --trace-config=rate=N",
    "trace-count": "use --trace-config=count=N",
    "trace-log-frequency": "use --trace-config=triton,log-frequency=N",
    "backend-directory": "backends are Python packages: install them with pip",
    "repoagent-directory": "",
    "allow-sagemaker": "",
    "sagemaker-port": "",
    "sagemaker-safe-port-range": "",
    "sagemaker-thread-count": "",
    "allow-vertex-ai": "",
    "vertex-ai-port": "",
    "vertex-ai-thread-count": "",
    "vertex-ai-default-model": "",
}
"""Flags of what is not there, and what to know about it."""

_GRPC = (
    *("allow-grpc", "grpc-address", "grpc-port", "reuse-grpc-port", "grpc-use-ssl"),
    *("grpc-use-ssl-mutual", "grpc-server-cert", "grpc-server-key", "grpc-root-cert", "grpc-keepalive-time"),
    *("grpc-infer-response-compression-level", "grpc-keepalive-timeout", "grpc-keepalive-permit-without-calls"),
    *("grpc-http2-max-pings-without-data", "grpc-http2-min-recv-ping-interval-without-data"),
    *("grpc-restricted-protocol", "grpc-header-forward-pattern"),
    *("grpc-http2-max-ping-strikes", "grpc-max-connection-age", "grpc-max-connection-age-grace"),
)
_HTTP = (
    *("allow-http", "http-address", "http-port", "reuse-http-port", "http-max-input-size"),
    *("http-header-forward-pattern", "http-restricted-api"),
)
_METRICS = (
    *("allow-metrics", "allow-gpu-metrics", "allow-cpu-metrics", "metrics-address", "metrics-port"),
    *("metrics-interval-ms", "metrics-config"),
)

_HARMLESS = {
    **dict.fromkeys(
        (
            *("allow-http", "allow-grpc", "reuse-grpc-port", "grpc-use-ssl", "grpc-use-ssl-mutual"),
            *("allow-metrics", "allow-gpu-metrics", "allow-cpu-metrics"),
            *("allow-sagemaker", "allow-vertex-ai"),
        ),
        frozenset({"false", "0"}),
    ),
    "model-load-retry-count": frozenset({"0"}),
}
"""Flag → the values that ask for what this server does anyway."""


def foreign_flags(known: Collection[str], lacks: Callable[[str, str], str]) -> list[Flag]:
    """Make flags for all that the reference has and `known` has not. They are hidden from the help.

    Args:
        known: the keys of the flags that there are.
        lacks: tells why a frontend cannot be had: called with who asks and the frontend's name.
    """
    flags = [_flag(key, _ignore(why)) for key, why in _IGNORED.items()]
    flags += [_flag(key, _refuse(why)) for key, why in _LACKING.items()]
    flags += [_flag(key, _lack("grpc", lacks)) for key in _GRPC]
    flags += [_flag(key, _lack("http", lacks)) for key in _HTTP]
    flags += [_flag(key, _lack("metrics", lacks)) for key in _METRICS]
    return [flag for flag in flags if flag.key not in known]


def _flag(key: str, answer: Callable[[click.Context, str], None]) -> Flag:
    def callback(ctx: click.Context, _: click.Parameter, values: Collection[str]) -> None:
        wanted = [value for value in values if value.lower() not in _HARMLESS.get(key, ())]
        if wanted and not ctx.resilient_parsing:
            answer(ctx, key)

    settings: Mapping[str, Any] = {"multiple": True, "is_flag": False, "flag_value": "", "expose_value": False}
    return Flag(key, "", hidden=True, callback=callback, **settings)


def _ignore(why: str) -> Callable[[click.Context, str], None]:
    def answer(_: click.Context, key: str) -> None:
        click.echo(f"charonia: --{key} is ignored: {why}", err=True)

    return answer


def _refuse(why: str) -> Callable[[click.Context, str], None]:
    def answer(ctx: click.Context, key: str) -> None:
        raise click.UsageError(f"--{key} is not supported" + (f": {why}." if why else "."), ctx)

    return answer


def _lack(frontend: str, lacks: Callable[[str, str], str]) -> Callable[[click.Context, str], None]:
    def answer(ctx: click.Context, key: str) -> None:
        raise click.UsageError(lacks(f"--{key}", frontend), ctx)

    return answer
