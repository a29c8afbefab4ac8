"""A call with one message each way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from charonia.byte_parts import ByteParts, parts_of
from charonia.errors import InferenceError, InternalError
from charonia.rpc import UnaryMethod, settled

from charonia_transport_lean.rpc.call import Call
from charonia_transport_lean.rpc.compression import compress, decompress
from charonia_transport_lean.rpc.messages import message_prefix
from charonia_transport_lean.rpc.status import OK_HEAD, OK_TRAILERS

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from charonia.rpc import Answer

__all__ = ["UnaryCall"]


class UnaryCall(Call):
    """Answers a message with a message."""

    __slots__ = ()

    def data(self, payload: memoryview) -> None:
        """Take a piece of the message. One that is too large, or a second one, ends the call before all has come."""
        if self._stream.ended:
            return
        self._reader.feed(payload)
        messages = self._reader.messages
        if messages and (len(messages) > 1 or isinstance(messages[0], InferenceError)):
            self.finish()

    def placed(self, size: int) -> None:
        """Take note of bytes in their place."""
        self._reader.placed(size)

    def finish(self) -> None:
        """Answer."""
        if self._stream.ended:
            return
        reader = self._reader
        message = reader.messages[0] if reader.messages else None
        if isinstance(message, InferenceError):
            self._fail(message)
            return
        if message is None or len(reader.messages) > 1 or reader.amid:
            self._fail(InternalError("a unary call has one message: none is whole, or there are several"))
            return
        method = self._head.method
        assert isinstance(method, UnaryMethod)  # noqa: S101 - else nobody would have opened this
        data, compressed = message
        if compressed or self._head.answers:
            self._wait_for(self._answer(self._recoded(method, data, compressed=compressed), self._head.answers))
            return
        try:
            answering = method.call(data, self._head.metadata)
        except Exception as error:  # noqa: BLE001 - the border of calls
            self._fail(error)
            return
        if isinstance(answering, (bytes, ByteParts)):
            self._send(answering, "")
        else:
            self._wait_for(self._answer(answering, ""))

    def _wait_for(self, answered: Coroutine[Any, Any, None]) -> None:
        self._run(answered)
        if self._task is not None:
            self._start_clock()

    async def _answer(self, answering: Coroutine[Any, Any, Answer], encoding: str) -> None:
        try:
            answer = await answering
        except Exception as error:  # noqa: BLE001 - the border of calls
            self._fail(error)
        else:
            self._send(answer, encoding)

    async def _recoded(self, method: UnaryMethod, message: bytes | memoryview, *, compressed: bool) -> Answer:
        """Answer a message that is compressed, or whose answer is."""
        head = self._head
        if compressed:
            message = await decompress(message, head.encoding, head.settings)
        answer = await settled(method.call(message, head.metadata))
        return await compress(bytes(answer), head.answers, head.settings.compression) if head.answers else answer

    def _send(self, answer: Answer, encoding: str) -> None:
        if self._timer is not None:
            self._stop_clock()
        head = (*OK_HEAD, ("grpc-encoding", encoding)) if encoding else OK_HEAD
        prefix = message_prefix(len(answer), compressed=bool(encoding))
        self._connection.outflow.answer(self._stream, head, (prefix, *parts_of(answer)), OK_TRAILERS)
