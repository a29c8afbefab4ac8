"""The checks of a configuration by its text alone, worded as in the reference."""

import pytest
from charonia.config import check_config, parse_config

START = "{ name: 'S' control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }"
ANY_PAIR = "'int32_false_true', 'fp32_false_true' or 'bool_false_true'"
ALL_PAIRS = "'int32_false_true', 'fp32_false_true' and 'bool_false_true'"


def check(text):
    """List the problems of a configuration of the model "m"."""
    return check_config(parse_config(text, model="m", file="config.pbtxt", environment={}))


def controls(*items):
    """Write a sequence batcher with control inputs."""
    return f"sequence_batching {{ control_input [ {', '.join(items)} ] }}"


def control(kind, rest):
    """Write a control input."""
    return f"{{ name: '{kind}' control {{ kind: CONTROL_SEQUENCE_{kind} {rest} }} }}"


def dynamic(rest, max_batch_size=4):
    """Write a dynamic batcher."""
    return f"max_batch_size: {max_batch_size} dynamic_batching {{ {rest} }}"


def ensemble(rest):
    """Write an ensemble."""
    return f"platform: 'ensemble' {rest} ensemble_scheduling {{ }}"


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("max_batch_size: -1", "max_batch_size", "'max_batch_size' must be non-negative value for m"),
        (
            dynamic("preferred_batch_size: 0"),
            "dynamic_batching.preferred_batch_size[0]",
            "dynamic batching preferred size must be positive for m",
        ),
        (
            dynamic("preferred_batch_size: [ 4, 5 ]"),
            "dynamic_batching.preferred_batch_size[1]",
            "dynamic batching preferred size must be <= max batch size for m",
        ),
        (
            dynamic("preferred_batch_size: 1", 0),
            "dynamic_batching.preferred_batch_size[0]",
            "dynamic batching preferred size must be <= max batch size for m",
        ),
        (
            dynamic("priority_levels: 2"),
            "dynamic_batching.default_priority_level",
            "default priority level must be in range [1, 2] for m",
        ),
        (
            dynamic("priority_levels: 2 default_priority_level: 3"),
            "dynamic_batching.default_priority_level",
            "default priority level must be in range [1, 2] for m",
        ),
        (
            dynamic("priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 value { } }"),
            'dynamic_batching.priority_queue_policy["3"]',
            "priority queue policy must have priority level in range [1, 2] for m",
        ),
        (
            dynamic("preserve_ordering: true priority_levels: 2 default_priority_level: 1"),
            "dynamic_batching.priority_levels",
            "Only one priority level is allowed when 'preserve_ordering' is true for m",
        ),
        (
            dynamic(
                "preserve_ordering: true default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1 }"
            ),
            "dynamic_batching.default_queue_policy.timeout_action",
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m",
        ),
        (
            dynamic(
                "preserve_ordering: true priority_queue_policy "
                "{ key: 1 value { timeout_action: DELAY default_timeout_microseconds: 1 } }"
            ),
            'dynamic_batching.priority_queue_policy["1"].timeout_action',
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m",
        ),
        (
            "response_cache { enable: true } sequence_batching { }",
            "response_cache.enable",
            (
                "Response Cache does not currently support model m with sequence batching scheduler. "
                "Please disable the response cache."
            ),
        ),
        (
            "response_cache { enable: true } model_transaction_policy { decoupled: true }",
            "response_cache.enable",
            (
                "Response Cache does not currently support model m with 'decoupled' transaction policy. "
                "Please disable the response cache."
            ),
        ),
        (
            controls("{ }"),
            "sequence_batching.control_input[0]",
            "sequence batching control tensor must have a name for m",
        ),
        (
            controls(START, "{ name: 'S' }"),
            "sequence_batching.control_input[1].name",
            "sequence batching control tensor 'S' is specified for multiple control kinds for m",
        ),
        (
            controls(START, START.replace("'S'", "'T'")),
            "sequence_batching.control_input[1].control[0]",
            "sequence batching specifies multiple CONTROL_SEQUENCE_START tensors for m",
        ),
        (
            controls(control("END", "")),
            "sequence_batching.control_input[0].control[0]",
            f"sequence batching must specify either {ANY_PAIR} for CONTROL_SEQUENCE_END for m",
        ),
        (
            controls(control("END", "int32_false_true: [ 0, 1 ] bool_false_true: [ false, true ]")),
            "sequence_batching.control_input[0].control[0]",
            f"sequence batching specifies more than one from {ALL_PAIRS} for CONTROL_SEQUENCE_END for m",
        ),
        (
            controls(control("READY", "fp32_false_true: [ 0, 1, 2 ]")),
            "sequence_batching.control_input[0].control[0].fp32_false_true",
            "sequence batching control 'fp32_false_true' must have exactly 2 entries for CONTROL_SEQUENCE_READY for m",
        ),
        (
            controls(control("CORRID", "data_type: TYPE_FP32")),
            "sequence_batching.control_input[0].control[0].data_type",
            (
                "unexpected data type for control CONTROL_SEQUENCE_CORRID for m. Allowed data types are "
                "TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING"
            ),
        ),
        (
            controls(control("CORRID", "data_type: TYPE_INT32 int32_false_true: [ 0, 1 ]")),
            "sequence_batching.control_input[0].control[0]",
            f"sequence batching must not specify either {ANY_PAIR} for CONTROL_SEQUENCE_CORRID for m",
        ),
        (
            "sequence_batching { direct { minimum_slot_utilization: 1.5 } }",
            "sequence_batching.direct.minimum_slot_utilization",
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m",
        ),
        (
            "max_batch_size: 4 sequence_batching { oldest { preferred_batch_size: 0 } }",
            "sequence_batching.oldest.preferred_batch_size[0]",
            "sequence batching preferred batch size must be positive for m",
        ),
        (
            "max_batch_size: 4 sequence_batching { oldest { preferred_batch_size: 5 } }",
            "sequence_batching.oldest.preferred_batch_size[0]",
            "sequence batching preferred batch size must be <= max batch size for m",
        ),
        (
            "model_repository_agents { agents { name: 'checksum' } }",
            "model_repository_agents.agents[0]",
            "unable to find 'libtritonrepoagent_checksum.so' for repo agent 'checksum'",
        ),
        (
            "model_metrics { metric_control { histogram_options { buckets: 1 } } }",
            "model_metrics.metric_control[0]",
            "metric control must specify 'metric_identifier'",
        ),
        (
            "model_metrics { metric_control { metric_identifier { } histogram_options { buckets: 1 } } }",
            "model_metrics.metric_control[0].metric_identifier",
            "metric identifier must specify non-empty 'family'",
        ),
        (
            "model_metrics { metric_control { metric_identifier { family: 'f' } } }",
            "model_metrics.metric_control[0]",
            "metric control must specify 'histogram_options'",
        ),
        (
            "model_metrics { metric_control { metric_identifier { family: 'f' } histogram_options { } } }",
            "model_metrics.metric_control[0].histogram_options",
            "histogram options must specify non-empty 'buckets'",
        ),
        (
            "model_metrics { metric_control { metric_identifier { family: 'f' } histogram_options { buckets: [ 1, inf ] } } }",
            "model_metrics.metric_control[0].histogram_options",
            "'buckets' are finite: an infinite one is added to them",
        ),
        (
            "platform: 'ensemble'",
            "platform",
            "ensemble scheduling must be set for ensemble m whose platform is ensemble",
        ),
        (
            "backend: 'python' ensemble_scheduling { }",
            "ensemble_scheduling",
            "ensemble scheduling cannot be set for model 'm' whose platform is not ensemble",
        ),
        (
            ensemble("instance_group { }"),
            "instance_group",
            "instance group should not be specified for ensemble 'm'",
        ),
        (ensemble("optimization { }"), "optimization", "optimization should not be specified for ensemble 'm'"),
        (ensemble("model_warmup { }"), "model_warmup", "model_warmup can not be specified for ensemble 'm'"),
    ],
)
def test_a_contradiction_is_told_as_in_the_reference(text, field, told):
    """Each rule has the reference's text, and the path of the field that breaks it."""
    assert [(problem.text, problem.field) for problem in check(text)] == [(told, field)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        dynamic("preferred_batch_size: [ 1, 4 ] priority_queue_policy { key: 3 value { } }"),
        dynamic("preserve_ordering: true default_queue_policy { timeout_action: DELAY }"),
        dynamic("preserve_ordering: true priority_levels: 1 default_priority_level: 1"),
        dynamic("", 0),
        "sequence_batching { direct { minimum_slot_utilization: 0 } }",
        controls("{ name: 'A' }"),
        controls(
            "{ name: 'A' control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] },"
            " { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } ] }"
        ),
        controls(control("CORRID", "data_type: TYPE_STRING")),
        "response_cache { enable: false } sequence_batching { }",
        ensemble(""),
        "model_metrics { metric_control { metric_identifier { family: 'f' } histogram_options { buckets: 1 } } }",
    ],
)
def test_what_the_reference_accepts_is_accepted(text):
    """No rule is stricter than the reference's."""
    assert check(text) == []


def test_a_problem_has_the_line_of_what_is_written():
    """A field that is not written is told at the section around it, and one that is at its own line."""
    text = "max_batch_size: 4\ndynamic_batching {\n  priority_levels: 2\n  preferred_batch_size: [\n  9 ]\n}\n"
    assert [(problem.line, problem.field.rpartition(".")[2]) for problem in check(text)] == [
        (5, "preferred_batch_size[0]"),
        (2, "default_priority_level"),
    ]


def test_a_problem_says_what_was_found_and_what_to_do():
    """The reference's text is followed by ours."""
    (problem,) = check(dynamic("preferred_batch_size: 9"))
    assert str(problem) == (
        "dynamic batching preferred size must be <= max batch size for m "
        "(found 9; expected at most 4; raise max_batch_size, or leave the size out)"
    )
