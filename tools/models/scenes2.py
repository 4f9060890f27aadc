# SPDX-License-Identifier: LGPL-2.1-or-later
"""Draws the scenes of tiers 2 and 3: places one or two objects, and lays them over the background in the scene's style.

`draw(scenes, frames, height, width)` gives float [N, 3, frames, height, width] in [-1, 1], as tier 1's does.  One object
moves as in tier 1, and keeps within the picture.  Two stand in halves of the picture, or one behind the other where both
go along the same line, and never touch; or one stands or passes in front of the other's foot, lower in the picture.
Each object is drawn in a square of pixels around it, which is all that it changes.
"""
import functools
import math
import random

import torch

import objects
import scenes
import styles
import world
import world2

RADII = {"small": 0.160, "": 0.185, "large": 0.220}  # of two objects, as shares of the clip's smaller side
CONVOY, GROWN, MARGIN, GAP = 0.160, (0.160, 0.215), 0.02, 0.045
FRONT, BEHIND = 0.170, 0.240  # radii, where one is in front of the other
FOOT, HIDES = 0.61, 0.13  # where what is behind ends, and how far what is in front reaches above that
REACH = 1.25  # no object is larger than this, in radii


@functools.cache
def _reaches(shape, turning, mirrored):
    left, right, up, down = objects.measure(shape, turning)
    return (right, left, up, down) if mirrored else (left, right, up, down)


def mirrored(thing):
    """What has a front looks where it goes, and else to the right."""
    return thing["shape"] in objects.FACING and thing["motion"] == "left"


def reaches(thing):
    """How far the object reaches to the left, right, up and down of its centre, in radii."""
    return _reaches(thing["shape"], thing["motion"] == "spin", mirrored(thing))


def _grown(motion, low, high, t):
    return low + (high - low) * scenes._ease(t if motion == "grow" else 1 - t)


def _radii(scene):
    """Of two objects: the least and the largest radius of each."""
    if world2.convoy(scene):
        return [(CONVOY, CONVOY)] * 2
    out = []
    axis = slice(2, 4) if scene["relation"] == "above" else slice(0, 2)
    room = (1 - 2 * MARGIN - GAP) / sum(sum(reaches(o)[axis]) for o in scene["objects"])
    for o in scene["objects"]:
        if o["motion"] in ("grow", "shrink"):
            out.append((GROWN[0], max(min(GROWN[1], room), 1.3 * GROWN[0])))
        else:
            out.append((RADII[o["size"]],) * 2)
    return out


def _across(thing, radius, jitter, t):
    """One object's place on the axis on which it is free (0..1: x beside another, y: see `pair`); reach: (before, after)."""
    before, after = radius * thing["before"], radius * thing["after"]
    first, last = MARGIN + before, 1 - MARGIN - after
    motion = thing["motion"]
    if motion in ("right", "down"):
        return first + (last - first) * scenes._ease(t)
    if motion in ("left", "up"):
        return last - (last - first) * scenes._ease(t)
    if motion == "bounce":
        return first + (last - first) * (1 - abs(2 * t - 1)) ** 2
    return min(max(0.5 + 0.05 * jitter, first), last)


def _overlapping(scene, frames):
    """The tracks of an object and of the one that it is in front of."""
    rng = random.Random(scene["seed"])
    front, behind = scene["objects"]
    before, after, front_up, _ = reaches(front)
    left, right, _, behind_down = reaches(behind)
    x = 0.5 + 0.05 * rng.uniform(-1, 1)
    middle = x + 0.5 * BEHIND * (right - left)  # of what is behind, wherever its centre is
    thing = dict(front, before=before, after=after)
    rows = ([], [])
    for i in range(frames):
        at = _across(thing, FRONT, 0.0, i / max(1, frames - 1))
        if front["motion"] == "still":
            at = middle - 0.5 * FRONT * (after - before)
        rows[0].append((at, FOOT - HIDES + FRONT * front_up, FRONT, 0.0))
        rows[1].append((x, FOOT - BEHIND * behind_down, BEHIND, 0.0))
    return rows


def pair(scene, frames):
    """The tracks of two objects, each a list of (x, y, radius, turn)."""
    if scene["relation"] == "in front of":
        return _overlapping(scene, frames)
    rng = random.Random(scene["seed"])
    upright = scene["relation"] == "above"
    along, free = (slice(2, 4), slice(0, 2)) if upright else (slice(0, 2), slice(2, 4))
    things = []
    for o, (low, high) in zip(scene["objects"], _radii(scene)):
        before, after = reaches(o)[free]
        things.append(dict(o, low=low, high=high, before=before, after=after, jitter=rng.uniform(-1, 1)))
    spans = [[high * reach for reach in reaches(o)[along]] for o, (_, high) in zip(scene["objects"], _radii(scene))]
    spare = 1 - sum(spans[0]) - sum(spans[1])
    shift = 0.15 * rng.uniform(-1, 1)
    tracks = ([], [])
    for i in range(frames):
        t = i / max(1, frames - 1)
        if world2.convoy(scene):
            ahead = scene["objects"][0]["motion"] in ("right", "down")
            edge = MARGIN + (spare - GAP - 2 * MARGIN) * scenes._ease(t if ahead else 1 - t)
            gap = GAP
        else:
            edge, gap = spare * 0.25 * (1 + shift), spare * 0.5
        places = (edge + spans[0][0], edge + sum(spans[0]) + gap + spans[1][0])
        for thing, place, track in zip(things, places, tracks):
            motion = thing["motion"]
            changes = motion in ("grow", "shrink")
            radius = _grown(motion, thing["low"], thing["high"], t) if changes else thing["high"]
            other = _across(thing if not world2.convoy(scene) else dict(thing, motion="still"), thing["high"],
                            thing["jitter"], t)
            angle = math.pi * t if motion == "spin" else 0.0
            track.append((other, place, radius, angle) if upright else (place, other, radius, angle))
    return tracks


def alone(scene, frames):
    """The track of a single object: tier 1's, kept within the picture whatever the object's reach."""
    thing = scene["objects"][0]
    rows = scenes.track(dict(thing, seed=scene["seed"]), frames)
    left, right, up, down = (max(row[2] for row in rows) * reach for reach in reaches(thing))
    return [(min(max(x, MARGIN + left), 1 - MARGIN - right), min(max(y, MARGIN + up), 1 - MARGIN - down), radius, turn)
            for x, y, radius, turn in rows]


def tracks(scene, frames):
    """One list of (x, y, radius, turn) an object."""
    return pair(scene, frames) if len(scene["objects"]) == 2 else (alone(scene, frames),)


def _things(batch, frames):
    """What is to be drawn, by layer (the second object first: it may be behind), shape and style: lists of (index, which of
    the two, object, track)."""
    groups = {}
    for index, scene in enumerate(batch):
        for which, (thing, track) in enumerate(zip(scene["objects"], tracks(scene, frames))):
            groups.setdefault((1 - which, thing["shape"], scene["style"]), []).append((index, which, thing, track))
    return sorted(groups.items())


def _squares(group, half, ys, xs, frames):
    """Where in pictures padded by `half` the group's squares are: scene, frame, row and column, [n, F, P, P]."""
    index = torch.tensor([index for index, *_ in group])[:, None, None, None]
    return index, torch.arange(frames)[:, None, None], ys[..., None] + half, xs[:, :, None, :] + half


def _patch(group, shape, frames, side, height, width):
    """The squares around one group's objects: rows and columns [n, F, P], and in them the distance to the edge in pixels,
    its parts, the place in the object's own frame and the place from the light's, each [n, F, P, P]."""
    rows = torch.tensor([track for *_, track in group])
    cx, cy, radius, angle = (v[..., None, None] for v in rows.unbind(2))
    cx, cy, radius = cx * width, cy * height, radius * side
    half = math.ceil(float(radius.max()) * REACH + 0.09 * side) + 1
    grid = torch.arange(-half, half)
    ys, xs = cy[..., 0].floor().long() + grid, cx[..., 0].floor().long() + grid
    dx, dy = ((xs + 0.5)[:, :, None, :] - cx) / radius, ((ys + 0.5)[..., None] - cy) / radius
    dx, dy = torch.broadcast_tensors(dx, dy)
    c, s = torch.cos(angle), torch.sin(angle)
    flip = torch.tensor([-1.0 if mirrored(thing) else 1.0 for *_, thing, _ in group]).view(-1, 1, 1, 1)
    x, y = (dx * c + dy * s) * flip, dy * c - dx * s
    distance, parts = objects.OBJECTS[shape](x, y)
    parts = [(d * radius, paint, lined) for d, paint, lined in parts]
    return half, ys, xs, dict(distance=distance * radius, parts=parts, place=(x, y), light=(dx, dy), scale=radius)


def _draw(batch, frames, height, width, hard):
    """The scenes over their backgrounds, [N, F, H, W, 3] in 0..1."""
    side = min(height, width)
    looks = sorted({(s["style"], s["background"]) for s in batch})
    backs = torch.stack([styles.background(*look, height, width) for look in looks]).permute(0, 2, 3, 1)
    looks = [looks.index((s["style"], s["background"])) for s in batch]
    out = backs[looks][:, None].repeat(1, frames, 1, 1, 1)
    for (_, shape, style), group in _things(batch, frames):
        half, ys, xs, thing = _patch(group, shape, frames, side, height, width)
        colour = torch.tensor([world.COLOURS[o["colour"]] for *_, o, _ in group]).view(-1, 1, 1, 1, 3)
        dx, dy = thing["light"]
        light = (-0.10 * (dx + 1.4 * dy)).clamp(-0.16, 0.16)[..., None]  # from the upper left
        fill = torch.where(light > 0, colour + (1 - colour) * light, colour * (1 + light))
        thing.update(colour=colour, fill=fill, hard=hard, edge=1.0 if hard else max(1.6, 0.028 * side))
        padded, paper = (torch.nn.functional.pad(x, (0, 0, half, half, half, half)) for x in (out, backs))
        index, frame, row, column = _squares(group, half, ys, xs, frames)
        thing["paper"] = paper[torch.tensor(looks)[index], row, column]
        padded[index, frame, row, column] = styles.paint(style, padded[index, frame, row, column], thing)
        out = padded[:, :, half:-half, half:-half]
    return out.clamp(0, 1)


def draw(batch, frames=world.FRAMES, height=world.SIDE, width=world.SIDE):
    """Draws a list of scenes; see the head of this file."""
    out = torch.empty(len(batch), 3, frames, height, width)
    for blocky in (False, True):
        index = [i for i, s in enumerate(batch) if (s["style"] == "pixel art") == blocky]
        if index:
            size = styles.grid(height, width) if blocky else (height, width)
            drawn = _draw([batch[i] for i in index], frames, *size, blocky).permute(0, 4, 1, 2, 3)
            out[index] = styles.enlarge(drawn, height, width) if blocky else drawn
    return out * 2 - 1


def cover(batch, frames=world.FRAMES, height=world.SIDE, width=world.SIDE):
    """How much of each pixel shows each of two objects: [N, 2, frames, height, width] in 0..1; 0 where there is no second."""
    side = min(height, width)
    out = torch.zeros(len(batch), 2, frames, height, width)
    for (_, shape, _), group in _things(batch, frames):
        half, ys, xs, thing = _patch(group, shape, frames, side, height, width)
        padded = torch.nn.functional.pad(out, (half,) * 4)
        index, frame, row, column = _squares(group, half, ys, xs, frames)
        which = torch.tensor([which for _, which, *_ in group])[:, None, None, None]
        share = (0.5 - thing["distance"]).clamp(0, 1)
        padded[index, 1 - which, frame, row, column] *= 1 - share  # what it hides; layers go from the back
        padded[index, which, frame, row, column] = share
        out = padded[..., half:-half, half:-half]
    return out
