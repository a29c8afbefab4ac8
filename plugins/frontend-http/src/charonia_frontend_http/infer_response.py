"""From an inference response to the bytes of an HTTP response.

What depends on the model alone is made once: the beginning of the JSON, and each output's name and datatype.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import orjson
from charonia.byte_parts import ByteParts
from charonia.classification import classify
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.http_message import HttpResponse
from charonia.tensor import actual_datatype, as_numpy, byte_elements, encode_bytes

from charonia_frontend_http.message import BINARY, JSON, JSON_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.model import Model
    from charonia.request import InferenceRequest, InferenceResponse
    from charonia.tensor import Array

    from charonia_frontend_http.decoded import Decoded, Wanted

__all__ = ["ResponseEncoder", "json_data", "json_value"]

_APART_FROM = 65_536
"""Tensors of so many bytes are sent from where they lie; smaller ones are joined with what stands before them."""

_MOST_DOCUMENTS = 16
"""How many forms of answer are remembered for one form of request: outputs of variable shapes have many."""


class ResponseEncoder:
    """Writes the responses of one model version.

    Args:
        model: the model.
    """

    def __init__(self, model: Model) -> None:
        self._start = b'"model_name":%b,"model_version":"%d"' % (orjson.dumps(model.name), model.version)
        self._labels = model.labels
        self._batched = model.signature.max_batch_size > 0
        self._heads = {
            spec.name: (
                spec.datatype,
                _head(spec.name, spec.datatype),
                None if spec.datatype is DataType.BYTES else spec.datatype.dtype,
            )
            for spec in model.signature.outputs.values()
        }

    def encode(self, decoded: Decoded, response: InferenceResponse) -> HttpResponse:
        """Write a response with the outputs in the order in which the model made them.

        Raises:
            InvalidArgumentError: an output's datatype cannot be told in JSON, or classified.
            InternalError: an output has a dtype that the protocol does not know.
        """
        request, wanted = decoded.request, decoded.wanted
        plain, arrays = self._plain_outputs(request, wanted, response)
        told = wanted.documents.get(plain) if plain else None
        if told is not None:
            return _with_tensors(*told, list(map(_binary, arrays)))
        document, tail = self._write(request, wanted, response)
        if not any(tail):
            return HttpResponse(200, document, JSON)
        fields = {JSON_SIZE: str(len(document))}
        if plain and len(wanted.documents) < _MOST_DOCUMENTS:
            wanted.documents[plain] = (document, fields)
        return _with_tensors(document, fields, tail)

    def _plain_outputs(
        self, request: InferenceRequest, wanted: Wanted, response: InferenceResponse
    ) -> tuple[tuple[object, ...], Sequence[Array]]:
        """Give what the JSON of a response depends on, and its outputs, where they all follow it as they are; else nothing."""
        if response.parameters or wanted.classes or request.output_regions:
            return (), ()
        binary = wanted.binary
        told: list[object] = []
        arrays = []
        for name, tensor in response.outputs.items():
            known = self._heads.get(name)
            in_binary = binary.get(name) if binary else wanted.binary_default
            if not in_binary or known is None or type(tensor) is not np.ndarray or tensor.dtype is not known[2]:
                return (), ()
            told += (name, tensor.shape)
            arrays.append(tensor)
        return tuple(told), arrays

    def _write(
        self, request: InferenceRequest, wanted: Wanted, response: InferenceResponse
    ) -> tuple[bytes, list[bytes | memoryview]]:
        """Write the JSON, and the outputs that follow it in binary form."""
        start = b'{"id":%b,%b' % (json_value(request.id), self._start) if request.id else b"{" + self._start
        if response.parameters:
            start += b',"parameters":' + json_value(dict(response.parameters))
        binary, classes, regions = wanted.binary, wanted.classes, request.output_regions
        outputs: list[bytes] = []
        tail: list[bytes | memoryview] = []
        for name, tensor in response.outputs.items():
            known = self._heads.get(name)
            if known is None or (binary and name not in binary):  # not in the configuration, or not asked for
                continue
            array = as_numpy(tensor)
            datatype, head, _ = known
            if array.dtype != datatype.dtype:
                array, datatype = actual_datatype(name, array)
                head = _head(name, datatype)
            if name in classes:
                labels = self._labels.get(name, ())
                array = classify(array, classes[name], batched=self._batched, labels=labels)
                datatype, head = DataType.BYTES, _head(name, DataType.BYTES)
            shape = ",".join(map(str, array.shape)).encode()
            if name in regions:  # where it is by now
                outputs.append(b"%b%b]}" % (head, shape))
            elif binary[name] if binary else wanted.binary_default:
                data = encode_bytes(array) if datatype is DataType.BYTES else _binary(array)
                tail.append(data)
                outputs.append(b'%b%b],"parameters":{"binary_data_size":%d}}' % (head, shape, len(data)))
            else:
                outputs.append(b'%b%b],"data":%b}' % (head, shape, json_data(array, datatype)))
        return b'%b,"outputs":[%b]}' % (start, b",".join(outputs)), tail


def _with_tensors(document: bytes, fields: Mapping[str, str], tail: list[bytes | memoryview]) -> HttpResponse:
    parts = (document, *tail)
    for part in tail:
        if len(part) >= _APART_FROM:
            return HttpResponse(200, ByteParts(parts), BINARY, fields)
    return HttpResponse(200, b"".join(parts), BINARY, fields)


def _binary(array: Array) -> bytes | memoryview:
    """Give an array's bytes in row-major order: of a large one, a view of its own memory."""
    if array.nbytes < _APART_FROM:
        return array.tobytes()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def json_value(value: object) -> bytes:
    """Write a value; text that came as no UTF-8 goes back as the same bytes, and numbers that JSON has no word for bare."""
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError:
        written = b"null"
    if b"null" not in written:  # which is also what orjson makes of NaN and infinity
        return written
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def _head(name: str, datatype: DataType) -> bytes:
    return b'{"name":%b,"datatype":"%b","shape":[' % (orjson.dumps(name), datatype.name.encode())


def json_data(array: Array, datatype: DataType) -> bytes:
    """Write the elements as a flat JSON array; floats as the shortest text that gives the same double.

    Raises:
        InvalidArgumentError: the datatype has no form in JSON.
        InternalError: an element of a string tensor is neither bytes nor text.
    """
    if datatype in {DataType.FP16, DataType.BF16}:
        raise InvalidArgumentError(
            f"sending {datatype.name} data via JSON is not supported. Please use the binary data format for output"
        )
    if datatype is DataType.BYTES:
        return _json_strings(array)
    flat = np.ascontiguousarray(array).ravel()
    if flat.dtype.kind != "f":
        return orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)
    doubles = flat.astype(np.float64, copy=False)
    written = orjson.dumps(doubles, option=orjson.OPT_SERIALIZE_NUMPY)
    return _with_words(written, doubles) if b"null" in written else written


def _with_words(written: bytes, doubles: Array) -> bytes:
    """Put the words of the reference, which Python's own reader knows too, where orjson has `null` for want of a number."""
    words = written[1:-1].split(b",")
    for place in np.flatnonzero(~np.isfinite(doubles)):
        number = doubles[place]
        words[place] = b"NaN" if np.isnan(number) else b"Infinity" if number > 0 else b"-Infinity"
    return b"[%b]" % b",".join(words)


def _json_strings(array: Array) -> bytes:
    elements = byte_elements(array)
    try:
        return orjson.dumps(list(map(bytes.decode, elements)))
    except UnicodeDecodeError:
        # bytes that are no text are passed through as they are, as in the reference: clients ask for binary then
        texts = [element.decode("utf-8", "surrogateescape") for element in elements]
        text = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "surrogateescape")
