"""The text of lines, from the likelihood of each character at each place."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as utils

NONE = 0
"""What the net says where no character begins: it stands between two that are the same, and in gaps."""


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.characters = ["", *(folder / "characters.txt").read_text(encoding="utf-8").split("\n"), " "]

    def execute(self, requests):
        return [self.spell(request) for request in requests]

    def spell(self, request):
        likelihoods = utils.get_input_tensor_by_name(request, "LIKELIHOODS").as_numpy()
        lines = len(utils.get_input_tensor_by_name(request, "BOXES").as_numpy())
        texts = [self.text_of(line) for line in likelihoods[:lines]]
        return utils.InferenceResponse(
            [
                utils.Tensor("TEXT", np.array([text.encode() for text, _ in texts], np.object_)),
                utils.Tensor("CONFIDENCE", np.array([confidence for _, confidence in texts], np.float32)),
            ]
        )

    def text_of(self, line):
        best = line.argmax(axis=1)
        begins = (best != NONE) & (np.concatenate(([NONE], best[:-1])) != best)
        confidence = line.max(axis=1)[begins]
        return "".join(self.characters[number] for number in best[begins]), float(
            confidence.mean()
        ) if begins.any() else 0.0
