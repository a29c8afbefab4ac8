"""Every exception that Charonia raises on purpose.

    CharoniaError
    ├── InferenceError                 what a client of the protocol can be told; one class per canonical code
    │   ├── UnknownError               UNKNOWN         nobody knows better
    │   ├── InternalError              INTERNAL        a model or the server failed
    │   ├── NotFoundError              NOT_FOUND       no such model, version or region
    │   ├── InvalidArgumentError       INVALID_ARG     the request is wrong; sending it again will not help
    │   ├── UnavailableError           UNAVAILABLE     not now: loading, stopping or full
    │   ├── UnsupportedError           UNSUPPORTED     this server, model or transport cannot do that
    │   ├── AlreadyExistsError         ALREADY_EXISTS  the name is taken
    │   └── CancelledError             CANCELLED       the caller took the request back
    ├── ConfigError                    a model configuration is wrong
    ├── PluginError                    a plugin is missing, broken, disabled or in conflict
    └── RepositoryError                a model repository cannot be read

No transport is named here: each frontend has one table from `ErrorCode` to its own status.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "AlreadyExistsError",
    "CancelledError",
    "CharoniaError",
    "ConfigError",
    "ConfigProblem",
    "ErrorCode",
    "InferenceError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "PluginError",
    "RepositoryError",
    "UnavailableError",
    "UnknownError",
    "UnsupportedError",
    "describe_cause",
]


class ErrorCode(enum.Enum):
    """The canonical codes of the protocol; the value is how the reference words them in a model's state."""

    UNKNOWN = "Unknown"
    INTERNAL = "Internal"
    NOT_FOUND = "Not found"
    INVALID_ARG = "Invalid argument"
    UNAVAILABLE = "Unavailable"
    UNSUPPORTED = "Unsupported"
    ALREADY_EXISTS = "Already exists"
    CANCELLED = "Cancelled"


class CharoniaError(Exception):
    """The root of all errors that Charonia raises on purpose. Its text is a sentence for a person."""


class InferenceError(CharoniaError):
    """An error with a canonical code. Raise one of its subclasses; catch this one at a border."""

    code: ClassVar[ErrorCode] = ErrorCode.UNKNOWN

    @staticmethod
    def of(code: ErrorCode, message: str) -> InferenceError:
        """Make the error of the class that belongs to `code`."""
        return _CLASS_OF_CODE[code](message)

    @staticmethod
    def around(error: BaseException) -> InferenceError:
        """Give what a caller is told of an error: itself, where it has a code, else an INTERNAL one of which it is the cause."""
        if isinstance(error, InferenceError):
            return error
        failure = InternalError(f"{type(error).__name__}: {error}")
        failure.__cause__ = error
        return failure


class UnknownError(InferenceError):
    """Something failed and nobody can say what kind of failure it was."""

    code = ErrorCode.UNKNOWN


class InternalError(InferenceError):
    """The model, its backend or the server failed. Never the answer to bad input."""

    code = ErrorCode.INTERNAL


class NotFoundError(InferenceError):
    """The model, version or region does not exist here."""

    code = ErrorCode.NOT_FOUND


class InvalidArgumentError(InferenceError):
    """The caller's request or configuration is wrong; sending it again will not help."""

    code = ErrorCode.INVALID_ARG


class UnavailableError(InferenceError):
    """Not now: the model is loading or leaving, the server stops, or a queue is full. The same request may succeed later.

    Attributes:
        retry_after_seconds: when to ask again, a whole number of seconds; 0 where nobody can tell.
    """

    code = ErrorCode.UNAVAILABLE

    def __init__(self, message: str, *, retry_after_seconds: int = 0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnsupportedError(InferenceError):
    """What was asked is understood, but this server, model or transport cannot do it."""

    code = ErrorCode.UNSUPPORTED


class AlreadyExistsError(InferenceError):
    """The name is taken."""

    code = ErrorCode.ALREADY_EXISTS


class CancelledError(InferenceError):
    """The caller took the request back before it was answered. Not `asyncio.CancelledError`."""

    code = ErrorCode.CANCELLED


_CLASS_OF_CODE: dict[ErrorCode, type[InferenceError]] = {
    kind.code: kind
    for kind in (
        UnknownError,
        InternalError,
        NotFoundError,
        InvalidArgumentError,
        UnavailableError,
        UnsupportedError,
        AlreadyExistsError,
        CancelledError,
    )
}


@dataclass(frozen=True)
class ConfigProblem:
    """One thing that is wrong with a model's configuration.

    `text` is the reference's wording where it has one, else ours. `field` is a path such as `input[0].data_type`;
    `line` counts from 1, and is 0 where no line is known.
    """

    text: str
    field: str = ""
    found: str = ""
    expected: str = ""
    hint: str = ""
    line: int = 0

    def __str__(self) -> str:
        """Say what is wrong, what was found, what was expected and what to do."""
        details = [
            f"found {self.found}" if self.found else "",
            f"expected {self.expected}" if self.expected else "",
            self.hint,
        ]
        told = "; ".join(detail for detail in details if detail)
        return f"{self.text} ({told})" if told else self.text


class ConfigError(CharoniaError):
    """A model's configuration is wrong: all problems found, each with its place.

    Attributes:
        model: the model's name.
        file: the configuration file, or "" where there is none.
        problems: what is wrong, in the order of the file.
    """

    def __init__(self, model: str, problems: list[ConfigProblem], file: str = "") -> None:
        self.model = model
        self.file = file
        self.problems = problems
        super().__init__("\n".join(self._line(problem) for problem in problems))

    def _line(self, problem: ConfigProblem) -> str:
        place = self.file or "its configuration"
        if problem.line:
            place += f":{problem.line}"
        return f'model "{self.model}" ({place}): {problem}'


class PluginError(CharoniaError):
    """A plugin is missing, broken, switched off or in conflict with another one."""


class RepositoryError(CharoniaError):
    """A model repository, or a file in it, cannot be read."""


def describe_cause(error: BaseException) -> str:
    """Word an error as the reference words a model's failure: `<code>: <text>`."""
    if isinstance(error, InferenceError):
        return f"{error.code.value}: {error}"
    if isinstance(error, ConfigError):
        return f"{ErrorCode.INVALID_ARG.value}: " + "; ".join(str(problem) for problem in error.problems)
    if isinstance(error, CharoniaError):
        return f"{ErrorCode.INVALID_ARG.value}: {error}"
    return f"{ErrorCode.INTERNAL.value}: {type(error).__name__}: {error}"
