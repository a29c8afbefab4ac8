"""From what a configuration says to the message: which fields exist, what their values may be, and where each stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from charonia.config.scalars import ValueProblem, scalar_value
from charonia.config.syntax import Block, Form, Items, Node, Scalar, described
from charonia.errors import ConfigProblem
from charonia.spelling import nearest

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

    from charonia.config.syntax import Entry

__all__ = ["Builder"]

_FEW = 12


class Builder:
    """Fills messages, and collects every problem on the way.

    Args:
        form: the notation; they differ in how lists and maps are written.

    Attributes:
        problems: what is wrong, in the order of the text.
        places: field path → line, such as `input[0].data_type` or `parameters["p"]`.
    """

    def __init__(self, form: Form) -> None:
        self.problems: list[ConfigProblem] = []
        self.places: dict[str, int] = {}
        self._form = form

    def fill(self, message: Message, block: Block, path: str = "") -> None:
        """Set the fields of `message` that `block` names. `path` is the path of the message itself."""
        descriptor = cast("Descriptor", message.DESCRIPTOR)  # the stubs offer two classes that are one
        seen: dict[str, Entry] = {}
        for entry in block.entries:
            field = self._find(descriptor, entry.name)
            where = f"{path}.{entry.name}" if path else entry.name
            if field is None:
                self._unknown(descriptor, entry, where)
                continue
            self.places.setdefault(where, entry.line)
            if self._may_stand(field, entry, where, seen):
                self._set(message, field, entry, where)

    def _find(self, descriptor: Descriptor, name: str) -> FieldDescriptor | None:
        found = descriptor.fields_by_name.get(name)
        if found is None and self._form is Form.JSON:
            found = descriptor.fields_by_camelcase_name.get(name)
        return found

    def _may_stand(self, field: FieldDescriptor, entry: Entry, where: str, seen: dict[str, Entry]) -> bool:
        """Check that a single field comes once, and one member of a oneof at most."""
        if field.is_repeated and self._form is Form.PBTXT:
            return True
        if self._form is Form.JSON and isinstance(entry.value, Scalar) and entry.value.null:
            return False  # JSON's null means that the field is not set
        choice = field.containing_oneof
        other = seen.setdefault(choice.name if choice else field.name, entry)
        if other is entry:
            return True
        kind = "Field" if field.is_repeated else "Non-repeated field"
        text = f'{kind} "{field.name}" is specified multiple times.'
        if choice and other.name != entry.name:
            text = (
                f'Field "{field.name}" is specified along with field "{other.name}", '
                f'another member of oneof "{choice.name}".'
            )
        hint = f"keep one of them: the first is in line {other.line}" if other.line else "keep one of them"
        self._tell(text, where, entry.line, hint=hint)
        return False

    def _set(self, message: Message, field: FieldDescriptor, entry: Entry, where: str) -> None:
        if field.message_type and field.message_type.GetOptions().map_entry:
            self._set_map(getattr(message, field.name), field.message_type, entry, where)
        elif field.is_repeated:
            self._extend(getattr(message, field.name), field, entry, where)
        elif field.message_type:
            child = getattr(message, field.name)
            child.SetInParent()
            self._fill_child(child, entry.value, where)
        else:
            value = self._value(field, entry.value, where)
            if value is not None:
                setattr(message, field.name, value)

    def _extend(self, container: Any, field: FieldDescriptor, entry: Entry, where: str) -> None:
        if isinstance(entry.value, Items):
            nodes = entry.value.items
        elif self._form is Form.PBTXT:
            nodes = [entry.value]
        else:
            self._wrong(where, entry.value, f'a list, such as "{field.name}: [ … ]"')
            return
        for node in nodes:
            here = f"{where}[{len(container)}]"
            self.places[here] = node.line
            if field.message_type:
                self._fill_child(container.add(), node, here)
            else:
                value = self._value(field, node, here)
                # A wrong item keeps its place, so that the paths of the others stay right; the message is not used then.
                container.append(_placeholder(field) if value is None else value)

    def _fill_child(self, child: Message, node: Node, where: str) -> None:
        if isinstance(node, Block):
            self.fill(child, node, where)
        elif not (isinstance(node, Scalar) and node.null):  # "dynamic_batching:" alone is an empty section
            self._wrong(where, node, f"a block with fields of {child.DESCRIPTOR.name}")

    def _set_map(self, container: Any, entry_type: Descriptor, entry: Entry, where: str) -> None:
        key_field, value_field = entry_type.fields_by_name["key"], entry_type.fields_by_name["value"]
        for key_node, value_node, line in self._map_pairs(entry, where):
            # As in protobuf, a part that is left out has its type's default.
            key = _placeholder(key_field) if key_node is None else self._value(key_field, key_node, where)
            if key is None:
                continue
            here = f'{where}["{key}"]'
            if key in container and self._form is not Form.PBTXT:
                self._tell(f'the key "{key}" is specified multiple times', here, line, hint="keep one of them")
                continue
            self.places[here] = line
            container.pop(key, None)  # in the text form the last one counts
            if value_field.message_type:
                child = container[key]
                if value_node is not None:
                    self._fill_child(child, value_node, here)
            else:
                value = None if value_node is None else self._value(value_field, value_node, here)
                container[key] = _placeholder(value_field) if value is None else value

    def _map_pairs(self, entry: Entry, where: str) -> list[tuple[Node | None, Node | None, int]]:
        """Take a map apart into (key, value, line)."""
        if self._form is not Form.PBTXT:
            if isinstance(entry.value, Block):
                return [
                    (Scalar(pair.name, pair.line, quoted=True), pair.value, pair.line) for pair in entry.value.entries
                ]
            if not (isinstance(entry.value, Scalar) and entry.value.null):
                self._wrong(where, entry.value, "a mapping of keys to values")
            return []
        pairs: list[tuple[Node | None, Node | None, int]] = []
        for node in entry.value.items if isinstance(entry.value, Items) else [entry.value]:
            parts = {part.name: part.value for part in node.entries} if isinstance(node, Block) else {}
            if not isinstance(node, Block) or parts.keys() - {"key", "value"}:
                self._wrong(where, node, "a block with a key and a value: { key: … value: … }")
                continue
            pairs.append((parts.get("key"), parts.get("value"), node.line))
        return pairs

    def _value(self, field: FieldDescriptor, node: Node, where: str) -> Any:
        """Read a scalar; None where it is wrong, which has been told."""
        if not isinstance(node, Scalar):
            self._wrong(where, node, "a single value")
            return None
        try:
            return scalar_value(field, node, self._form)
        except ValueProblem as problem:
            text = problem.text or f'wrong value for field "{where}"'
            self._tell(text, where, node.line, described(node), problem.expected, problem.hint)
            return None

    def _unknown(self, descriptor: Descriptor, entry: Entry, where: str) -> None:
        names = list(descriptor.fields_by_name)
        near = nearest(entry.name, names)
        text = f'Message type "{descriptor.full_name}" has no field named "{entry.name}".'
        if self._form is Form.JSON:
            text = f"{entry.name}: Cannot find field."
        expected = "" if near or len(names) > _FEW else f"one of {', '.join(names)}"
        self._tell(text, where, entry.line, "", expected, f'did you mean "{near}"?' if near else "")

    def _wrong(self, where: str, node: Node, expected: str) -> None:
        self._tell(f'wrong value for field "{where}"', where, node.line, described(node), expected)

    def _tell(self, text: str, where: str, line: int, found: str = "", expected: str = "", hint: str = "") -> None:
        self.problems.append(ConfigProblem(text, where, found, expected, hint, line))


def _placeholder(field: FieldDescriptor) -> str | int:
    return "" if field.cpp_type == field.CPPTYPE_STRING else 0
