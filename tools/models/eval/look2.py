# SPDX-License-Identifier: LGPL-2.1-or-later
"""Says what a finished clip of tier 2 or 3 shows: style, background, and of each object colour, shape and motion.

As in look.py no part of the model is used.  The background is the nearest of the known ones in all styles, and tells the
style; where several have the same (a plain sheet), blocks tell pixel art, and a small classifier of how the objects are
drawn the others; where that one is sure of another style than the background's, the style is "mixed".  Shapes are named by
a classifier, too (classify2.py).  parts.py finds the objects and their colours; motion is read from centre, area and turn
over time, and how two objects stand to each other from their places: "in front of" are two that touch, or whose boxes
overlap, for a quarter of the clip, the lower one in front.
"""
import functools

import torch
import torch.nn.functional as F

import styles
import world
import world2
from eval import look, parts

KEYS = ("colour", "shape", "motion")  # of each object
STYLES = ("",) + world2.STYLES
ALIKE, SURE = 0.04, 0.9  # two backgrounds (largest distance of a channel), and a classifier
BLOCKY = 0.40, 0.90  # of a clip's changes: none or all pixel art's; between them the classifier decides
GROWS = 1.12  # the least ratio of the sides of what grows
OVERLAPS = 0.03  # of the picture's side: more than an edge


@functools.cache
def known_backgrounds(style, height, width):
    return torch.stack([styles.background(style, n, height, width).clamp(0, 1) for n in world2.BACKGROUNDS])


def likely_styles(clip):
    """The styles whose backgrounds are about as near to a clip [3, T, H, W] as the nearest is, that one first."""
    picture = clip.median(1).values
    known = torch.stack([known_backgrounds(s, *clip.shape[-2:]) for s in STYLES])
    nearest = (picture - known).abs().amax(2).flatten(2).quantile(0.6, dim=-1).amin(1)
    order = nearest.argsort().tolist()
    return [STYLES[i] for i in order if float(nearest[i] - nearest[order[0]]) < ALIKE]


def blocky(clip, mask):
    """How much of the change in a clip [3, T, H, W] is at the edges of pixel art's blocks, where the mask [T, H, W] is: all
    of it in pixel art, half where that is soft, about a third in other styles (more if an edge happens to lie on one)."""
    inside, on, whole = F.max_pool2d(mask[:, None], 3, 1, 1)[:, 0], 0.0, 1e-6
    for axis, blocks in zip((1, 2), styles.grid(*clip.shape[-2:])):
        side = clip.shape[axis + 1]
        steps = clip.diff(dim=axis + 1).abs().amax(0) * inside.narrow(axis, 1, side - 1)
        block = torch.arange(side) * blocks // side
        on += float(steps.index_select(axis, torch.nonzero(block.diff())[:, 0]).sum())
        whole += float(steps.sum())
    return on / whole


def name_style(clip, style_scores):
    """The style of a clip, and the one that its background is to be taken from."""
    likely = likely_styles(clip)
    _, names, mask = segment(clip, likely[0])
    if "pixel art" in likely and len(likely) > 1:
        share = blocky(clip, mask)
        if share > BLOCKY[1]:
            likely = ["pixel art"]
        elif share < BLOCKY[0]:
            likely.remove("pixel art")
    masks, kept = parts.take_apart(names, mask)
    scores = [style_scores(clip[:, kept], own) for own in masks] if kept else []
    scores = [s for s in scores if s is not None]
    if not scores:
        return likely[0], likely[0]
    scores = torch.stack(scores).mean(0)
    best = STYLES[int(scores.argmax())]
    if best not in likely and float(scores.softmax(0).max()) > SURE:
        return "mixed", likely[0]
    style = max(likely, key=lambda s: float(scores[STYLES.index(s)]))
    return style, style


def segment(clip, style):
    """One clip [3, T, H, W] in 0..1: its background's name, its colour map and mask [T, H, W]."""
    names, backs = look.guess_backgrounds(clip[None], known_backgrounds(style, *clip.shape[-2:]))
    mask = parts.mask_of(clip, backs[0], style)
    return names[0], parts.colour_map(clip, mask, backs[0], style), mask


def name_motion(masks, other=None):
    """What an object does, of its masks [T, H, W]; `other`: those of one that may hide a part of it."""
    xs, ys, area = look.path_of(masks)
    dx, dy = float(xs[-2:].mean() - xs[:2].mean()), float(ys[-2:].mean() - ys[:2].mean())
    if max(abs(dx), abs(dy)) > 0.12:
        return ("right" if dx > 0 else "left") if abs(dx) > abs(dy) else ("down" if dy > 0 else "up")
    if float(ys.max() - ys.min()) > 0.12:
        return "bounce"
    seen = torch.ones_like(masks) if other is None else 1 - F.max_pool2d(torch.maximum(other, other[:1])[:, None], 5, 1, 2)[:, 0]
    size = float(((area[-3:].mean() / area[:3].mean())).sqrt())
    if other is None and (size > GROWS or size < 1 / GROWS):
        return "grow" if size > 1 else "shrink"
    both = (torch.minimum(masks[:1], masks) * seen).sum((1, 2))
    either = (torch.maximum(masks[:1], masks) * seen).sum((1, 2)).clamp(min=1)
    return "spin" if float((both / either).min()) < 0.88 else "still"


def overlap(objects):
    """In what share of the frames two objects [2, T, H, W] touch, or their boxes have more than an edge in common."""
    wider = F.max_pool2d(objects, 3, 1, 1)
    frames = 0
    for pair, touches in zip(objects.transpose(0, 1), (wider[0] * wider[1]).amax((1, 2))):
        a, b = (parts.box(m) for m in pair)
        common = min(min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1]))
        frames += touches > 0 or common > OVERLAPS
    return float(frames) / objects.shape[1]


def name_relation(objects, shared):
    """How two objects stand to each other, and their masks [2, T, H, W] with the first of them first; shared: their overlap()."""
    (x, y), (x2, y2) = ([float(v.mean()) for v in look.path_of(m)[:2]] for m in objects)
    if shared > 0.25:
        relation, turned = "in front of", y < y2
    elif abs(x - x2) > abs(y - y2):
        relation, turned = "left of", x > x2
    else:
        relation, turned = "above", y > y2
    return relation, objects.flip(0) if turned else objects


def look_at(clip, style, name_shape):
    """What one clip [3, T, H, W] in 0..1 shows, if it is in that style: a dict like a scene, with "count", "clip", "mask"."""
    background, names, mask = segment(clip, style)
    masks, kept = parts.take_apart(names, mask)
    count, relation, shared = len(masks) if kept else 0, "", 0.0
    if count == 2:
        shared = overlap(masks)
        relation, masks = name_relation(masks, shared)
    objects = []
    for i, own in enumerate(masks[:2] if kept else ()):
        other = masks[1 - i] if shared > 0 else None
        objects.append(dict(shape=name_shape(clip[:, kept], own), colour=parts.colour_of(names[kept], own, style),
                            motion=name_motion(own, other), masks=own))
    return dict(objects=objects, relation=relation, background=background, style=style, count=count, clip=clip, mask=mask)


def look_all(clips, classifier, tier):
    """What each clip of [N, 3, T, H, W] in [-1, 1] shows.  `classifier`: (style_scores, name_shape) of classify2.load()."""
    style_scores, name_shape = classifier
    for clip in (clips.clamp(-1, 1) + 1) / 2:
        style, drawn = name_style(clip, style_scores) if tier.number > 2 else ("", "")
        yield dict(look_at(clip, drawn, name_shape), style=style)


def _agree(found, wanted, key):
    """Whether as many objects were found as wanted, and each is right in this."""
    return len(found) == len(wanted) and all(f[key] == w[key] for f, w in zip(found, wanted))


def _best(found, wanted):
    """The found objects in the order that agrees best with the wanted ones, and whether that is the order they were found in."""
    orders = [found, found[::-1]] if len(found) == 2 else [found]
    scores = [sum(f[k] == w[k] for f, w in zip(order, wanted) for k in KEYS) for order in orders]
    best = scores.index(max(scores))
    return orders[best], best == 0


def right(found, wanted, tier):
    """For each attribute and "all": a list of whether each clip shows what its scene asks for, every object of it."""
    marks = {k: [] for k in KEYS + ("count", "relation", "background") + (("style",) if tier.number > 2 else ())}
    for f, w in zip(found, wanted):
        objects, in_order = _best(f["objects"], w["objects"])
        for k in KEYS:
            marks[k].append(_agree(objects, w["objects"], k))
        marks["count"].append(f["count"] == len(w["objects"]))
        relation = "left of" if w["relation"] == "beside" else w["relation"]
        marks["relation"].append(f["relation"] == relation and in_order)
        marks["background"].append(f["background"] == w["background"])
        if tier.number > 2:
            marks["style"].append(f["style"] == w["style"])
    marks["all"] = [all(row) for row in zip(*marks.values())]
    return marks


def wrong(found, wanted, tier):
    """What one clip shows instead of what its scene asks for, by attribute."""
    bad = [k for k, v in right([found], [wanted], tier).items() if not v[0] and k != "all"]

    def of(scene, key):
        if key == "count":
            return str(scene.get("count", len(scene["objects"])))
        return " and ".join(o[key] for o in scene["objects"]) if key in KEYS else scene[key] or "none"

    return {k: f"{of(found, k)}, not {of(wanted, k)}" for k in bad}


def without_pixels(found):
    """What was found, without the masks and the clip, of which hundreds would fill the memory."""
    return dict(found, clip=None, mask=None, objects=[dict(o, masks=None) for o in found["objects"]])


def grade(clips, wanted, tier):
    """Shares (per cent) of right attributes, and of clips with all of them right, between checkpoints."""
    from eval import classify2  # which needs this file to find the objects that it learns

    found = list(look_all(clips, classify2.load()[0], tier))
    return {k: round(100 * sum(v) / len(v), 1) for k, v in right(found, wanted, tier).items()}
