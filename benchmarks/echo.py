"""A bare server that answers infer requests with the right number of bytes and does nothing else.

It is the floor under any server on these transports, aiohttp and grpcio: `python -m benchmarks.echo --http-port=PORT
--grpc-port=PORT`. The identity's answer carries the input's own bytes; the other models' answers carry as many of them as
their output has.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from typing import TYPE_CHECKING

from benchmarks.event_loop import run
from benchmarks.grpc_echo import start_grpc_echo
from benchmarks.models import MODELS
from benchmarks.wire import documents, response_head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

__all__: list[str] = []


def _handler() -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    from aiohttp import web

    pages = {path: page for model in MODELS.values() for path, page in documents(model).items()}
    heads = {f"/v2/models/{model.name}/infer": response_head(model) for model in MODELS.values()}
    sizes = {f"/v2/models/{model.name}/infer": model.answer_size for model in MODELS.values()}

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        head = heads.get(path)
        if head is not None:
            body = await request.content.read()  # which knows no limit
            headers = {
                "Content-Type": "application/octet-stream",
                "Inference-Header-Content-Length": str(len(head)),
            }
            return web.Response(body=head + body[-sizes[path] :], headers=headers)
        page = pages.get(path)
        return web.Response(status=404) if page is None else web.Response(body=page, content_type="application/json")

    return handle


async def _serve(http_port: int, grpc_port: int) -> None:
    from aiohttp import web

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.ServerRunner(web.Server(_handler(), access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", http_port).start()
    grpc_server = await start_grpc_echo(grpc_port)
    print(f"listening on {http_port} and {grpc_port}", flush=True)
    await stop.wait()
    await grpc_server.stop(None)
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--grpc-port", type=int, required=True)
    options = parser.parse_args()
    run(_serve(options.http_port, options.grpc_port))
