"""The backend "scale" passes the suite that every backend passes."""

import numpy as np
from charonia.testing.backend_suite import BackendSuite, Sample
from charonia.testing.builders import model_config, write_model


class TestScale(BackendSuite):
    backend = "scale"

    def write_model(self, repository, name):
        write_model(repository, model_config(name, backend="scale"), {"1/factor.txt": "2.5"})

    def write_broken_model(self, repository, name):
        write_model(repository, model_config(name, backend="scale"), {"1/factor.txt": "a lot"})

    def samples(self):
        arrays = [np.full((batch, 16), value, np.float32) for batch, value in ((1, 2.0), (3, -4.0))]
        return [Sample({"INPUT0": array}, {"OUTPUT0": array * 2.5}) for array in arrays]

    def failing_inputs(self):
        return {"INPUT0": np.full((1, 16), 3e38, np.float32)}  # 2.5 times this is more than an FP32 holds
