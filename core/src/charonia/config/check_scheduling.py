"""The checks of the sections dynamic_batching and sequence_batching."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_protos.model_config_pb2 import DataType, ModelQueuePolicy, ModelSequenceBatching

if TYPE_CHECKING:
    from charonia_protos.model_config_pb2 import ModelConfig, ModelDynamicBatching

    from charonia.config.problems import Problems

__all__ = ["scheduling_problems"]

_PAIRS = ("int32_false_true", "fp32_false_true", "bool_false_true")
_ANY_PAIR = "'int32_false_true', 'fp32_false_true' or 'bool_false_true'"
_CORRELATION_ID = ModelSequenceBatching.Control.CONTROL_SEQUENCE_CORRID
_ID_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")


def scheduling_problems(config: ModelConfig, problems: Problems) -> None:
    """Check the section that says how requests become batches, if there is one."""
    if config.HasField("dynamic_batching"):
        _check_dynamic_batching(config.dynamic_batching, config.max_batch_size, problems)
    if config.HasField("sequence_batching"):
        _check_sequence_batching(config.sequence_batching, config.max_batch_size, problems)


def _check_sizes(sizes: list[int], path: str, most: int, what: str, problems: Problems) -> None:
    """Check the preferred batch sizes of a scheduler.

    Args:
        sizes: the sizes.
        path: the path of the field that holds them.
        most: the model's max_batch_size.
        what: how the reference calls such a size.
        problems: where to tell.
    """
    for index, size in enumerate(sizes):
        where = f"{path}[{index}]"
        if size <= 0:
            problems.add(f"{what} must be positive", where, found=size, expected="1 or more")
        elif size > most:
            hint = "raise max_batch_size, or leave the size out"
            problems.add(f"{what} must be <= max batch size", where, found=size, expected=f"at most {most}", hint=hint)


def _check_dynamic_batching(batching: ModelDynamicBatching, most: int, problems: Problems) -> None:
    here = "dynamic_batching"
    sizes = list(batching.preferred_batch_size)
    _check_sizes(sizes, f"{here}.preferred_batch_size", most, "dynamic batching preferred size", problems)
    levels, default = batching.priority_levels, batching.default_priority_level
    if levels and not 1 <= default <= levels:
        text = f"default priority level must be in range [1, {levels}]"
        problems.add(
            text, f"{here}.default_priority_level", found=default, hint=f"write default_priority_level: {levels}"
        )
    for level in batching.priority_queue_policy:
        if levels and not 1 <= level <= levels:
            text = f"priority queue policy must have priority level in range [1, {levels}]"
            problems.add(text, f'{here}.priority_queue_policy["{level}"]', found=level)
    if batching.preserve_ordering:
        _check_order(batching, problems)


def _check_order(batching: ModelDynamicBatching, problems: Problems) -> None:
    """Check that nothing in the section works against preserve_ordering."""
    here = "dynamic_batching"
    if batching.priority_levels > 1:
        text = "Only one priority level is allowed when 'preserve_ordering' is true"
        problems.add(
            text,
            f"{here}.priority_levels",
            found=batching.priority_levels,
            hint="drop preserve_ordering or the priorities",
        )
    policies = {f'{here}.priority_queue_policy["{level}"]': p for level, p in batching.priority_queue_policy.items()}
    policies[f"{here}.default_queue_policy"] = batching.default_queue_policy
    for where, policy in policies.items():
        # As in the reference, the action does not matter where nothing times out.
        if policy.timeout_action == ModelQueuePolicy.DELAY and policy.default_timeout_microseconds:
            text = "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true"
            problems.add(text, f"{where}.timeout_action", found="DELAY", expected="REJECT")


def _check_sequence_batching(batching: ModelSequenceBatching, most: int, problems: Problems) -> None:
    here = "sequence_batching"
    if not 0 <= batching.direct.minimum_slot_utilization <= 1:  # 0 is accepted, as in the reference
        text = "sequence batching minimum slot utilization must be in range (0.0, 1.0]"
        where = f"{here}.direct.minimum_slot_utilization"
        problems.add(text, where, found=batching.direct.minimum_slot_utilization)
    what = "sequence batching preferred batch size"
    sizes = list(batching.oldest.preferred_batch_size)
    _check_sizes(sizes, f"{here}.oldest.preferred_batch_size", most, what, problems)
    _check_tensors(batching, problems)
    _check_controls(batching, problems)


def _check_tensors(batching: ModelSequenceBatching, problems: Problems) -> None:
    names: set[str] = set()
    for index, tensor in enumerate(batching.control_input):
        where = f"sequence_batching.control_input[{index}]"
        if not tensor.name:
            problems.add("sequence batching control tensor must have a name", where)
        elif tensor.name in names:
            text = f"sequence batching control tensor '{tensor.name}' is specified for multiple control kinds"
            problems.add(text, f"{where}.name", hint="give each control its own tensor")
        names.add(tensor.name)


def _check_controls(batching: ModelSequenceBatching, problems: Problems) -> None:
    kinds: set[int] = set()
    for index, tensor in enumerate(batching.control_input):
        for number, control in enumerate(tensor.control):
            where = f"sequence_batching.control_input[{index}].control[{number}]"
            kind = ModelSequenceBatching.Control.Kind.Name(control.kind)
            if control.kind in kinds:
                problems.add(f"sequence batching specifies multiple {kind} tensors", where, hint="keep one of them")
            kinds.add(control.kind)
            if control.kind == _CORRELATION_ID:
                _check_correlation_id(control, where, problems)
            else:
                _check_pair(control, kind, where, problems)


def _check_correlation_id(control: ModelSequenceBatching.Control, where: str, problems: Problems) -> None:
    if any(getattr(control, pair) for pair in _PAIRS):
        problems.add(f"sequence batching must not specify either {_ANY_PAIR} for CONTROL_SEQUENCE_CORRID", where)
    found = DataType.Name(control.data_type)
    if found not in _ID_TYPES:
        allowed = f"{', '.join(_ID_TYPES[:-1])} and {_ID_TYPES[-1]}"
        text = f"unexpected data type for control CONTROL_SEQUENCE_CORRID for {problems.model}. Allowed data types are {allowed}"
        problems.add_whole(text, f"{where}.data_type", found=found)


def _check_pair(control: ModelSequenceBatching.Control, kind: str, where: str, problems: Problems) -> None:
    given = [pair for pair in _PAIRS if getattr(control, pair)]
    if not given:
        text = f"sequence batching must specify either {_ANY_PAIR} for {kind}"
        problems.add(text, where, hint="such as int32_false_true: [ 0, 1 ]")
    elif len(given) > 1:
        text = f"sequence batching specifies more than one from {_ANY_PAIR.replace(' or ', ' and ')} for {kind}"
        problems.add(text, where, found=" and ".join(given), hint="keep one of them")
    elif len(values := getattr(control, given[0])) != len(("false", "true")):
        text = f"sequence batching control '{given[0]}' must have exactly 2 entries for {kind}"
        problems.add(text, f"{where}.{given[0]}", found=f"{len(values)} entries", expected="[ false, true ]")
