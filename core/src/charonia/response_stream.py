"""The responses to one request, one after the other: for threads, and for coroutines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import asyncio
    import queue

    from charonia.request import InferenceRequest, InferenceResponse

__all__ = ["AsyncResponseStream", "ResponseStream"]


class _Stream:
    """What both have in common. The request is on its way already; dropping the stream takes it back.

    Args:
        request: what is answered; taken back when the stream ends early.
    """

    def __init__(self, request: InferenceRequest) -> None:
        self._request = request
        self._ended = False

    def _take(self, response: InferenceResponse) -> InferenceResponse | None:
        """Give a response that has something to tell. None for one that only says that it is the last."""
        if response.error is not None:
            self._end()
            response.raise_error()
        self._ended = self._ended or response.final
        return response if response.outputs or not response.final else None

    def _end(self) -> None:
        self._ended = True
        self._request.cancel()  # does nothing where it has its final response

    def __del__(self) -> None:
        self._end()


class ResponseStream(_Stream):
    """An iterator of responses, for one thread. It ends after the final one; an error response is raised.

    Args:
        request: what is answered.
        responses: where its sink puts the responses.
    """

    def __init__(self, request: InferenceRequest, responses: queue.SimpleQueue[InferenceResponse]) -> None:
        super().__init__(request)
        self._responses = responses

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> InferenceResponse:
        while not self._ended:
            response = self._take(self._responses.get())
            if response is not None:
                return response
        raise StopIteration

    def close(self) -> None:
        """Take the request back, unless it is answered. Idempotent."""
        self._end()


class AsyncResponseStream(_Stream):
    """An asynchronous iterator of responses, for one event loop. Otherwise as `ResponseStream`.

    Args:
        request: what is answered.
        responses: where its sink has the responses put.
    """

    def __init__(self, request: InferenceRequest, responses: asyncio.Queue[InferenceResponse]) -> None:
        super().__init__(request)
        self._responses = responses

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> InferenceResponse:
        while not self._ended:
            try:
                response = await self._responses.get()
            except BaseException:  # the coroutine is cancelled, and with it the request
                self._end()
                raise
            taken = self._take(response)
            if taken is not None:
                return taken
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Take the request back, unless it is answered. Idempotent."""
        self._end()
