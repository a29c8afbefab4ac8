"""A picture in any format that Pillow reads, as dots, and as the net that finds text wants to see it."""

import io

import numpy as np
import triton_python_backend_utils as utils
from PIL import Image, UnidentifiedImageError

LONGEST_SIDE = 960
GRID = 32
"""The net halves the picture five times."""


def seen_by_net(picture):
    """Give FP32 of shape [1, 3, height, width] from -1 to 1: blue, green, red. Both sides are multiples of 32."""
    shrink = min(1.0, LONGEST_SIDE / max(picture.size))
    width, height = (max(GRID, round(side * shrink / GRID) * GRID) for side in picture.size)
    dots = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    return (dots / 127.5 - 1)[None, :, :, ::-1].transpose(0, 3, 1, 2)


class TritonPythonModel:
    def execute(self, requests):
        return [self.decode(request) for request in requests]

    def decode(self, request):
        content = utils.get_input_tensor_by_name(request, "PICTURE").as_numpy()[0]
        try:
            picture = Image.open(io.BytesIO(content)).convert("RGB")
        except UnidentifiedImageError:
            told = "PICTURE has no format that Pillow reads"
            return utils.InferenceResponse(error=utils.TritonError(told, utils.TritonError.INVALID_ARG))
        except OSError as error:
            told = f"PICTURE is broken: {error}"
            return utils.InferenceResponse(error=utils.TritonError(told, utils.TritonError.INVALID_ARG))
        return utils.InferenceResponse(
            [
                utils.Tensor("DOTS", np.asarray(picture)),
                utils.Tensor("SEEN", np.ascontiguousarray(seen_by_net(picture))),
            ]
        )
