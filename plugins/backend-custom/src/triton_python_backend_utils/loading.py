"""Loading and unloading other models, and asking whether they serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triton_python_backend_utils.place import calling_host

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["is_model_ready", "load_model", "unload_model"]


def load_model(model_name: str, config: str = "", files: Mapping[str, bytes] | None = None) -> None:
    """Load a model, or load it anew, and wait until it serves. Only in the control mode "explicit".

    A model cannot load itself while it is being initialised, as in the reference.

    Args:
        model_name: the model.
        config: a configuration in JSON, instead of the stored one.
        files: content by path, such as `file:1/model.py`, instead of what is stored; needs a configuration.

    Raises:
        TypeError: a name or a configuration that is no text, or content that is no bytes.
        TritonModelException: it cannot be loaded, or the control mode is another one.
    """
    _check("the model's name", model_name, str)
    _check("the configuration, which is JSON,", config, str)
    for path, content in (files or {}).items():
        _check(f"the content of {path!r}", content, bytes)
    calling_host("load_model()").load_model(model_name, config, dict(files or {}))


def unload_model(model_name: str, unload_dependents: bool = False) -> None:  # noqa: FBT001, FBT002 - the reference's
    """Take a model out of service. Requests that it accepted still finish. Only in the control mode "explicit".

    Args:
        model_name: the model.
        unload_dependents: whether the models that it uses go, too.

    Raises:
        TypeError: a name that is no text.
        TritonModelException: the control mode is another one.
    """
    _check("the model's name", model_name, str)
    calling_host("unload_model()").unload_model(model_name, unload_dependents=unload_dependents)


def is_model_ready(model_name: str, model_version: str = "") -> bool:
    """Tell whether a model, or one version of it, serves. False, too, where there is no such model.

    Raises:
        TypeError: a name or version that is no text.
        TritonModelException: the version is no number.
    """
    _check("the model's name", model_name, str)
    _check("the model's version", model_version, str)
    return calling_host("is_model_ready()").is_model_ready(model_name, model_version)


def _check(what: str, given: object, kind: type) -> None:
    if not isinstance(given, kind):
        raise TypeError(f"{what} is {kind.__name__}, not {type(given).__name__}")
