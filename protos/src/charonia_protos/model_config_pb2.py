"""The messages of the model configuration. Generated from proto/model_config.proto; `model_config_pb2.pyi` has the types."""

from charonia_protos._pool import names_of

globals().update(names_of("model_config.proto", __name__))
