"""From an inference response to the plain JSON object that answers a generate request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.tensor import actual_datatype, as_numpy

from charonia_frontend_http.infer_response import json_data, json_value

if TYPE_CHECKING:
    from charonia.model import Model
    from charonia.request import InferenceResponse

__all__ = ["GenerateEncoder"]


class GenerateEncoder:
    """Writes the responses of one model version.

    Args:
        model: the model.
    """

    def __init__(self, model: Model) -> None:
        self._common = {"model_name": json_value(model.name), "model_version": b'"%d"' % model.version}
        self._datatypes = {spec.name: spec.datatype for spec in model.signature.outputs.values()}

    def encode(self, identifier: str, response: InferenceResponse) -> bytes:
        """Write a response as one object.

        As in the reference, outputs and parameters are its members, sorted by name; an output of one element is a plain value,
        any other a flat array.

        Args:
            identifier: the request's id, or "".
            response: the response; not an error.

        Raises:
            InvalidArgumentError: an output's datatype cannot be told in JSON.
            InternalError: an output has a dtype that the protocol does not know.
        """
        members = {name: json_value(value) for name, value in response.parameters.items()} | self._common
        if identifier:
            members["id"] = json_value(identifier)
        for name, tensor in response.outputs.items():
            datatype = self._datatypes.get(name)
            if datatype is None:  # not in the configuration
                continue
            array = as_numpy(tensor)
            if array.dtype != datatype.dtype:
                array, datatype = actual_datatype(name, array)
            data = json_data(array, datatype)
            members[name] = data[1:-1] if array.size == 1 else data
        return b"{%b}" % b",".join(b"%b:%b" % (json_value(name), members[name]) for name in sorted(members))
