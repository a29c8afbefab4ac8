"""Where Charonia answers otherwise than the recorded reference: on purpose, or not yet. The one list of it.

One rule stands for many recordings: a malformed request (JSON syntax, JSON types, missing members) is the client's mistake, so
that its status is 400 where the reference says 500; the text is the same.
"""

from __future__ import annotations

ON_PURPOSE = {
    ("http_binary", "all_dtypes_binary"): (
        "the model answers its inputs in the order in which it gets them: the request's here, that of a hash table there"
    ),
}
"""Recordings that are not compared, by topic and id, with the reason why Charonia differs."""

WAITING = {
    ("http_infer_json", "ok_reshape"): "dynamic batching, for which its model asks",
    ("http_infer_json", "ok_state_2"): "sequences with implicit state",
    ("http_parameters", "seq_start"): "sequences",
    ("http_parameters", "seq_mid"): "sequences",
    ("http_parameters", "seq_end"): "sequences",
    ("http_parameters", "seq_str_start"): "sequences",
    ("http_parameters", "seq_str_end"): "sequences",
    ("http_parameters", "seq_missing_id"): "sequences",
    ("http_parameters", "seq_start_and_end"): "sequences",
    ("http_parameters", "seq_restart"): "sequences",
    ("http_parameters", "seq_restart_again"): "sequences",
    ("http_parameters", "seq_batch2"): "sequences",
}
"""Recordings that wait for a capability, by topic and id, with its name."""
