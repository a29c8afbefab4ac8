"""The messages of the inference protocol over gRPC; the service itself is in `DESCRIPTOR.services_by_name`. Generated from proto/grpc_service.proto; `grpc_service_pb2.pyi` has the types."""

from charonia_protos._pool import names_of

globals().update(names_of("grpc_service.proto", __name__))
