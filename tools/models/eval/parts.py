# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the objects of a clip of tiers 2 and 3 apart: which pixels belong to which, from frame to frame.

What differs from the background falls into connected pieces, an object each.  Where one object is in front of another there
is one piece for both; it is split by colour, as two objects never share one: each pixel goes to the nearest that
shows either colour.  A colour is told by its hue, which no style changes much.
"""
import colorsys

import numpy as np
import torch
import torch.nn.functional as F

import world
from eval import look

NAMES = tuple(c for c in world.COLOURS if c != "white") + ("white",)
HUES = torch.tensor([colorsys.rgb_to_hsv(*world.COLOURS[c])[0] for c in NAMES[:-1]])
WHITE = len(NAMES) - 1
LINES = ("outline", "neon")  # styles whose objects show the background inside
DIFFERS = {"pastel": 0.07, "neon": 0.30}  # how far from the background an object begins
DIFFERS_ELSE = 0.08  # less than in look.py: the dark line around a white object on gray belongs to it
LEAST_SHARE, LEAST_STEP, LEAST_SIDE = 0.08, 0.05, 0.18  # of a split: see split()


def colour_map(clip, mask, back, style):
    """Each pixel's colour as an index of NAMES, -1 for none: clip [3, T, H, W] in 0..1, mask [T, H, W], back [3, H, W]."""
    high, low = clip.amax(0), clip.amin(0)
    chroma = high - low
    r, g, b = clip
    safe = chroma.clamp(min=1e-6)
    hue = torch.where(high == r, (g - b) / safe % 6, torch.where(high == g, (b - r) / safe + 2, (r - g) / safe + 4)) / 6
    apart = (hue[..., None] - HUES).abs()
    names = torch.minimum(apart, 1 - apart).argmin(-1)
    coloured = (chroma > 0.12) & (chroma > 0.25 * high)
    white = (chroma < 0.15 * high) & (high > 0.6)
    names = torch.where(coloured, names, torch.where(white, WHITE, -1))
    ours = mask > 0.5
    if style in LINES:
        ours = ours & ((clip - back[:, None]).abs().amax(0) > 0.13)
    return torch.where(ours, names, -1)


def votes(names):
    return torch.bincount(names[names >= 0].flatten(), minlength=len(NAMES))


def colour_of(names, mask, style):
    """The colour of the object that a mask covers, of its colour map (both [T, H, W])."""
    count = votes(names[mask > 0.5])
    coloured, white = int(count[:WHITE].sum()), int(count[WHITE])
    if coloured + white < 0.02 * float(mask.sum()):
        return "white" if style == "outline" and float(mask.sum()) > 0 else "none"  # white lines on white paper
    return NAMES[int(count[:WHITE].argmax())] if coloured >= 0.4 * (coloured + white) else "white"


def _runs(rows):
    """The runs of a mask [R, W] as (row, first column, column behind the last), in order."""
    edge = np.diff(np.pad(rows.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    where, first = np.nonzero(edge == 1)
    return list(zip(where.tolist(), first.tolist(), np.nonzero(edge == -1)[1].tolist()))


def labelled(masks):
    """Masks [N, H, W] of 0 and 1: each piece's pixels (neighbours may touch by a corner) hold a number of its own, above 0; i32."""
    n, h, w = masks.shape
    runs = _runs((masks.numpy() > 0.5).reshape(n * h, w))
    parent = list(range(len(runs)))

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    above = 0
    for i, (row, first, behind) in enumerate(runs):
        if row % h == 0:
            continue
        while runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] < first):
            above += 1
        k = above
        while runs[k][0] == row - 1 and runs[k][1] <= behind:
            parent[root(k)] = root(i)
            k += 1
    out = np.zeros((n * h, w), np.int32)
    for i, (row, first, behind) in enumerate(runs):
        out[row, first:behind] = root(i) + 1
    return torch.from_numpy(out.reshape(n, h, w))


def filled(solid):
    """A mask [N, H, W] with its holes filled."""
    outside = labelled(1 - solid)
    rim = torch.cat([outside[:, 0], outside[:, -1], outside[:, :, 0], outside[:, :, -1]], 1)
    return (~torch.isin(outside, rim[rim > 0].unique())).float()


def pieces_of(numbers, least):
    """The pieces of one labelled frame that are at least so large, as masks."""
    values, sizes = numbers[numbers > 0].unique(return_counts=True)
    return [(numbers == v).float() for v, size in zip(values, sizes) if size >= least]


def _without_specks(mask):
    """A mask without lines a pixel wide (an edge between two colours shows a third), and without pieces below a tenth of it
    (neighbours may be a pixel apart)."""
    mask = mask * (F.avg_pool2d(mask[None, None], 3, 1, 1)[0, 0] > 0.4)
    numbers = labelled(F.max_pool2d(mask[None], 3, 1, 1))[0] * mask
    kept = pieces_of(numbers, 0.1 * float(mask.sum()))
    return torch.stack(kept).amax(0) if kept else torch.zeros_like(mask)


def box(mask):
    """Left, top, right and bottom of a mask, as shares of the picture."""
    ys, xs = torch.nonzero(mask, as_tuple=True)
    h, w = mask.shape
    return float(xs.min()) / w, float(ys.min()) / h, float(xs.max() + 1) / w, float(ys.max() + 1) / h


def split(names, piece, pair):
    """One piece as two objects of these colours (indices of NAMES), the lower one first; None if it is not two.

    It is one with a part of another colour (a window, a trunk) unless each colour has its share and is as large as an object
    may be, and one begins and ends lower than the other by a step."""
    seeds = [((names == c).float() * piece) for c in pair]
    if min(float(s.sum()) for s in seeds) < LEAST_SHARE * sum(float(s.sum()) for s in seeds):
        return None
    seeds = [_without_specks(s) for s in seeds]
    if min(float(s.sum()) for s in seeds) == 0:
        return None
    boxes = [box(s) for s in seeds]
    (_, top, _, foot), (_, top2, _, foot2) = boxes
    first, second = seeds if foot > foot2 else seeds[::-1]
    step = min(foot - foot2, top - top2) if foot > foot2 else min(foot2 - foot, top2 - top)
    if step < LEAST_STEP or min(min(b[2] - b[0], b[3] - b[1]) for b in boxes) < LEAST_SIDE:
        return None
    first, second, free = first[None, None], second[None, None], piece[None, None]
    while True:
        more = F.max_pool2d(first, 3, 1, 1) * free * (1 - second)
        other = F.max_pool2d(second, 3, 1, 1) * free * (1 - more)
        if torch.equal(more, first) and torch.equal(other, second):
            return first[0, 0], second[0, 0]
        first, second = more, other


def _centre(mask):
    h, w = mask.shape
    total = mask.sum().clamp(min=1)
    return torch.stack([(mask.sum(0) * torch.arange(w)).sum() / total / w, (mask.sum(1) * torch.arange(h)).sum() / total / h])


def _tracked(found):
    """Pairs of masks, one a frame, put so that each object keeps its place in the pair: [2, T, H, W]."""
    rows = [found[0]]
    for pair in found[1:]:
        a, b = (_centre(m) for m in rows[-1])
        c, d = (_centre(m) for m in pair)
        same, crossed = (a - c).norm() + (b - d).norm(), (a - d).norm() + (b - c).norm()
        rows.append(pair if same <= crossed else pair[::-1])
    return torch.stack([torch.stack(list(pair)) for pair in rows], 1)


def mask_of(clip, back, style):
    """The filled mask [T, H, W] of all objects of a clip [3, T, H, W] in 0..1 before a background [3, H, W]."""
    solid = look.solid_masks(clip[None], back[None], DIFFERS.get(style, DIFFERS_ELSE))[0]
    if style != "neon":
        return filled(solid)
    # A line that lies on the bright horizon is not seen there, and yet it closes.
    bright = (back.amax(0) > DIFFERS["neon"]) * (1 - solid)
    return filled(torch.maximum(solid, bright)) * (1 - bright)


def _joined(pieces, names):
    """The pieces of a frame, those of one colour that are less than 7 pixels apart made one: where the background is as bright as a
    line, it cuts it."""
    colours = [int(votes(names[p > 0.5]).argmax()) for p in pieces]
    for i, a in enumerate(pieces):
        for j in range(i):
            if colours[i] == colours[j] and float((F.max_pool2d(torch.stack([a, pieces[j]]), 7, 1, 3)).amin(0).max()) > 0:
                both = F.max_pool2d(torch.maximum(a, pieces[j])[None], 7, 1, 3)
                whole = filled(-F.max_pool2d(-both, 7, 1, 3))[0]
                return _joined(pieces[:j] + pieces[j + 1:i] + pieces[i + 1:] + [whole], names)
    return pieces


def take_apart(names, mask):
    """The objects of a clip, from its colour map and mask [T, H, W]: masks [objects, T', H, W], and the frames they were all found
    in (a list of T')."""
    least = look.LEAST_PIXELS * mask[0].numel() / 4096
    frames = [_joined(pieces_of(numbers, least), own) for numbers, own in zip(labelled(mask), names)]
    counts = [len(f) for f in frames]
    often = max(set(counts), key=counts.count)
    if often == 0:
        return mask[None, :0], []
    if often > 2:
        kept = [t for t, n in enumerate(counts) if n == often]
        return torch.stack([torch.stack([frames[t][k] for t in kept]) for k in range(often)]), kept
    pair = votes(names).topk(2).indices.tolist()
    found, kept = [], []
    for t, pieces in enumerate(frames):
        if len(pieces) == 2:
            found.append(tuple(pieces))
            kept.append(t)
        elif len(pieces) == 1:
            both = split(names[t], pieces[0], pair)
            if both:
                found.append(both)
                kept.append(t)
    if 2 * len(found) > len(frames):
        return _tracked(found), kept
    kept = [t for t, n in enumerate(counts) if n == 1]
    return torch.stack([frames[t][0] for t in kept])[None] if kept else mask[None, :0], kept
