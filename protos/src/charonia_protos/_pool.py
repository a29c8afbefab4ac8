"""The descriptor pool of the package, and the classes made from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

POOL = descriptor_pool.DescriptorPool()
"""Knows every message, enum and service of the package, and nothing else."""

_FILES = descriptor_pb2.FileDescriptorSet.FromString(Path(__file__).with_name("descriptors.binpb").read_bytes())
for _file in _FILES.file:
    POOL.AddSerializedFile(_file.SerializeToString())


def names_of(file: str, module: str) -> dict[str, Any]:
    """Make what a protobuf module offers: DESCRIPTOR, the messages, the enums and their values, by name.

    Args:
        file: the name of the source, such as `model_config.proto`.
        module: the full name of the module that will hold the classes.
    """
    descriptor = POOL.FindFileByName(file)
    names: dict[str, Any] = {"DESCRIPTOR": descriptor}
    for name, message in descriptor.message_types_by_name.items():
        names[name] = _message_class(message, module)
    for name, enum in descriptor.enum_types_by_name.items():
        names[name] = EnumTypeWrapper(enum)
        names.update({value.name: value.number for value in enum.values})
    return names


def _message_class(descriptor: Descriptor, module: str) -> type:
    made = message_factory.GetMessageClass(descriptor)
    made.__module__ = module  # the factory cannot know it, and pickle needs it
    made.__qualname__ = descriptor.full_name.removeprefix(f"{descriptor.file.package}.")
    for nested in descriptor.nested_types:
        if not nested.GetOptions().map_entry:
            # Held by its parent: otherwise the class would be made anew, without its module, when next asked for.
            setattr(made, nested.name, _message_class(nested, module))
    return made
