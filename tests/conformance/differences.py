"""Where Charonia answers otherwise than the recorded reference: on purpose, or not yet. The one list of it.

One rule stands for many recordings: a malformed request (JSON syntax, JSON types, missing members) is the client's mistake, so
that its status is 400 where the reference says 500; the text is the same.
"""

from __future__ import annotations

ON_PURPOSE = {
    ("http_binary", "all_dtypes_binary"): (
        "the model answers its inputs in the order in which it gets them: the request's here, that of a hash table there"
    ),
    ("grpc_control", "load_unknown"): "the text goes on, and tells where the model was looked for",
    ("grpc_health_metadata", "model_ready_unknown"): "NOT_FOUND, as in the reference's later releases",
    ("http_repository", "index_ready_int"): "the text is that of the reference's later releases",
    ("http_repository", "load_unknown"): "the text goes on to say what is wrong",
}
"""Recordings that are not compared, by topic and id, with the reason why Charonia differs."""

_BY_CODE = "the error of a first response has the status of its code, where the reference says 400 whatever it is"

STATUS_ON_PURPOSE = {
    ("http_generate", "stream_error_first"): (500, _BY_CODE),
    ("http_generate", "backend_error"): (503, _BY_CODE),
    ("http_generate", "backend_error_stream"): (503, _BY_CODE),
}
"""Recordings that are compared, but whose status is another one here, by topic and id, with that status and the reason."""

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
    ("grpc_control", "trace"): "trace settings",
    ("grpc_control", "trace_unknown_model"): "trace settings",
    ("grpc_control", "trace_set"): "trace settings",
    ("grpc_control", "trace_two_values"): "trace settings",
    ("grpc_control", "trace_text"): "trace settings",
    ("grpc_control", "trace_clear"): "trace settings",
    ("grpc_control", "trace_file"): "trace settings",
    ("grpc_control", "trace_count_low"): "trace settings",
    ("grpc_control", "trace_level_no_file"): "trace settings",
    ("grpc_control", "trace_level_off_more"): "trace settings",
    ("grpc_control", "log"): "log settings",
    ("grpc_control", "log_set"): "log settings",
    ("grpc_control", "log_restore"): "log settings",
    ("grpc_control", "log_bool_wrong"): "log settings",
    ("grpc_control", "log_level_wrong"): "log settings",
    ("grpc_control", "log_format_bad"): "log settings",
    ("grpc_control", "log_format_wrong"): "log settings",
    ("grpc_control", "log_file"): "log settings",
    ("grpc_control", "load_config_bad"): "a configuration and files that come with a load",
    ("grpc_control", "load_file_no_config"): "a configuration and files that come with a load",
    ("grpc_control", "load_file_config"): "a configuration and files that come with a load",
    ("grpc_control", "load_file_metadata"): "a configuration and files that come with a load",
    ("grpc_infer", "classification"): "classification",
    ("grpc_infer", "classification_zero"): "classification",
    ("grpc_infer", "classification_string"): "classification",
    ("grpc_stream", "in_order_non_decoupled"): "dynamic batching, for which its model asks",
    ("grpc_stream", "decoupled_overtakes"): "dynamic batching, for which its model asks",
    ("grpc_stream", "sequence"): "sequences",
    ("http_repository", "load_config_bad_json"): "loading with another configuration or other files",
    ("http_repository", "load_config_unknown_field"): "loading with another configuration or other files",
    ("http_repository", "load_bad_backend"): "loading with another configuration or other files",
    ("http_repository", "load_config_override"): "loading with another configuration or other files",
    ("http_repository", "overridden_config"): "loading with another configuration or other files",
    ("http_repository", "load_file_without_config"): "loading with another configuration or other files",
    ("http_repository", "load_config_without_file"): "loading with another configuration or other files",
    ("http_repository", "load_file_and_config"): "loading with another configuration or other files",
    ("http_repository", "fresh_metadata"): "loading with another configuration or other files",
    ("http_repository", "fresh_infer"): "loading with another configuration or other files",
    ("http_repository", "fresh_reload_without_files"): "loading with another configuration or other files",
    ("http_repository", "ensemble_infer"): "ensembles",
    ("http_repository", "load_ensemble_loads_composing"): "ensembles",
    ("http_repository", "composing_ready"): "ensembles",
    ("http_repository", "ensemble_ready"): "ensembles",
    ("http_repository", "unload_ensemble_with_dependents"): "ensembles",
    ("http_repository", "composing_gone"): "ensembles",
    ("http_repository", "restore_ens"): "ensembles",
    ("http_repository", "ensemble_gone_too"): "ensembles",
    ("http_statistics", "cached_stats"): "the response cache",
}
"""Recordings that wait for a capability, by topic and id, with its name."""
