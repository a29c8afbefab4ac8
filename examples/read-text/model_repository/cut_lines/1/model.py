"""The lines of text of a picture, cut out."""

import numpy as np
import triton_python_backend_utils as utils
from PIL import Image

LIKELY = 0.3
SURE = 0.5
SPREAD = 1.6
"""The net marks the middle of a line; the line is about so much larger."""
HEIGHT = 48
SMALLEST = 4


def patches(marked):
    """Give the connected patches of a boolean map as slices (rows, columns): runs of each row that touch become one patch."""
    found = []
    above = []
    for row, dots in enumerate(marked):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], dots.view(np.int8), [0]))))
        current = []
        for left, right in edges.reshape(-1, 2).tolist():
            patch = {"top": row, "bottom": row + 1, "left": left, "right": right}
            for start, end, other in above:
                if start < right and left < end:
                    patch = _joined(patch, _root(other))
            current.append((left, right, patch))
            found.append(patch)
        above = current
    roots = {id(root): root for root in map(_root, found)}
    return [(slice(it["top"], it["bottom"]), slice(it["left"], it["right"])) for it in roots.values()]


def _root(patch):
    while "part_of" in patch:
        patch = patch["part_of"]
    return patch


def _joined(one, other):
    one = _root(one)
    if one is not other:
        for side, choose in (("top", min), ("left", min), ("bottom", max), ("right", max)):
            other[side] = choose(one[side], other[side])
        one["part_of"] = other
    return other


def boxes(likelihood, height, width):
    """Give each line of text as (left, top, right, bottom) in dots of a picture of that size, in the order of reading."""
    down, across = height / likelihood.shape[0], width / likelihood.shape[1]
    found = []
    for rows, columns in patches(likelihood > LIKELY):
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        inside = likelihood[rows, columns]
        if min(tall, wide) < SMALLEST or inside[inside > LIKELY].mean() < SURE:
            continue
        grow = tall * wide * SPREAD / (2 * (tall + wide))
        found.append(
            (
                max(0, round((columns.start - grow) * across)),
                max(0, round((rows.start - grow) * down)),
                min(width, round((columns.stop + grow) * across)),
                min(height, round((rows.stop + grow) * down)),
            )
        )
    return in_order_of_reading(found)


def in_order_of_reading(found):
    """Sort boxes from top to bottom, and those that stand beside each other from left to right."""
    rows = []
    for box in sorted(found, key=lambda box: box[1]):
        middle = (box[1] + box[3]) / 2
        if rows and rows[-1][-1][1] < middle < rows[-1][-1][3]:
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row)]


def line_of(dots, box):
    """Cut a line out: FP32 of shape [3, 48, width] from -1 to 1, blue, green, red."""
    left, top, right, bottom = box
    line = Image.fromarray(dots[top:bottom, left:right])
    width = max(1, round(line.width * HEIGHT / line.height))
    resized = np.asarray(line.resize((width, HEIGHT), Image.Resampling.BILINEAR), np.float32)
    return (resized / 127.5 - 1)[:, :, ::-1].transpose(2, 0, 1)


class TritonPythonModel:
    def execute(self, requests):
        return [self.cut(request) for request in requests]

    def cut(self, request):
        dots = utils.get_input_tensor_by_name(request, "DOTS").as_numpy()
        likelihood = utils.get_input_tensor_by_name(request, "MAP").as_numpy()[0, 0]
        found = boxes(likelihood, *dots.shape[:2])
        lines = [line_of(dots, box) for box in found]
        widest = max([HEIGHT, *(line.shape[2] for line in lines)])
        side_by_side = np.zeros((len(lines), 3, HEIGHT, widest), np.float32)
        for place, line in zip(side_by_side, lines, strict=True):
            place[:, :, : line.shape[2]] = line
        return utils.InferenceResponse(
            [
                utils.Tensor("LINES", side_by_side if lines else np.zeros((1, 3, HEIGHT, HEIGHT), np.float32)),
                utils.Tensor("BOXES", np.array(found, np.int32).reshape(-1, 4)),
            ]
        )
