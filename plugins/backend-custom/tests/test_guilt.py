"""Which of several requests is it that ends a process? The others are not to suffer for it."""

from __future__ import annotations

import threading

import numpy as np
from charonia.errors import InvalidArgumentError, UnavailableError
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config, write_model
from charonia.testing.patience import PATIENCE_SECONDS, wait_until

HEAD = "import os\nimport asyncio\nimport numpy as np\nimport triton_python_backend_utils as pb_utils\n"
TENSORS = {"inputs": [("X", "INT32", [1])], "outputs": [("Y", "INT32", [1])]}
TOGETHER = """
class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            if x[0, 0] < 0:
                os._exit(3)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)]))
        return answers
"""
AT_ONCE = """
class TritonPythonModel:
    async def execute(self, requests):
        x = pb_utils.get_input_tensor_by_name(requests[0], "X").as_numpy()
        if x[0] < 0:
            os._exit(3)
        while os.path.exists(pb_utils.get_model_dir() + "/together"):
            await asyncio.sleep(0.01)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)])]
"""


class Asked:
    """Asks a server for several answers at once."""

    def __init__(self, server, shape):
        self._server = server
        self._shape = shape

    def __call__(self, *numbers):
        """Give the answers, or the errors, in order."""
        outcomes = [None] * len(numbers)
        left = threading.Semaphore(0)

        def sink(place):
            def take(response):
                outcomes[place] = response.error or response["Y"].ravel().tolist()[0]
                left.release()

            return take

        for place, number in enumerate(numbers):
            self._server.submit(InferenceRequest("m", {"X": np.full(self._shape, number, np.int32)}, sink(place)))
        for _ in numbers:
            assert left.acquire(timeout=PATIENCE_SECONDS)
        return outcomes

    def until_up(self):
        """Wait until the model can be asked again."""
        wait_until(lambda: self._server.model("m").ready)


def test_suspects_of_one_batch_are_executed_alone(model_repository, server):
    """After a batch has ended a process, its requests are executed one by one: the guilty one ends it again, the others answer."""
    config = model_config("m", backend="python", max_batch_size=4, parameters={"EXECUTION_MODE": "process"}, **TENSORS)
    config.dynamic_batching.preferred_batch_size.append(4)
    config.dynamic_batching.max_queue_delay_microseconds = 10_000_000
    write_model(model_repository, config, {"1/model.py": HEAD + TOGETHER})
    ask = Asked(server(model_repository), (1, 1))
    assert ask(1, 2, 3, 4) == [1, 2, 3, 4]
    for outcome in ask(1, 2, 3, -1):
        assert isinstance(outcome, UnavailableError)
    ask.until_up()
    *answers, guilty = ask(1, 2, 3, -1)
    assert answers == [1, 2, 3]
    assert isinstance(guilty, UnavailableError)
    ask.until_up()
    *answers, guilty = ask(1, 2, 3, -1)
    assert answers == [1, 2, 3]
    assert isinstance(guilty, InvalidArgumentError)


def test_who_is_executed_well_is_suspected_no_more(model_repository, server):
    """A request that was there by chance whenever a process ended is never refused, as long as it is answered in between."""
    config = model_config("m", backend="python", max_batch_size=0, parameters={"EXECUTION_MODE": "process"}, **TENSORS)
    together = write_model(model_repository, config, {"1/model.py": HEAD + AT_ONCE}) / "1" / "together"
    ask = Asked(server(model_repository), (1,))
    for number in range(-3, 0):
        together.touch()
        bystander, guilty = ask(7, number)
        together.unlink()
        assert isinstance(bystander, UnavailableError)
        assert isinstance(guilty, UnavailableError)
        ask.until_up()
        assert ask(7) == [7]
