# SPDX-License-Identifier: LGPL-2.1-or-later
"""How steady a clip is: does the object keep its colour, area and shape from frame to frame, and is it sharp?

All are taken from the masks that look.py finds, as medians over the frames, so that one bad frame does not hide in a
mean, nor make it.
"""
import torch
import torch.nn.functional as F

from eval import look

KEEP_SIZE = ("left", "right", "up", "down", "still", "spin", "bounce")


def colour_drift(clip, masks):
    """The largest distance of a frame's object colour from the clip's, in per cent of the range of a channel."""
    whole = look.object_colour(clip, masks)
    if whole is None:
        return float("nan")
    worst = 0.0
    for t in range(len(masks)):
        one = look.object_colour(clip[:, t:t + 1], masks[t:t + 1])
        if one is not None:
            worst = max(worst, float((one - whole).abs().mean()))
    return 100 * worst


def area_drift(masks):
    """The mean distance of a frame's area from the median, in per cent of it."""
    area = masks.sum((1, 2))
    middle = area.median()
    return float("nan") if middle < 1 else 100 * float(((area - middle).abs() / middle).mean())


def shape_drift(masks):
    """100 minus the mean overlap (per cent) of neighbouring frames' masks, each cut to its box: 0 is the same shape."""
    crops = [look.crop_mask(m) for m in masks]
    pairs = [(a, b) for a, b in zip(crops, crops[1:]) if a is not None and b is not None]
    if not pairs:
        return float("nan")
    overlap = [float(torch.minimum(a, b).sum() / torch.maximum(a, b).sum().clamp(min=1e-6)) for a, b in pairs]
    return 100 * (1 - sum(overlap) / len(overlap))


def sharpness(clip, masks):
    """The steepest change at the object's edge, mean over frames, in per cent of full range a pixel."""
    gray = clip.mean(0)
    dx = (gray[..., 1:] - gray[..., :-1]).abs()[:, :-1]
    dy = (gray[:, 1:] - gray[:, :-1]).abs()[..., :-1]
    edge = F.max_pool2d(masks[:, None], 5, 1, 2)[:, 0] - (-F.max_pool2d(-masks[:, None], 5, 1, 2)[:, 0])
    steep = torch.maximum(dx, dy) * edge[:, :-1, :-1]
    return 100 * float(steep.flatten(1).quantile(0.99, dim=1).mean())


def measure(found, scene):
    """Numbers of one clip (from look.look): drifts only where the motion asked for keeps the size."""
    masks, clip = found["masks"], found["clip"]
    keeps = scene["motion"] in KEEP_SIZE
    return dict(colour_drift=colour_drift(clip, masks), area_drift=area_drift(masks) if keeps else float("nan"),
                shape_drift=shape_drift(masks) if keeps and scene["motion"] != "spin" else float("nan"),
                sharpness=sharpness(clip, masks))
