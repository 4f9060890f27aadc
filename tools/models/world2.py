# SPDX-License-Identifier: LGPL-2.1-or-later
"""The worlds of tiers 2 and 3: more objects, two of them in a scene, and (tier 3) styles.

A scene is a dict: `objects` (one, or two; each with shape, colour, size and motion), `relation` ("" for one object),
`background`, `style` ("" in all of tier 2) and `seed`.  Of two objects the first is always the one on the left,
above or in front, so that "first" means the same to whoever draws, says, learns or grades.  Two objects never share a colour:
which colour belongs to which object is what the tier asks.

Held out are 15 % of the combinations of shape, colour, motion and background for one object (by tier 1's own rule, so
that nothing which tier 1 holds out is ever trained on), and 15 % of the couples of a coloured shape with another, whatever they do:
a red ball with a blue star is then never seen together at all.  A style is no part of it: what is held out is so in every style.
"""
import hashlib
import random

import world

COLOURS, BACKGROUNDS, HELD_OUT_SHARE = world.COLOURS, world.BACKGROUNDS, world.HELD_OUT_SHARE
SIZES = tuple(world.SIZES)

# What an object may do is what one would draw it doing.  What stands on the ground (tree, house) does not leave it, and
# does not turn over; a car and a boat go along it; what flies or swims may also go up and down; only toys and what can leap
# bounce; only what has no upright spins, and a ball's turning cannot be seen.
_ANY = world.MOTIONS
_PLACED = ("still", "grow", "shrink")
_GOING = ("left", "right") + _PLACED
_FLYING = ("left", "right", "up", "down") + _PLACED
MAY = {
    "ball": tuple(m for m in _ANY if m != "spin"), "square": _ANY, "triangle": _ANY, "star": _ANY, "heart": _ANY,
    "fish": _FLYING + ("bounce",), "bird": _FLYING + ("bounce",), "car": _GOING, "boat": _GOING, "tree": _PLACED,
    "house": _PLACED, "moon": _FLYING, "flower": _FLYING + ("spin",), "cloud": _FLYING,
}
SHAPES = tuple(MAY)
# What the first is to the second; "beside" is on its left, but nobody says so.
RELATIONS = ("beside", "left of", "above", "in front of")
STYLES = ("outline", "pixel art", "neon", "pastel", "watercolour")

# Of two objects.  They may go along the line between them only together, one behind the other; else each has half of the picture.
# What stands behind another stands still, and is hidden by it in part; what is in front may pass by.
ALONG = {"beside": ("left", "right"), "left of": ("left", "right"), "above": ("up", "down", "bounce"), "in front of": ()}
PASSING = ("left", "right", "still")
PAIR_SIZES = (("", ""), ("", ""), ("", ""), ("small", "large"), ("large", "small"), ("small", ""), ("", "small"))


def convoy(scene):
    """Two objects that go one behind the other."""
    first, second = (o["motion"] for o in scene["objects"])
    return first == second and first in ALONG[scene["relation"]]


def possible(scene):
    """Whether everything in the scene may do what it does, and there is room for it."""
    objects, relation = scene["objects"], scene["relation"]
    if any(o["motion"] not in MAY[o["shape"]] for o in objects):
        return False
    if len(objects) == 1:
        return relation == ""
    first, second = objects
    if first["colour"] == second["colour"] or (first["size"], second["size"]) not in PAIR_SIZES:
        return False
    plain_sizes = (first["size"], second["size"]) == ("", "")
    if relation == "in front of":
        return plain_sizes and first["motion"] in PASSING and second["motion"] == "still"
    moving = [o["motion"] in ALONG[relation] for o in objects]
    if any(moving) and (not convoy(scene) or first["motion"] == "bounce"):
        return False
    # A convoy needs the room, and what changes its size is neither small nor large.
    plain = all(moving) or any(o["motion"] in ("grow", "shrink") for o in objects)
    return not plain or plain_sizes


def held_out(scene):
    """True for what training never sees (stable over runs and machines)."""
    objects = scene["objects"]
    if len(objects) == 1:
        return world.held_out(dict(objects[0], background=scene["background"]))
    words = "|".join(sorted(f"{o['colour']} {o['shape']}" for o in objects))
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big") < HELD_OUT_SHARE * 2**32


def one(rng):
    """A scene of one object, without style and seed; possible or not."""
    shape = rng.choice(SHAPES)
    thing = dict(shape=shape, colour=rng.choice(tuple(COLOURS)), size=rng.choice(SIZES), motion=rng.choice(MAY[shape]))
    return dict(objects=[thing], relation="", background=rng.choice(BACKGROUNDS))


def two(rng):
    """A scene of two objects, without style and seed; possible or not.  Unless one is in front of the other, a fifth go one behind
    the other, and half do not move alike."""
    relation, kind = rng.choice(RELATIONS), rng.random()
    free = [m for m in world.MOTIONS if m not in ALONG[relation]]
    if relation == "in front of":
        motions, plain = (rng.choice(PASSING), "still"), True
    else:
        first = rng.choice(ALONG[relation][:2] if kind < 0.2 else free)
        motions = (first, first if kind < 0.5 else rng.choice(free))
        plain = kind < 0.2 or "grow" in motions or "shrink" in motions
    sizes = PAIR_SIZES[0] if plain else rng.choice(PAIR_SIZES)
    things = []
    for motion, size, colour in zip(motions, sizes, rng.sample(tuple(COLOURS), 2)):
        shape = rng.choice([s for s in SHAPES if motion in MAY[s]])
        things.append(dict(shape=shape, colour=colour, size=size, motion=motion))
    return dict(objects=things, relation=relation, background=rng.choice(BACKGROUNDS))


def sample_scenes(count, seed, part="train", styles=("",)):
    """`count` scenes, one object and two in turn, all styles alike."""
    rng = random.Random(f"{part}-{seed}-tier-{2 if styles == ('',) else 3}")
    scenes = []
    while len(scenes) < count:
        scene = (one if len(scenes) % 2 == 0 else two)(rng)
        if possible(scene) and held_out(scene) == (part == "held-out"):
            scenes.append(dict(scene, style=styles[len(scenes) // 2 % len(styles)], seed=rng.getrandbits(31)))
    return scenes


def sample_styled(count, seed, part="train"):
    """Tier 3: a sixth of the scenes in no style, as in tier 2."""
    return sample_scenes(count, seed, part, ("",) + STYLES)
