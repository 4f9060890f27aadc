# SPDX-License-Identifier: LGPL-2.1-or-later
"""Says what a finished clip shows: background, the object's mask, colour, shape and motion.

No part of the model is used: the background is the nearest of the known ones, the object is what differs
from it (holes filled), its colour the palette's nearest, its shape what a small classifier says of it
(`classify.py`; without it, the best overlap with a drawn template), its motion read from centre, area and turn
over time.
"""
import math

import torch
import torch.nn.functional as F

import scenes
import world

CROP = 24
LEAST_PIXELS = 60  # of an object, in one frame of 64x64


def known_backgrounds(height, width):
    return torch.stack([scenes.background(n, height, width).clamp(0, 1) for n in world.BACKGROUNDS])


def guess_backgrounds(clips, known=None):
    """The known background nearest to each clip by the median pixel: names, and their pictures [N, 3, H, W]."""
    known = known_backgrounds(*clips.shape[-2:]) if known is None else known
    picture = clips.median(2).values
    distance = (picture[:, None] - known[None]).abs().amax(2).flatten(2)
    best = distance.quantile(0.6, dim=-1).argmin(1)
    return [world.BACKGROUNDS[i] for i in best], known[best]


def solid_masks(clips, backs, differs=0.13):
    """What differs from the background, without specks: f32 0 or 1 [N, T, H, W], of clips [N, 3, T, H, W] in 0..1."""
    solid = ((clips - backs[:, :, None]).abs().amax(1) > differs).float()
    n, t, h, w = solid.shape
    solid = solid.view(n * t, 1, h, w)
    return (F.avg_pool2d(solid, 3, 1, 1) > 0.45).float().view(n, t, h, w)


def object_masks(clips, backs):
    """Filled object masks, f32 0 or 1 [N, T, H, W], of clips [N, 3, T, H, W] in 0..1."""
    solid = solid_masks(clips, backs)
    n, t, h, w = solid.shape
    solid = solid.view(n * t, 1, h, w)
    outside = torch.zeros_like(solid)
    outside[..., 0, :] = outside[..., -1, :] = 1
    outside[..., :, 0] = outside[..., :, -1] = 1
    outside = outside * (1 - solid)
    for _ in range(2 * h):
        grown = F.max_pool2d(outside, 3, 1, 1) * (1 - solid)
        if torch.equal(grown, outside):
            break
        outside = grown
    return (1 - outside).view(n, t, h, w)


def count_objects(mask):
    """How many pieces of a mask [H, W] are as large as an object may be."""
    least = LEAST_PIXELS * mask.numel() / 4096
    left, pieces = mask > 0.5, 0
    while float(left.sum()) >= least:
        piece = torch.zeros_like(left)
        piece.view(-1)[int(left.view(-1).int().argmax())] = True
        while True:
            grown = (F.max_pool2d(piece[None, None].float(), 3, 1, 1)[0, 0] > 0) & left
            if torch.equal(grown, piece):
                break
            piece = grown
        pieces += int(float(piece.sum()) >= least)
        left = left & ~piece
    return pieces


def crop_mask(mask):
    """A mask's bounding box scaled to a small square, or None where there is nothing."""
    ys, xs = torch.nonzero(mask, as_tuple=True)
    if len(ys) < LEAST_PIXELS * mask.numel() / 4096:
        return None
    box = mask[ys.min():ys.max() + 1, xs.min():xs.max() + 1]
    return F.interpolate(box[None, None], (CROP, CROP), mode="bilinear", align_corners=False)[0, 0]


def templates():
    """Each shape at each turn, as crop_mask() gives it: {(shape, degrees): [CROP, CROP]}."""
    axis = torch.linspace(-1.4, 1.4, 96)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    found = {}
    for shape in world.SHAPES:
        for turn in range(0, 360, 10):
            a = math.radians(turn)
            px, py = x * math.cos(a) + y * math.sin(a), y * math.cos(a) - x * math.sin(a)
            found[shape, turn] = crop_mask((scenes.DISTANCE[shape](px, py) < 0).float())
    return found


def shape_by_template(masks, spinning, known):
    votes = dict.fromkeys(world.SHAPES, 0.0)
    for mask in masks[::4]:
        crop = crop_mask(mask)
        if crop is None:
            continue
        best = {}
        for (shape, turn), template in known.items():
            if turn and not spinning:
                continue
            overlap = float(torch.minimum(crop, template).sum() / torch.maximum(crop, template).sum())
            best[shape] = max(best.get(shape, 0.0), overlap)
        for shape, overlap in best.items():
            votes[shape] += overlap
    return max(votes, key=votes.get)


def object_colour(clip, masks):
    """The median of the object's inner pixels in RGB 0..1, or None: clip [3, T, H, W], masks [T, H, W]."""
    inner = -F.max_pool2d(-masks[:, None], 9, 1, 4)[:, 0] > 0.5
    pixels = clip.permute(1, 2, 3, 0)[inner]
    return pixels.median(0).values if len(pixels) else None


def name_colour(rgb):
    if rgb is None:
        return "none"
    palette = torch.tensor(list(world.COLOURS.values()))
    return list(world.COLOURS)[int((palette - rgb).square().sum(1).argmin())]


def path_of(masks):
    """Centre (x, y as shares of the picture) and area (pixels) in each frame: three tensors [T]."""
    _, h, w = masks.shape
    area = masks.sum((1, 2)).clamp(min=1)
    ys = (masks.sum(2) * torch.arange(h)).sum(1) / area / h
    xs = (masks.sum(1) * torch.arange(w)).sum(1) / area / w
    return xs, ys, area


def name_motion(masks):
    xs, ys, area = path_of(masks)
    dx, dy = float(xs[-2:].mean() - xs[:2].mean()), float(ys[-2:].mean() - ys[:2].mean())
    size = float((area[-3:].mean() / area[:3].mean()).sqrt())
    if max(abs(dx), abs(dy)) > 0.12:
        return ("right" if dx > 0 else "left") if abs(dx) > abs(dy) else ("down" if dy > 0 else "up")
    if size > 1.2 or size < 1 / 1.2:
        return "grow" if size > 1 else "shrink"
    if float(ys.max() - ys.min()) > 0.12:
        return "bounce"
    both = torch.minimum(masks[:1], masks).sum((1, 2))
    either = torch.maximum(masks[:1], masks).sum((1, 2)).clamp(min=1)
    return "spin" if float((both / either).min()) < 0.88 else "still"


def look(clips, name_shape=None):
    """What each clip of [N, 3, T, H, W] in [-1, 1] shows: a list of dicts like scenes, with "masks" and "clip" (0..1).

    `name_shape(clip, masks)` names a shape; without it templates are compared."""
    clips = (clips.clamp(-1, 1) + 1) / 2
    names, backs = guess_backgrounds(clips)
    masks = object_masks(clips, backs)
    known = templates() if name_shape is None else None
    found = []
    for clip, mask, name in zip(clips, masks, names):
        motion = name_motion(mask)
        shape = name_shape(clip, mask) if name_shape else shape_by_template(mask, motion == "spin", known)
        found.append(dict(background=name, motion=motion, colour=name_colour(object_colour(clip, mask)), shape=shape,
                          count=count_objects(mask[len(mask) // 2]), clip=clip, masks=mask))
    return found


KEYS = ("colour", "shape", "motion", "background")


def wrong(found, wanted):
    """What one clip shows instead of what its scene asks for, by attribute."""
    return {k: f"{found[k]}, not {wanted[k]}" for k in KEYS if found[k] != wanted[k]}


def right(found, wanted):
    """For each attribute and "all": a list of whether each clip shows what its scene asks for."""
    marks = {k: [f[k] == s[k] for f, s in zip(found, wanted)] for k in KEYS}
    marks["all"] = [all(row) for row in zip(*marks.values())]
    return marks


def grade(clips, wanted):
    """Shares (per cent) of right attributes, and of clips with all of them right: quick, between checkpoints."""
    return {k: round(100 * sum(v) / len(v), 1) for k, v in right(look(clips), wanted).items()}
