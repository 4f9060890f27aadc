# SPDX-License-Identifier: LGPL-2.1-or-later
"""Draws scenes as antialiased clips, by signed distance fields, many at a time in torch.

`draw(scenes, frames, height, width)` gives float [N, 3, frames, height, width] in [-1, 1].  Motion is
eased and the same at every size: lengths are shares of the clip's smaller side.  Backgrounds are smooth
(gradients, soft bands), so that a tiny VAE spends itself on the object; a darker outline keeps an object
apart from a background of its own colour.
"""
import math
import random

import torch

import world


def _sd_ball(x, y):
    return torch.sqrt(x * x + y * y) - 1.0


def _sd_square(x, y):
    half, rounding = 0.82, 0.08
    dx, dy = x.abs() - (half - rounding), y.abs() - (half - rounding)
    outside = torch.sqrt(dx.clamp(min=0) ** 2 + dy.clamp(min=0) ** 2)
    return outside + torch.maximum(dx, dy).clamp(max=0) - rounding


def _sd_polygon(x, y, points):
    """Exact distance to a closed polygon, negative inside (the even-odd rule)."""
    best = torch.full_like(x, 1e9)
    sign = torch.ones_like(x)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        t = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        best = torch.minimum(best, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        up, down = (y >= ay) & (y < by), (y < ay) & (y >= by)
        cross = ex * wy - ey * wx
        sign = torch.where((up & (cross > 0)) | (down & (cross < 0)), -sign, sign)
    return sign * torch.sqrt(best)


def _ring(radii, turn=-math.pi / 2):
    step = 2 * math.pi / len(radii)
    return [(r * math.cos(turn + i * step), r * math.sin(turn + i * step))
            for i, r in enumerate(radii)]


TRIANGLE = [(x, y + 0.18) for x, y in _ring([1.08] * 3)]
STAR = _ring([1.1, 0.50] * 5)


def _sd_triangle(x, y):
    return _sd_polygon(x, y, TRIANGLE) - 0.06


def _sd_star(x, y):
    return _sd_polygon(x, y, STAR) - 0.04


def _sd_heart(x, y):
    """Inigo Quilez' exact heart, whose own box is about [-0.6, 0.6] x [0, 1.1], y up."""
    scale = 1.72
    px, py = (x / scale).abs(), -y / scale + 0.56
    top = torch.sqrt((px - 0.25) ** 2 + (py - 0.75) ** 2) - math.sqrt(2) / 4
    m = 0.5 * (px + py).clamp(min=0)
    low = torch.sqrt(torch.minimum(px**2 + (py - 1) ** 2, (px - m) ** 2 + (py - m) ** 2))
    return scale * torch.where(px + py > 1, top, low * torch.sign(px - py))


DISTANCE = dict(ball=_sd_ball, square=_sd_square, triangle=_sd_triangle, star=_sd_star,
                heart=_sd_heart)


def _ease(t):
    """Half linear, half smoothstep: it starts and stops softly, yet moves in every frame."""
    return 0.5 * t + 0.5 * t * t * (3 - 2 * t)


def track(scene, frames):
    """The object's centre (0..1), radius and turn in each frame: lists of (x, y, radius, angle)."""
    rng = random.Random(scene["seed"])
    radius = world.SIZES[scene["size"]]
    jitter_x, jitter_y = rng.uniform(-1, 1), rng.uniform(-1, 1)
    reach = 0.5 - radius - 0.02
    x0, y0 = 0.5 + 0.08 * jitter_x, 0.54 + 0.05 * jitter_y
    rows = []
    for i in range(frames):
        t = i / max(1, frames - 1)
        x, y, r, angle = x0, y0, radius, 0.0
        motion = scene["motion"]
        swing = reach * (2 * _ease(t) - 1)
        if motion == "left":
            x = 0.5 - swing
        elif motion == "right":
            x = 0.5 + swing
        elif motion == "up":
            y = 0.5 - swing
        elif motion == "down":
            y = 0.5 + swing
        elif motion == "spin":
            angle = math.pi * t
        elif motion == "bounce":
            fall = 1 - abs(2 * t - 1)  # down to the ground by the middle of the clip, and up again
            y = 0.5 - reach + 2 * reach * fall * fall
        elif motion in ("grow", "shrink"):
            low, high = 0.19, radius + 0.13
            u = _ease(t if motion == "grow" else 1 - t)
            r = low + (high - low) * u
            y = 0.5 + 0.04 * jitter_y
        rows.append((x, y, r, angle))
    return rows


def _mix(a, b, t):
    a, b = (torch.tensor(c).view(3, 1, 1) for c in (a, b))
    return a + (b - a) * t


def _step(edge, width, value):
    return ((value - edge) / width + 0.5).clamp(0, 1)


def background(name, height, width):
    """[3, H, W] in 0..1; x and y run 0..1 over the picture."""
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height,
                          (torch.arange(width) + 0.5) / width, indexing="ij")
    soft = 1.5 / height
    if name == "grass":
        sky = _mix((0.50, 0.76, 0.96), (0.82, 0.92, 0.98), y / 0.45)
        ground = _mix((0.52, 0.78, 0.36), (0.36, 0.64, 0.24), (y - 0.45) / 0.55)
        ground = ground + 0.02 * torch.sin(x * 19 + y * 9)
        return sky + (ground - sky) * _step(0.45 + 0.02 * torch.sin(x * 5), soft, y)
    if name == "snow":
        sky = _mix((0.62, 0.70, 0.80), (0.80, 0.86, 0.92), y / 0.5)
        ground = _mix((0.97, 0.98, 1.0), (0.86, 0.91, 0.97), (y - 0.5) / 0.5)
        return sky + (ground - sky) * _step(0.48 + 0.04 * torch.sin(x * 7 + 1), soft, y)
    if name == "night":
        picture = _mix((0.02, 0.03, 0.12), (0.10, 0.12, 0.30), y)
        for sx, sy in ((0.1, 0.15), (0.3, 0.08), (0.55, 0.18), (0.85, 0.1), (0.93, 0.4), (0.07, 0.55),
                       (0.2, 0.85), (0.5, 0.93), (0.8, 0.8), (0.7, 0.42), (0.32, 0.36)):
            glow = torch.exp(-(((x - sx) ** 2 + (y - sy) ** 2) / 0.018**2))
            picture = picture + 0.75 * glow * (1 - picture)
        return picture
    if name == "sand":
        sky = _mix((0.55, 0.80, 0.95), (0.90, 0.95, 0.95), y / 0.4)
        ground = _mix((0.93, 0.82, 0.58), (0.82, 0.68, 0.44), (y - 0.4) / 0.6)
        ground = ground + 0.02 * torch.sin(y * 40 + 2 * torch.sin(x * 5))
        return sky + (ground - sky) * _step(0.40 + 0.03 * torch.sin(x * 6 + 2), soft, y)
    if name == "water":
        picture = _mix((0.36, 0.72, 0.86), (0.08, 0.36, 0.62), y)
        return picture + 0.03 * torch.sin(y * 34 + 1.5 * torch.sin(x * 8))
    if name == "sunset":
        picture = _mix((0.42, 0.22, 0.48), (0.99, 0.66, 0.36), y / 0.6)
        ground = _mix((0.36, 0.18, 0.30), (0.20, 0.10, 0.20), (y - 0.68) / 0.32)
        return picture + (ground - picture) * _step(0.68, soft, y)
    plain = dict(white=(0.95, 0.95, 0.95), black=(0.05, 0.05, 0.05), gray=(0.5, 0.5, 0.5),
                 blue=(0.56, 0.76, 0.96))[name.removeprefix("plain ")]
    return torch.tensor(plain).view(3, 1, 1).expand(3, height, width).clone()


def _placed(scenes, shape, frames, height, width):
    """The scenes of one shape: their index, and over all pixels the place inside the object (dx, dy: not turned,
    in radii) and the distance to its edge in pixels, each [n, frames, height, width]."""
    side = min(height, width)
    ys = (torch.arange(height) + 0.5).view(1, 1, height, 1)
    xs = (torch.arange(width) + 0.5).view(1, 1, 1, width)
    index = [i for i, s in enumerate(scenes) if s["shape"] == shape]
    rows = torch.tensor([track(scenes[i], frames) for i in index])
    cx, cy, radius, angle = rows.view(len(index), frames, 4, 1, 1).unbind(2)
    radius = radius * side
    dx, dy = (xs - cx * width) / radius, (ys - cy * height) / radius
    c, s = torch.cos(angle), torch.sin(angle)
    distance = DISTANCE[shape](dx * c + dy * s, dy * c - dx * s) * radius
    return index, dx, dy, distance


def cover(scenes, frames=world.FRAMES, height=world.SIDE, width=world.SIDE):
    """How much of each pixel the object covers: [N, frames, height, width] in 0..1."""
    out = torch.zeros(len(scenes), frames, height, width)
    for shape in sorted({s["shape"] for s in scenes}):
        index, _, _, distance = _placed(scenes, shape, frames, height, width)
        out[index] = (0.5 - distance).clamp(0, 1)
    return out


def draw(scenes, frames=world.FRAMES, height=world.SIDE, width=world.SIDE):
    """Draws a list of scenes; see the head of this file."""
    names = sorted({s["background"] for s in scenes})
    backs = torch.stack([background(n, height, width).clamp(0, 1) for n in names])
    out = backs[[names.index(s["background"]) for s in scenes]]
    out = out[:, :, None].repeat(1, 1, frames, 1, 1)
    for shape in sorted({s["shape"] for s in scenes}):
        index, dx, dy, distance = _placed(scenes, shape, frames, height, width)
        colour = torch.tensor([world.COLOURS[scenes[i]["colour"]] for i in index])
        colour = colour.view(len(index), 3, 1, 1, 1)
        light = (-0.10 * (dx + 1.4 * dy)).clamp(-0.16, 0.16)[:, None]  # from the upper left
        fill = torch.where(light > 0, colour + (1 - colour) * light, colour * (1 + light))
        edge = max(1.6, 0.028 * min(height, width))
        inner = (0.5 - (distance + edge)).clamp(0, 1)[:, None]
        outer = (0.5 - distance).clamp(0, 1)[:, None]
        body = colour * 0.42 + (fill - colour * 0.42) * inner
        out[index] = out[index] + (body - out[index]) * outer
    return out.clamp(0, 1) * 2 - 1
