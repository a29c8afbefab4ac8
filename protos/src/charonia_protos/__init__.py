"""The messages of the inference protocol and of the model configuration.

Import `charonia_protos.model_config_pb2` and `charonia_protos.grpc_service_pb2`. Their messages have the true names of
the protocol but live in a descriptor pool of their own, `POOL`: so this package and a client library that registers the
same names in protobuf's default pool work in one process.
"""

from __future__ import annotations

from charonia_protos._pool import POOL

__all__ = ["POOL"]
