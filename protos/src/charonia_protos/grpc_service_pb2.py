"""The messages of the inference protocol over gRPC; `DESCRIPTOR.services_by_name` has the service.

They are made from what proto/grpc_service.proto says; `grpc_service_pb2.pyi` has their types.
"""

from charonia_protos._pool import names_of

globals().update(names_of("grpc_service.proto", __name__))
