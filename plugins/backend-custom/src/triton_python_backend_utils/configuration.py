"""A model's configuration: reading it from `initialize`'s arguments, and completing it.

The texts of the errors are those of the reference.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "ModelConfig",
    "get_input_config_by_name",
    "get_output_config_by_name",
    "using_decoupled_model_transaction_policy",
]

Section: TypeAlias = dict[str, Any]
"""A part of a configuration in its JSON form."""

_UNSAID = "TYPE_INVALID"


def get_input_config_by_name(model_config: Mapping[str, Any], name: str) -> Section | None:
    """Find an input in a configuration, as `json.loads(args["model_config"])` gives it. None if there is none of that name."""
    return _by_name(model_config.get("input", ()), name)


def get_output_config_by_name(model_config: Mapping[str, Any], name: str) -> Section | None:
    """Find an output in a configuration, as `json.loads(args["model_config"])` gives it. None if there is none of that name."""
    return _by_name(model_config.get("output", ()), name)


def using_decoupled_model_transaction_policy(model_config: Mapping[str, Any]) -> bool:
    """Tell whether the configuration says that a request may have any number of responses."""
    return bool(model_config.get("model_transaction_policy", {}).get("decoupled", False))


def _by_name(tensors: Sequence[Section], name: str) -> Section | None:
    return next((tensor for tensor in tensors if tensor["name"] == name), None)


class ModelConfig:
    """What `auto_complete_config` gets, fills in, and gives back.

    Args:
        model_config: the configuration in its JSON form, as far as it is written.
    """

    def __init__(self, model_config: Mapping[str, Any]) -> None:
        self._config: Section = copy.deepcopy(dict(model_config))
        self._name: str = self._config["name"]

    def as_dict(self) -> Section:
        """Give the configuration as it is now. What is changed in it is changed."""
        return self._config

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """Say how large a batch the model takes; 0 if it does not batch.

        Raises:
            ValueError: the configuration says more.
        """
        written = self._config.get("max_batch_size", 0)
        if written > max_batch_size:
            raise ValueError(
                f"configuration specified max_batch_size {written}, but in auto-complete-config function for model "
                f"'{self._name}' specified max_batch_size {max_batch_size}"
            )
        self._config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self) -> None:
        """Ask for the dynamic batcher with its defaults, where the configuration has not.

        Raises:
            ValueError: the configuration asks for another scheduler.
        """
        for choice in ("sequence_batching", "ensemble_scheduling"):
            if choice in self._config:
                raise ValueError(
                    f"Configuration specified scheduling_choice as '{choice}', but auto-complete-config function for model "
                    f"'{self._name}' tries to set scheduling_choice as 'dynamic_batching'"
                )
        self._config.setdefault("dynamic_batching", {})

    def set_model_transaction_policy(self, transaction_policy_dict: Mapping[str, Any]) -> None:
        """Say whether a request may have any number of responses: `{"decoupled": True}`.

        Raises:
            ValueError: there is another key, or the configuration says otherwise.
        """
        if set(transaction_policy_dict) - {"decoupled"}:
            raise ValueError(
                f"model transaction property in auto-complete-config function for model '{self._name}' contains property "
                "other than 'decoupled'."
            )
        wanted = bool(transaction_policy_dict.get("decoupled", False))
        written = self._config.get("model_transaction_policy")
        if written is not None and bool(written.get("decoupled", False)) != wanted:
            raise ValueError(
                f"trying to change decoupled property in auto-complete-config for model '{self._name}', which is already "
                f"set to '{bool(written.get('decoupled', False))}'."
            )
        self._config["model_transaction_policy"] = {"decoupled": wanted}

    def add_input(self, input: Mapping[str, Any]) -> None:  # noqa: A002 - the reference's word
        """Say that the model has an input: `{"name": …, "data_type": "TYPE_FP32", "dims": […], "optional": False}`.

        Raises:
            ValueError: a key is missing or unknown, or the configuration says otherwise.
        """
        self._add("input", input, optional_key=True)

    def add_output(self, output: Mapping[str, Any]) -> None:
        """Say that the model has an output: `{"name": …, "data_type": "TYPE_FP32", "dims": […]}`.

        Raises:
            ValueError: a key is missing or unknown, or the configuration says otherwise.
        """
        self._add("output", output, optional_key=False)

    def _add(self, kind: str, tensor: Mapping[str, Any], *, optional_key: bool) -> None:
        self._check_keys(kind, tensor, optional_key=optional_key)
        tensors = self._config.setdefault(kind, [])
        written = _by_name(tensors, tensor["name"])
        if written is None:
            tensors.append(dict(tensor))
            return
        self._check_datatype(kind, tensor, written)
        self._check_shape(tensor, written)
        if optional_key and "optional" in tensor:
            self._check_optional(tensor, written)
        written["data_type"] = tensor["data_type"]
        written["dims"] = list(tensor["dims"])

    def _check_keys(self, kind: str, tensor: Mapping[str, Any], *, optional_key: bool) -> None:
        known = ("name", "data_type", "dims", "optional") if optional_key else ("name", "data_type", "dims")
        where = f"in auto-complete-config function for model '{self._name}'"
        named = f"{kind} '{tensor['name']}'" if "name" in tensor else kind
        if set(tensor) - set(known):
            *first, last = (f"'{key}'" for key in known)
            raise ValueError(f"{named} {where} contains property other than {', '.join(first)} and {last}.")
        for key in ("name", "data_type", "dims"):
            if key not in tensor:
                raise ValueError(f"{named} {where} is missing '{key}' property.")

    def _check_datatype(self, kind: str, tensor: Mapping[str, Any], written: Section) -> None:
        expected = written.get("data_type", _UNSAID)
        if expected not in (_UNSAID, tensor["data_type"]):
            raise ValueError(
                f"unable to load model '{self._name}', configuration expects datatype {expected} for {kind} "
                f"'{tensor['name']}', model provides {tensor['data_type']}"
            )

    def _check_shape(self, tensor: Mapping[str, Any], written: Section) -> None:
        dims = [int(size) for size in written.get("dims", ())]
        if dims and dims != list(tensor["dims"]):
            raise ValueError(
                f"model '{self._name}', tensor '{tensor['name']}': the model expects dims {list(tensor['dims'])} but the "
                f"model configuration specifies dims {dims}"
            )

    def _check_optional(self, tensor: Mapping[str, Any], written: Section) -> None:
        said = written.get("optional", False)
        if bool(tensor["optional"]) != said:
            raise ValueError(
                f"model '{self._name}', tensor '{tensor['name']}': the model expects optional {tensor['optional']} but the "
                f"model configuration specifies optional {said}"
            )
