"""The messages of the model configuration.

They are made from what proto/model_config.proto says; `model_config_pb2.pyi` has their types.
"""

from charonia_protos._pool import names_of

globals().update(names_of("model_config.proto", __name__))
