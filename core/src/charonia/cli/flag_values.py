"""Values of the server's own flags that are more than a word or a number, as they stand on the command line."""

from __future__ import annotations

import click

from charonia.rate_limiter import ResourceLimit

__all__ = ["backend_setting", "batch_sizes", "cache_setting", "config_name", "resource_limit"]


def backend_setting(text: str) -> tuple[str, str, str]:
    """Take `BACKEND,NAME=VALUE`, or `NAME=VALUE` for all backends, apart into (backend, name, value).

    Raises:
        click.BadParameter: it is neither.
    """
    backend, comma, setting = text.partition(",")
    if not comma or "=" in backend:
        backend, setting = "", text
    name, equals, value = setting.partition("=")
    if not equals or not name.strip():
        raise click.BadParameter(f"{text!r} is not of the form BACKEND,NAME=VALUE or NAME=VALUE.")
    return backend.strip(), name.strip(), value.strip()


def cache_setting(text: str) -> tuple[str, str, str]:
    """Take `NAME,SETTING=VALUE`, or the name of a cache without a setting, apart into (name, setting, value).

    Raises:
        click.BadParameter: it is neither; the reference's text.
    """
    name, _, setting = text.partition(",")
    if not name.strip() or "=" in name:
        raise click.BadParameter(
            f"No cache specified. --cache-config option format is <cache name>,<setting>=<value>. Got {text}"
        )
    key, equals, value = setting.partition("=")
    if setting and (not equals or not key.strip()):
        raise click.BadParameter(f"--cache-config option format is <cache name>,<setting>=<value>. Got {text}")
    return name.strip(), key.strip(), value.strip()


def resource_limit(text: str) -> ResourceLimit:
    """Take `NAME:COUNT` or `NAME:COUNT:DEVICE` apart.

    Raises:
        click.BadParameter: it is neither; the reference's text.
    """
    name, *numbers = text.split(":")
    if not name or len(numbers) not in {1, 2} or not all(number.isdecimal() for number in numbers):
        raise click.BadParameter(
            "--rate-limit-resource option format is '<resource_name>:<count>:<device>' or '<resource_name>:<count>'. "
            f"Got {text}"
        )
    return ResourceLimit(name, *map(int, numbers))


def batch_sizes(text: str | tuple[int, ...]) -> tuple[int, ...]:
    """Take batch sizes apart that are parted by commas.

    Raises:
        click.BadParameter: one of them is no whole number of 1 or more.
    """
    if isinstance(text, tuple):  # click converts what it has converted once more
        return text
    sizes = [size.strip() for size in text.split(",")] if text else []
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise click.BadParameter(f"{text!r} is no list of batch sizes, such as 1,4,8.")
    return tuple(map(int, sizes))


def config_name(text: str) -> str:
    """Take the name of a configuration.

    Raises:
        click.BadParameter: it leads elsewhere, or is empty; then with the reference's text.
    """
    if not text:
        raise click.BadParameter("empty argument for --model-config-name")
    if "/" in text or "\\" in text:
        raise click.BadParameter(f"{text!r} is no name of a file in the folder configs.")
    return text
