# SPDX-License-Identifier: LGPL-2.1-or-later
"""The objects of tiers 2 and 3 as signed distance fields, with the parts that are seen inside them.

`OBJECTS[shape](x, y)` is called with places in the object's own frame (radii; x to the right, y down; what has a front faces
right) and gives the distance to its outline, negative inside, and a list of parts (distance, paint, lined) that are
painted over the body in turn; a lined part has a dark edge of its own.  A paint is a colour, or a factor on the object's own colour.  All
are at least 1.62 radii high and wide, so that the smallest stays above 24 pixels at 96x96, and at most 2.12.
Parts are no smaller than what is still seen at that size: an eye is 2 pixels in radius there.
"""
import torch

import scenes

INK, WOOD, GLASS, LAMP = (0.10, 0.10, 0.14), (0.45, 0.28, 0.14), (0.70, 0.88, 0.97), (1.00, 0.90, 0.50)
WHITE, BEAK, GREY = (0.96, 0.96, 0.96), (0.98, 0.66, 0.10), (0.75, 0.76, 0.80)
SHADE = 0.66  # of the object's own colour, for its second tone


def _circle(x, y, cx, cy, r):
    return torch.sqrt((x - cx) ** 2 + (y - cy) ** 2) - r


def _ellipse(x, y, cx, cy, rx, ry):
    """Close to the distance near the edge, which is where it counts."""
    x, y = x - cx, y - cy
    far = torch.sqrt((x / rx) ** 2 + (y / ry) ** 2)
    return far * (far - 1) / torch.sqrt((x / rx**2) ** 2 + (y / ry**2) ** 2).clamp(min=1e-3)


def _box(x, y, cx, cy, hx, hy, rounding=0.0):
    dx, dy = (x - cx).abs() - (hx - rounding), (y - cy).abs() - (hy - rounding)
    outside = torch.sqrt(dx.clamp(min=0) ** 2 + dy.clamp(min=0) ** 2)
    return outside + torch.maximum(dx, dy).clamp(max=0) - rounding


def _polygon(x, y, *points, rounding=0.0):
    return scenes._sd_polygon(x, y, list(points)) - rounding


def _union(*parts):
    out = parts[0]
    for part in parts[1:]:
        out = torch.minimum(out, part)
    return out


def fish(x, y):
    body = _ellipse(x, y, 0.16, 0.06, 0.88, 0.74)
    tail = _polygon(x, y, (-0.50, 0.06), (-0.98, -0.56), (-0.82, 0.06), (-0.98, 0.68), rounding=0.06)
    fin = _polygon(x, y, (-0.30, -0.50), (-0.16, -0.92), (0.46, -0.62), (0.40, -0.40), rounding=0.05)
    side = _polygon(x, y, (0.12, 0.10), (-0.30, -0.08), (-0.30, 0.42), rounding=0.06)
    return _union(body, tail, fin), [
        (torch.maximum(tail, -body), SHADE, True), (torch.maximum(fin, -body), SHADE, True), (side, SHADE, False),
        (_circle(x, y, 0.60, -0.12, 0.19), WHITE, False), (_circle(x, y, 0.64, -0.12, 0.10), INK, False)]


def bird(x, y):
    body = _ellipse(x, y, -0.08, 0.22, 0.66, 0.54)
    head = _circle(x, y, 0.46, -0.24, 0.38)
    tail = _polygon(x, y, (-0.50, 0.12), (-1.00, -0.22), (-0.98, 0.30), (-0.50, 0.44), rounding=0.05)
    beak = _polygon(x, y, (0.72, -0.38), (1.03, -0.18), (0.72, -0.04), rounding=0.03)
    wing = _polygon(x, y, (-0.38, 0.22), (-0.62, -0.84), (-0.20, -0.72), (0.22, 0.16), rounding=0.08)
    return _union(body, head, tail, beak, wing), [
        (torch.maximum(beak, -head), BEAK, True), (wing, SHADE, True), (torch.maximum(tail, -body), SHADE, True),
        (_circle(x, y, 0.56, -0.30, 0.11), INK, False)]


def car(x, y):
    lower = _box(x, y, 0.0, 0.24, 1.04, 0.34, 0.18)
    cabin = _polygon(x, y, (-0.66, 0.0), (-0.46, -0.72), (0.30, -0.72), (0.62, 0.0), rounding=0.08)
    wheels = _union(_circle(x, y, -0.55, 0.56, 0.30), _circle(x, y, 0.55, 0.56, 0.30))
    hubs = _union(_circle(x, y, -0.55, 0.56, 0.13), _circle(x, y, 0.55, 0.56, 0.13))
    panes = _union(_polygon(x, y, (-0.48, -0.06), (-0.34, -0.56), (-0.12, -0.56), (-0.12, -0.06)),
                   _polygon(x, y, (0.08, -0.06), (0.08, -0.56), (0.22, -0.56), (0.44, -0.06)))
    return _union(lower, cabin, wheels), [
        (panes, GLASS, False), (wheels, INK, False), (hubs, GREY, False), (_circle(x, y, 0.90, 0.16, 0.10), LAMP, False)]


def boat(x, y):
    hull = _polygon(x, y, (-0.98, 0.32), (0.98, 0.32), (0.58, 0.82), (-0.58, 0.82), rounding=0.06)
    mast = _box(x, y, 0.0, -0.30, 0.06, 0.72)
    sails = _union(_polygon(x, y, (0.06, -0.96), (0.86, 0.24), (0.06, 0.24), rounding=0.04),
                   _polygon(x, y, (-0.06, -0.70), (-0.70, 0.24), (-0.06, 0.24), rounding=0.04))
    return _union(hull, mast, sails), [
        (mast, INK, False), (hull, SHADE, True), (_box(x, y, 0.0, 0.58, 0.62, 0.07), WHITE, False)]


def tree(x, y):
    crown = _union(_circle(x, y, 0.0, -0.48, 0.56), _circle(x, y, -0.44, 0.0, 0.48), _circle(x, y, 0.44, 0.0, 0.48))
    trunk = _box(x, y, 0.0, 0.70, 0.19, 0.34)
    leaves = _union(_circle(x, y, -0.36, 0.08, 0.12), _circle(x, y, 0.30, -0.12, 0.12), _circle(x, y, -0.10, -0.56, 0.12))
    return _union(crown, trunk), [(torch.maximum(trunk, -crown), WOOD, True), (leaves, SHADE, False)]


def house(x, y):
    walls = _box(x, y, 0.0, 0.40, 0.78, 0.62)
    roof = _polygon(x, y, (-0.98, -0.10), (0.0, -0.94), (0.98, -0.10), rounding=0.05)
    chimney = _box(x, y, 0.52, -0.68, 0.13, 0.28)
    return _union(walls, roof, chimney), [
        (chimney, SHADE, True), (roof, SHADE, True), (_box(x, y, 0.30, 0.68, 0.19, 0.34), WOOD, False),
        (_box(x, y, -0.32, 0.36, 0.21, 0.21), LAMP, True)]


def moon(x, y):
    x = x - 0.24
    crescent = torch.maximum(_circle(x, y, 0.0, 0.0, 1.02), -_circle(x, y, 0.56, -0.10, 0.72))
    craters = _union(_circle(x, y, -0.60, -0.18, 0.13), _circle(x, y, -0.36, 0.52, 0.15), _circle(x, y, -0.32, -0.66, 0.10))
    return crescent, [(craters, SHADE, False)]


def flower(x, y):
    petals = [_circle(x, y, 0.60 * cx, 0.60 * cy, 0.42) for cx, cy in scenes._ring([1.0] * 5)]
    middle = _circle(x, y, 0.0, 0.0, 0.34)
    return _union(middle, *petals), [(middle, WOOD, False), (_circle(x, y, 0.0, 0.0, 0.23), LAMP, False)]


def cloud(x, y):
    puffs = _union(_circle(x, y, -0.52, 0.22, 0.50), _circle(x, y, -0.02, -0.24, 0.64), _circle(x, y, 0.54, 0.24, 0.48),
                   _box(x, y, 0.0, 0.44, 0.70, 0.32, 0.28))
    low = 0.48 - y  # its underside lies in the shade
    return puffs, [(torch.maximum(low, puffs), SHADE + 0.14, False)]


def _plain(shape):
    return lambda x, y: (scenes.DISTANCE[shape](x, y), [])


OBJECTS = {shape: _plain(shape) for shape in scenes.DISTANCE}
OBJECTS.update(fish=fish, bird=bird, car=car, boat=boat, tree=tree, house=house, moon=moon, flower=flower, cloud=cloud)
FACING = ("fish", "bird", "car", "boat")  # these look where they go


def measure(shape, turning=False):
    """How far the shape reaches to the left, right, up and down of its centre, in radii; the largest of them if it turns."""
    axis = torch.linspace(-1.3, 1.3, 261)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    inside = OBJECTS[shape](x, y)[0] < 0
    if turning:
        return (float(torch.sqrt(x * x + y * y)[inside].max()),) * 4
    return float(-x[inside].min()), float(x[inside].max()), float(-y[inside].min()), float(y[inside].max())
