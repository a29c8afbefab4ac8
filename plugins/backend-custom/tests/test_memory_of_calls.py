"""The memory of calls: where their outputs lie, and how long what they hold is held."""

from __future__ import annotations

import gc

import pytest
from charonia.testing.patience import wait_until

ECHO = """
class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", r.inputs()[0].as_numpy())]) for r in requests]
"""


def seen_by_caller(serve):
    """What the model that calls has noted."""
    (seen,) = [module.seen for module in serve.modules() if hasattr(module, "seen")]
    return seen


@pytest.mark.parametrize(("wish", "kind"), [("pb_utils.TRITONSERVER_MEMORY_CPU", "ndarray"), (None, "Foreign")])
def test_outputs_are_brought_to_the_memory_that_is_preferred(serve, wish, kind):
    """A caller that prefers the CPU's gets what numpy reads; one that does not say gets the tensor as the other model gave it."""
    source = """
    class Foreign:
        shape = (1,)

        def __init__(self, array):
            self.array = array

        def __dlpack__(self, *args, **options):
            return self.array.__dlpack__()

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    class TritonPythonModel:
        def execute(self, requests):
            made = Foreign(np.array([7], np.int32))
            return [pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack("Y", made)]) for _ in requests]
    """
    serve.write("foreign", source)
    preferred = f"preferred_memory=pb_utils.PreferredMemory({wish})" if wish else ""
    caller = f"""
    class TritonPythonModel:
        def execute(self, requests):
            call = pb_utils.InferenceRequest(model_name="foreign", inputs=requests[0].inputs(), {preferred})
            (tensor,) = call.exec().output_tensors()
            seen.append((type(tensor.data).__name__, tensor.as_numpy().tolist()))
            return [pb_utils.InferenceResponse([]) for _ in requests]

    seen = []
    """
    serve.write("m", caller)
    serve.start().model("m").infer({"X": [1]})
    assert seen_by_caller(serve) == [(kind, [7])]


def test_a_call_that_is_over_leaves_nothing_behind(serve):
    """Its tensors are let go when nobody holds them any more, without waiting for a collection of garbage."""
    source = """
    import weakref

    seen = []

    class TritonPythonModel:
        def execute(self, requests):
            x = np.arange(1, dtype=np.int32)
            seen.append(weakref.ref(x))
            call = pb_utils.InferenceRequest(
                model_name="echo", requested_output_names=["Y"], inputs=[pb_utils.Tensor("X", x)]
            )
            call.exec()
            return [pb_utils.InferenceResponse([]) for _ in requests]
    """
    serve.write("echo", ECHO)
    serve.write("m", source)
    model = serve.start().model("m")
    gc.disable()
    try:
        model.infer({"X": [1]})
        (kept,) = seen_by_caller(serve)
        wait_until(lambda: kept() is None)  # the other model's thread has answered before it lets go
    finally:
        gc.enable()
