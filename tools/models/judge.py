# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looks at finished clips and says what is in them, to choose between checkpoints.

No part of the model is used: the background is the nearest of the known ones, the object is what differs
from it (holes filled), its colour the palette's nearest, its shape the best overlap with a drawn template,
its motion read from centre and area over time.  Run alone it grades the generator's own clips:

    python judge.py
"""
import math

import torch
import torch.nn.functional as F

import scenes
import world

CROP = 24


def _guess_backgrounds(clips):
    """The known background nearest to each clip by the median pixel, and its picture."""
    h, w = clips.shape[-2:]
    known = torch.stack([scenes.background(n, h, w).clamp(0, 1) for n in world.BACKGROUNDS])
    picture = clips.median(2).values
    distance = (picture[:, None] - known[None]).abs().amax(2).flatten(2)
    best = distance.quantile(0.6, dim=-1).argmin(1)
    return [world.BACKGROUNDS[i] for i in best], known[best]


def _masks(clips, backs):
    """Filled object masks [N, T, H, W]."""
    solid = ((clips - backs[:, :, None]).abs().amax(1) > 0.13).float()
    n, t, h, w = solid.shape
    solid = solid.view(n * t, 1, h, w)
    solid = (F.avg_pool2d(solid, 3, 1, 1) > 0.45).float()
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


def _crop(mask):
    """A mask's bounding box scaled to a small square, or None where there is nothing."""
    ys, xs = torch.nonzero(mask, as_tuple=True)
    if len(ys) < 60:
        return None
    box = mask[ys.min():ys.max() + 1, xs.min():xs.max() + 1]
    return F.interpolate(box[None, None], (CROP, CROP), mode="bilinear", align_corners=False)[0, 0]


def _templates():
    axis = torch.linspace(-1.4, 1.4, 96)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    found = {}
    for shape in world.SHAPES:
        for turn in range(0, 360, 10):
            a = math.radians(turn)
            px, py = x * math.cos(a) + y * math.sin(a), y * math.cos(a) - x * math.sin(a)
            found[shape, turn] = _crop((scenes.DISTANCE[shape](px, py) < 0).float())
    return found


def _shape(masks, spinning, templates):
    votes = dict.fromkeys(world.SHAPES, 0.0)
    for mask in masks[::4]:
        crop = _crop(mask)
        if crop is None:
            continue
        best = {}
        for (shape, turn), template in templates.items():
            if turn and not spinning:
                continue
            overlap = float(torch.minimum(crop, template).sum() / torch.maximum(crop, template).sum())
            best[shape] = max(best.get(shape, 0.0), overlap)
        for shape, overlap in best.items():
            votes[shape] += overlap
    return max(votes, key=votes.get)


def _colour(clip, masks):
    inner = -F.max_pool2d(-masks[:, None], 9, 1, 4)[:, 0] > 0.5
    pixels = clip.permute(1, 2, 3, 0)[inner]
    if not len(pixels):
        return "none"
    middle = pixels.median(0).values
    palette = torch.tensor(list(world.COLOURS.values()))
    return list(world.COLOURS)[int((palette - middle).square().sum(1).argmin())]


def _motion(masks):
    t, h, w = masks.shape
    area = masks.sum((1, 2)).clamp(min=1)
    ys = (masks.sum(2) * torch.arange(h)).sum(1) / area / h
    xs = (masks.sum(1) * torch.arange(w)).sum(1) / area / w
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


def look(clips):
    """What each clip of [N, 3, T, H, W] in [-1, 1] shows: a list of dicts like scenes."""
    clips = (clips.clamp(-1, 1) + 1) / 2
    names, backs = _guess_backgrounds(clips)
    masks = _masks(clips, backs)
    templates = _templates()
    found = []
    for clip, mask, name in zip(clips, masks, names):
        motion = _motion(mask)
        found.append(dict(background=name, motion=motion, colour=_colour(clip, mask),
                          shape=_shape(mask, motion == "spin", templates)))
    return found


def grade(clips, wanted):
    """Shares (per cent) of right attributes, and of clips with all of them right."""
    found = look(clips)
    keys = ("colour", "shape", "motion", "background")
    right = {k: [f[k] == s[k] for f, s in zip(found, wanted)] for k in keys}
    marks = {k: round(100 * sum(v) / len(v), 1) for k, v in right.items()}
    marks["all"] = round(100 * sum(map(all, zip(*right.values()))) / len(wanted), 1)
    return marks


if __name__ == "__main__":
    torch.set_num_threads(2)
    truth = world.sample_scenes(200, 17, "held-out")
    drawn = scenes.draw(truth)
    print(grade(drawn, truth))
    for scene, seen in zip(truth, look(drawn)):
        if any(scene[k] != seen[k] for k in seen):
            print(scene, seen)
