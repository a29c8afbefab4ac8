"""Server reflection: a client that knows nothing asks which services there are, and what their messages look like."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any

from charonia.errors import InferenceError, InvalidArgumentError
from charonia.rpc import RpcStream
from charonia_protos import POOL
from google.protobuf.message import DecodeError

from charonia_frontend_grpc.application import SERVICE

if TYPE_CHECKING:
    from charonia.rpc import Metadata

__all__ = ["ReflectionStream"]

_MOST_UNSENT = 16


class ReflectionStream(RpcStream):
    """A stream of questions, each answered in its turn by grpcio's own servicer."""

    def __init__(self, _metadata: Metadata) -> None:
        self._unsent: deque[bytes] = deque()
        self._ended = False
        self._failure: InferenceError | None = None
        self._changed = asyncio.Event()

    async def wait_for_room(self) -> None:
        """Wait until the client has read enough."""
        while len(self._unsent) > _MOST_UNSENT:
            self._changed.clear()
            await self._changed.wait()

    def receive(self, body: bytes | memoryview) -> None:
        """Take a serialised ServerReflectionRequest. One that cannot be read ends the stream."""
        if self._ended:
            return
        servicer, question = _servicer()
        try:
            asked = question.FromString(bytes(body))
        except DecodeError:
            self.end(InvalidArgumentError("Unable to parse request"))
            return
        self._unsent += [answer.SerializeToString() for answer in servicer.ServerReflectionInfo(iter((asked,)), None)]
        self._changed.set()

    def refuse(self, error: InferenceError) -> None:
        """End: the protocol of reflection has no words for it."""
        self.end(error)

    def end(self, error: InferenceError | None = None) -> None:
        """Take no more questions."""
        if not self._ended:
            self._ended = True
            self._failure = error
            self._changed.set()

    async def next(self) -> bytes | None:
        """Wait for the next serialised ServerReflectionResponse."""
        while not self._unsent:
            if self._ended:
                if self._failure is not None:
                    raise self._failure
                return None
            self._changed.clear()
            await self._changed.wait()
        self._changed.set()
        return self._unsent.popleft()

    def close(self) -> None:
        """Forget what is not sent."""
        self._unsent.clear()
        self.end()


@cache
def _servicer() -> tuple[Any, Any]:
    """Give the servicer, and the class of the messages that it takes; imported when somebody asks, since few ever do."""
    from grpc_reflection.v1alpha import reflection, reflection_pb2

    services = (SERVICE.full_name, reflection.SERVICE_NAME)
    return reflection.ReflectionServicer(services, pool=POOL), reflection_pb2.ServerReflectionRequest
