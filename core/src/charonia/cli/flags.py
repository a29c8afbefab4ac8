"""The flags of `charonia serve` that are the server's own; frontends bring theirs.

Names and meanings are the reference's, where it has such a flag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click

from charonia.cli.flag_values import backend_setting, batch_sizes, cache_setting, config_name, resource_limit
from charonia.log_settings import LOG_FORMATS
from charonia.options import ControlMode, RateLimit
from charonia.transport import AUTOMATIC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.frontend_offer import FrontendOption

__all__ = ["MODELS", "Flag", "early_flags", "frontend_flag", "own_flags", "parameter_name"]

MODELS = "Models"
SERVER = "Server"
LOGGING = "Logging"


class Flag(click.Option):
    """An option with a long name, a place in the help, and a key in the options file.

    Args:
        name: the name without dashes.
        section: the heading under which the help has it.
        aliases: other names.
        settings: what click's own options take.

    Attributes:
        key: the name.
        section: the heading.
    """

    def __init__(self, name: str, section: str, *, aliases: Sequence[str] = (), **settings: Any) -> None:
        self.key = name
        self.section = section
        names = [f"--{spelling}" for spelling in (name, *aliases)]
        default = settings.get("default")
        if isinstance(default, bool) and not settings.get("is_flag"):  # click would write it as Python does
            settings["help"] += f"  [default: {str(default).lower()}]"
            settings |= {"show_default": False, "metavar": "true|false"}
        settings.setdefault("show_default", True)
        super().__init__([parameter_name(name), *names], **settings)


def parameter_name(key: str) -> str:
    """Give the name under which click keeps a flag's value."""
    return key.replace("-", "_").lower()


def _boolean(name: str, section: str, *, default: bool, help: str) -> Flag:  # noqa: A002 - click's own word
    return Flag(
        name,
        section,
        type=click.BOOL,
        default=default,
        help=help,
    )


def early_flags() -> list[Flag]:
    """Make the flags that are looked at before the others, since they decide which others there are."""
    return [
        Flag(
            "config",
            SERVER,
            metavar="FILE",
            help="Read options from a YAML file: its keys are the names of the options, without dashes.",
        ),
        Flag(
            "disable-plugin",
            SERVER,
            multiple=True,
            metavar="NAME",
            help="Leave an installed plugin alone, by its name or its package's. May come several times.",
        ),
        Flag(
            "log-verbose",
            LOGGING,
            type=click.IntRange(min=0),
            default=0,
            metavar="LEVEL",
            help="1 and more log details, with the traceback of every failure.",
        ),
        _boolean("log-info", LOGGING, default=True, help="Log what goes on."),
        _boolean("log-warning", LOGGING, default=True, help="Log what looks wrong."),
        _boolean("log-error", LOGGING, default=True, help="Log what is wrong."),
        Flag(
            "log-format",
            LOGGING,
            type=click.Choice(LOG_FORMATS),
            default=LOG_FORMATS[0],
            metavar="|".join(LOG_FORMATS),
            help="How a line tells the time: the time of the day, or date and time in UTC; or each line is a JSON object.",
        ),
        Flag(
            "log-file",
            LOGGING,
            default="",
            metavar="FILE",
            help="Append the log to a file instead of writing it to stderr.",
        ),
        _boolean("log-access", LOGGING, default=False, help="Log each request when it is finished, with its times."),
    ]


def own_flags() -> list[Flag]:
    """Make all flags that do not come from frontends, in the order of the help."""
    return [
        *_repository_flags(),
        *_copy_flags(),
        *_loading_flags(),
        *_execution_flags(),
        *_server_flags(),
        *early_flags(),
    ]


def _repository_flags() -> list[Flag]:
    return [
        Flag(
            "model-repository",
            MODELS,
            aliases=["model-store"],
            multiple=True,
            required=True,
            metavar="DIR",
            help="A directory with one directory for each model. May come several times.",
        ),
        Flag(
            "model-control-mode",
            MODELS,
            type=click.Choice(get_args(ControlMode)),
            default="none",
            metavar="none|poll|explicit",
            help="'none' loads every model at the start, 'poll' also follows what changes in the repositories, 'explicit' loads "
            "only what --load-model names.",
        ),
        Flag(
            "load-model",
            MODELS,
            multiple=True,
            metavar="NAME",
            help="A model to load in the control mode 'explicit'; * means all. May come several times.",
        ),
        Flag(
            "repository-poll-secs",
            MODELS,
            type=click.FloatRange(min=0),
            default=15,
            metavar="SECONDS",
            help="How often the control mode 'poll' looks at the repositories; 0 is never.",
        ),
        Flag(
            "repository-settle-secs",
            MODELS,
            type=click.FloatRange(min=0),
            default=1,
            metavar="SECONDS",
            help="How long a change in a repository must hold still before 'poll' acts on it.",
        ),
    ]


def _copy_flags() -> list[Flag]:
    return [
        Flag(
            "model-cache-directory",
            MODELS,
            default="",
            metavar="DIR",
            help="Where copies of models from object stores lie; without it, in your folder of caches.",
        ),
        Flag(
            "model-cache-byte-size",
            MODELS,
            type=click.IntRange(min=0),
            default=0,
            metavar="BYTES",
            help="How much these copies may take; 0 is what the disk has. What was not used for longest goes first.",
        ),
    ]


def _loading_flags() -> list[Flag]:
    return [
        Flag(
            "model-config-name",
            MODELS,
            type=config_name,
            metavar="NAME",
            help="Read configs/NAME.pbtxt in a model's directory instead of config.pbtxt, where there is one.",
        ),
        _boolean(
            "model-namespacing",
            MODELS,
            default=False,
            help="Whether models of equal names in several repositories are models of their own.",
        ),
        Flag(
            "disable-auto-complete-config",
            MODELS,
            is_flag=True,
            help="Take each model's configuration as it is written: nothing is completed from the model's file.",
        ),
        Flag(
            "model-load-thread-count",
            MODELS,
            type=click.IntRange(min=1),
            default=4,
            metavar="COUNT",
            help="How many models load side by side.",
        ),
        Flag(
            "backend-config",
            MODELS,
            type=backend_setting,
            multiple=True,
            metavar="[BACKEND,]NAME=VALUE",
            help="A setting for one backend, or for all. May come several times.",
        ),
        Flag(
            "cache-config",
            MODELS,
            type=cache_setting,
            multiple=True,
            metavar="NAME[,SETTING=VALUE]",
            help="Keep the responses of models that ask for it in this response cache, such as 'local,size=BYTES'. May come "
            "several times, with one setting each.",
        ),
        Flag(
            "response-cache-byte-size",
            MODELS,
            type=click.IntRange(min=0),
            default=0,
            metavar="BYTES",
            help="Deprecated; means --cache-config=local,size=BYTES. 0 is no cache.",
        ),
        _boolean(
            "strict-model-config",
            MODELS,
            default=False,
            help="Deprecated; 'true' means --disable-auto-complete-config.",
        ),
    ]


def _execution_flags() -> list[Flag]:
    return [
        Flag(
            "warmup-batch-sizes",
            MODELS,
            type=batch_sizes,
            default="",
            metavar="SIZE[,SIZE]…",
            help="Have every instance of models without a warm-up of their own execute zeros in batches of these sizes before "
            "the model is ready.",
        ),
        Flag(
            "rate-limit",
            MODELS,
            type=click.Choice(get_args(RateLimit)),
            default="off",
            metavar="|".join(get_args(RateLimit)),
            help="'execution_count' lets an instance execute only while it holds the resources that its configuration lists.",
        ),
        Flag(
            "rate-limit-resource",
            MODELS,
            type=resource_limit,
            multiple=True,
            metavar="NAME:COUNT[:DEVICE]",
            help="How much of a resource there is, on one device or on each. Without any, as much as the instance needs that "
            "needs most. May come several times.",
        ),
    ]


def _server_flags() -> list[Flag]:
    return [
        Flag("id", SERVER, default="charonia", metavar="NAME", help="The server's name in its metadata."),
        _boolean("exit-on-error", SERVER, default=True, help="Do not serve at all if a model fails to load."),
        _boolean("strict-readiness", SERVER, default=True, help="Be not ready while a model has failed."),
        Flag(
            "exit-timeout-secs",
            SERVER,
            type=click.FloatRange(min=0),
            default=30,
            metavar="SECONDS",
            help="How long requests in progress may take to finish when the server is stopped.",
        ),
        Flag(
            "transport",
            SERVER,
            default=AUTOMATIC,
            metavar="NAME",
            help="What carries the protocols over the network: 'standard', a plugin's, such as 'lean', or 'auto': a plugin's if "
            "one is installed.",
        ),
        _boolean(
            "allow-client-shm",
            SERVER,
            default=False,
            help="Let clients register shared memory. They must be trusted: they can end the server by shrinking it.",
        ),
    ]


def frontend_flag(frontend: str, option: FrontendOption) -> Flag:
    """Make the flag of a frontend's option. Its type is that of the default."""
    kinds: dict[type, Any] = {bool: click.BOOL, int: click.INT, float: click.FLOAT, str: click.STRING}
    return Flag(
        option.name,
        f"Frontend {frontend}",
        type=kinds[type(option.default)],
        multiple=option.repeatable,
        default=() if option.repeatable else option.default,
        help=option.help,
    )
