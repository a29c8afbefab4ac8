"""The rate limiter before Python models: whoever computes elsewhere, or later, holds its resources to the end of `execute`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

ALONE = """
    import asyncio
    import os


    class Alone:
        def __enter__(self):
            os.close(os.open({path!r}, os.O_CREAT | os.O_EXCL))

        def __exit__(self, *error):
            os.unlink({path!r})


    def answer(request):
        return pb_utils.InferenceResponse([pb_utils.Tensor("Y", pb_utils.get_input_tensor_by_name(request, "X").as_numpy())])
"""
WAYS = {
    "execute": """
    class TritonPythonModel:
        def execute(self, requests):
            with Alone():
                threading.Event().wait(0.01)
                return [answer(request) for request in requests]
    """,
    "coroutine": """
    class TritonPythonModel:
        async def execute(self, requests):
            with Alone():
                await asyncio.sleep(0.01)
                return [answer(request) for request in requests]
    """,
    "decoupled": """
    class TritonPythonModel:
        async def execute(self, requests):
            with Alone():
                for request in requests:
                    sender = request.get_response_sender()
                    sender.send(answer(request), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                await asyncio.sleep(0.01)
    """,
}


@pytest.mark.parametrize("apart", [False, True], ids=["thread", "process"])
@pytest.mark.parametrize("way", WAYS)
def test_no_two_executions_at_once(serve, tmp_path, way, apart):
    """Of two models that need the same, one executes at a time, and of each of them one batch."""
    source = ALONE.format(path=str(tmp_path / "executing"))
    decoupled = {"decoupled": True} if way == "decoupled" else {}
    parameters = {"parameters": {"EXECUTION_MODE": "process"}} if apart else {}
    serve.write("m", source + WAYS[way], **decoupled, **parameters)
    serve.write("other", source + WAYS["execute"])
    for name in ("m", "other"):
        config = serve.repository / name / "config.pbtxt"
        resources = 'resources [ { name: "R" global: true count: 1 } ]'
        group = f"instance_group [ {{ kind: KIND_CPU count: 2 rate_limiter {{ {resources} }} }} ]"
        config.write_text(config.read_text() + group)
    server = serve.start(rate_limit="execution_count")

    def ask(number):
        handle = server.model("m" if number % 2 else "other")
        return next(iter(handle.stream({"X": [number]})))["Y"].tolist()

    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(ask, range(24))) == [[number] for number in range(24)]
