"""Where Charonia answers otherwise than the recorded reference: on purpose, or not yet. The one list of it.

One rule stands for many recordings: a malformed request (JSON syntax, JSON types, missing members) is the client's mistake, so
that its status is 400 where the reference says 500; the text is the same.
"""

from __future__ import annotations

ON_PURPOSE = {
    ("http_binary", "all_dtypes_binary"): (
        "the model answers its inputs in the order in which it gets them: the request's here, that of a hash table there"
    ),
    ("grpc_health_metadata", "model_ready_unknown"): "NOT_FOUND, as in the reference's later releases",
    ("http_shared_memory", "cuda_register_no_gpu"): "the text is that of a reference that is built without GPUs",
    ("grpc_shared_memory", "cuda_register_no_gpu"): "the text is that of a reference that is built without GPUs",
    ("http_repository", "index_ready_int"): "the text is that of the reference's later releases",
    ("http_repository", "load_bad_backend"): "the text says which backends there are",
    ("http_trace_logging", "trace_count_low"): "there is a space after the colon, as over gRPC",
    (
        "http_trace_logging",
        "log_format_bad",
    ): "a wrong value is the client's mistake, and the text is the same as over gRPC",
}
"""Recordings that are not compared, by topic and id, with the reason why Charonia differs."""

LONGER_TEXTS = {
    ("grpc_control", "load_unknown"),
    ("grpc_control", "load_config_bad"),
    ("grpc_control", "load_file_no_config"),
    ("http_repository", "load_unknown"),
    ("http_repository", "load_config_bad_json"),
    ("http_repository", "load_config_unknown_field"),
    ("http_repository", "load_file_without_config"),
    ("http_repository", "load_config_without_file"),
    ("http_repository", "fresh_reload_without_files"),
}
"""Recorded errors with which those here begin, by topic and id: Charonia goes on to say what was wrong."""

NOT_REPEATABLE = {
    ("http_infer_json", "ok_state_2"): "it goes on with a sequence whose beginning is not among the recordings",
}
"""Recordings that nobody can answer alike, by topic and id, with the reason: the reference cannot either."""

DEADLY = {
    ("grpc_stream", "empty_stream"): "a stream that ends at once ends the reference, too, every few times",
}
"""Recordings with which the reference is not asked again, by topic and id, with the reason."""

_BY_CODE = "the error of a first response has the status of its code, where the reference says 400 whatever it is"

STATUS_ON_PURPOSE = {
    ("http_generate", "stream_error_first"): (500, _BY_CODE),
    ("http_generate", "backend_error"): (503, _BY_CODE),
    ("http_generate", "backend_error_stream"): (503, _BY_CODE),
}
"""Recordings that are compared, but whose status is another one here, by topic and id, with that status and the reason."""
