# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the styles of tier 3 look: what each makes of a background, and of one object laid over it.

Each changes the whole picture, and leaves the object's colour and shape to be told: lines keep the colour where there is no
fill (outline, neon), and light colours keep their distance from each other (pastel, watercolour).  Nothing is random:
a wash's blots stand still on the paper, an object's ragged edge goes with the object.
"""
import torch

import scenes

BLOCKS = 32  # of pixel art, along the picture's smaller side


def _noise(y, x):
    """Smooth blots in -1..1 over a picture whose sides are 1."""
    a = torch.sin(x * 11 + 2.5 * torch.sin(y * 7 + 1)) * torch.sin(y * 13 + 2 * torch.sin(x * 9 + 2))
    return 0.6 * a + 0.4 * torch.sin(x * 23 + y * 17 + 3 * torch.sin(y * 11))


def _toward(picture, colour, share):
    return picture + (torch.tensor(colour).view(3, 1, 1) - picture) * share


def background(style, name, height, width):
    """[3, H, W] in 0..1."""
    if style == "pixel art":
        blocks = scenes.background(name, *grid(height, width)).clamp(0, 1)
        return enlarge(few_tones(blocks, 8, 0), height, width)
    picture = scenes.background(name, height, width).clamp(0, 1)
    if style == "outline":
        return _toward(picture, (1.0, 1.0, 1.0), 0.70)
    if style == "neon":
        across = (picture[:, :, 1:] - picture[:, :, :-1]).abs().amax(0)
        down = (picture[:, 1:] - picture[:, :-1]).abs().amax(0)
        edges = torch.zeros(height, width)
        edges[:, :-1] = across
        edges[:-1] = torch.maximum(edges[:-1], down)
        edges = torch.nn.functional.max_pool2d(edges[None, None], 3, 1, 1)[0, 0]
        line = (2.5 * edges - 0.15).clamp(0, 1)
        dark = 0.26 * picture + torch.tensor([0.02, 0.0, 0.05]).view(3, 1, 1)
        return (dark + line * (0.75 * picture + 0.10 - dark)).clamp(0, 1)
    if style == "pastel":
        gray = picture.mean(0, keepdim=True)
        return _toward(gray + 0.75 * (picture - gray), (1.0, 0.96, 0.92), 0.50)
    if style == "watercolour":
        y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        wash = 0.66 + 0.13 * _noise(y, x)
        edge = torch.minimum(torch.minimum(x, 1 - x), torch.minimum(y, 1 - y)) + 0.012 * _noise(x * 1.7, y * 1.7)
        wash = wash * ((edge - 0.02) / 0.02).clamp(0, 1)  # a ragged white margin
        paper = torch.tensor([0.98, 0.97, 0.93]).view(3, 1, 1)
        return paper + (picture - paper) * wash
    return picture


def few_tones(picture, tones, channels):
    """Few steps of brightness, each colour as it is; `channels` is the dimension of R, G, B."""
    light = picture.mean(channels, keepdim=True).clamp(min=0.02)
    return (picture * ((light * tones).round() / tones).clamp(min=0.03) / light).clamp(0, 1)


def grid(height, width):
    """The blocks of a picture in pixel art: rows, columns."""
    block = max(1, min(height, width) // BLOCKS)
    return height // block, width // block


def enlarge(small, height, width):
    """Blocks [..., h, w] as squares of a picture [..., height, width]."""
    rows = torch.arange(height) * small.shape[-2] // height
    columns = torch.arange(width) * small.shape[-1] // width
    return small[..., rows, :][..., columns]


def _over(under, colour, share):
    return under + (colour - under) * share[..., None]


def _filled(under, thing, dark, soft=1.0, own_edge=0.42):
    """As tier 1 draws: shaded from the upper left, a darker outline inside the edge.  `soft`: the width of an edge in pixels."""
    colour, edge, hard = thing["colour"], thing["edge"], thing["hard"]

    def covered(distance):
        return (distance < 0).float() if hard else (0.5 - distance / soft).clamp(0, 1)

    line = colour * own_edge
    fill = thing["fill"]
    for distance, paint, lined in thing["parts"]:
        part = thing["fill"] * paint if isinstance(paint, float) else torch.tensor(paint).expand_as(fill)
        if lined and dark:
            part = _over(line.expand_as(part), part, covered(distance + 0.5 * edge))
        fill = _over(fill, part, covered(distance))
    distance = thing["distance"]
    return fill, _over(line.expand_as(fill), fill, covered(distance + edge)), covered(distance)


def paint(style, under, thing):
    """One object over what is there, [..., 3] in 0..1.  `thing`: distance (pixels, negative inside), parts, colour and fill
    (its colour in the light), edge (of the outline, pixels), hard (no antialiasing), place (x, y in the object's own frame), paper
(the background there, which an object drawn in lines alone shows inside, whatever is behind it)."""
    distance, colour, edge = thing["distance"], thing["colour"], thing["edge"]
    if style in ("", "pixel art"):
        _, body, share = _filled(under, thing, True, own_edge=0.70 if style else 0.42)
        return _over(under, few_tones(body, 10, -1) if style else body, share)
    if style == "pastel":
        _, body, share = _filled(under, thing, True, 2.0, 0.58)
        return _over(under, body + (1 - body) * 0.30, share)
    if style == "watercolour":
        x, y = thing["place"]
        ragged = distance + 0.016 * thing["scale"] * (torch.sin(7 * x + 2 * y + 1) + torch.sin(8 * y - 3 * x))
        rim = torch.exp(-(((ragged + 1.2) / 2.0) ** 2))
        body, _, _ = _filled(under, thing, False, 2.0)
        body = body * (1 - 0.42 * rim[..., None])
        pigment = 0.84 + 0.08 * torch.sin(4 * x + 5 * y + 2 * torch.sin(3 * x)) + 0.10 * rim
        return _over(under, body, pigment.clamp(0, 1) * (0.5 - ragged / 1.5).clamp(0, 1))
    if style == "outline":
        ink = (0.12, 0.12, 0.16)
        out = _over(under, thing["paper"], (0.5 - distance).clamp(0, 1))
        band = (0.5 - distance).clamp(0, 1) * (0.5 + distance + 2.1 * edge).clamp(0, 1)
        for part, tone, lined in thing["parts"]:
            inside = torch.maximum(part, distance)
            if tone == (0.10, 0.10, 0.14) and not lined:
                out = _over(out, torch.tensor(ink).expand_as(out), 0.85 * (0.5 - inside).clamp(0, 1))
            elif lined:
                out = _over(out, colour * 0.8, (1.1 - inside.abs()).clamp(0, 1))
        out = _over(out, colour.expand_as(out), band)
        line = (0.5 - distance).clamp(0, 1) * (0.5 + distance + 0.62 * edge).clamp(0, 1)
        return _over(out, torch.tensor(ink).expand_as(out), line)
    if style == "neon":
        bright = colour / colour.amax(-1, keepdim=True)
        bright = bright + (1 - bright) * 0.18
        tube, reach = 0.62 * edge, 2.6 * edge
        away = (distance + tube).abs()
        for part, _, lined in thing["parts"]:
            if lined:  # a thinner tube
                away = torch.minimum(away, torch.maximum(part.abs() + 0.3 * tube, distance + tube))
        glow = (1 - away / reach).clamp(0, 1) ** 2
        inside = (0.5 - distance).clamp(0, 1)
        out = _over(under, thing["paper"], inside) * (1 - 0.45 * inside)[..., None]
        out = 1 - (1 - out) * (1 - 0.55 * glow[..., None] * bright)
        return _over(out, bright.expand_as(out), (tube - away + 0.5).clamp(0, 1))
    raise ValueError(f"style {style!r} is none of outline, pixel art, neon, pastel, watercolour")
