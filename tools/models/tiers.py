# SPDX-License-Identifier: LGPL-2.1-or-later
"""The worlds by tier: what a stage that draws, trains or grades needs to know of one, behind the same names.

Tier 1 is world.py, scenes.py and captions.py as they are, to the bit.  Tiers 2 and 3 are world2.py, scenes2.py and
captions2.py, whose scenes have a list of objects.  `of(number)` gives a tier; `add_option(parser)` gives a tool `--tier`.
"""
import dataclasses
import typing

import captions
import captions2
import scenes
import scenes2
import world
import world2


@dataclasses.dataclass(frozen=True)
class Tier:
    """One tier: `sample(count, seed, part)` gives scenes, `draw` and `cover` ([N, frames, H, W], all objects together) draw them,
    `caption(scene, rng)` and `captions_for` say them; `kinds` are a scene's attributes and their values, `labels(scene)` the
    scene's own, in the same order; `length` is that of its captions, in tokens."""
    number: int
    sample: typing.Callable
    draw: typing.Callable
    cover: typing.Callable
    caption: typing.Callable
    captions_for: typing.Callable
    kinds: dict
    labels: typing.Callable
    length: int


_KINDS = dict(shape=world.SHAPES, colour=tuple(world.COLOURS), size=tuple(world.SIZES), motion=world.MOTIONS,
              background=world.BACKGROUNDS)
_FIRST = dict(shape=world2.SHAPES, colour=tuple(world2.COLOURS), size=world2.SIZES, motion=world.MOTIONS)
_SECOND = {f"{kind} of the second": values + ("none",) for kind, values in _FIRST.items()}
_KINDS_2 = dict(_FIRST, **_SECOND, relation=("",) + world2.RELATIONS, background=world2.BACKGROUNDS)
_KINDS_3 = dict(_KINDS_2, style=("",) + world2.STYLES)


def _labels_1(scene):
    return [scene[kind] for kind in _KINDS]


def _labels_2(scene):
    things = scene["objects"]
    second = [things[1][kind] for kind in _FIRST] if len(things) > 1 else ["none"] * len(_FIRST)
    return [things[0][kind] for kind in _FIRST] + second + [scene["relation"], scene["background"]]


def _labels_3(scene):
    return _labels_2(scene) + [scene["style"]]


def _cover_2(batch, *size):
    return scenes2.cover(batch, *size).amax(1)


_TIERS = {
    1: Tier(1, world.sample_scenes, scenes.draw, scenes.cover, captions.caption, captions.captions_for, _KINDS, _labels_1, 26),
    2: Tier(2, world2.sample_scenes, scenes2.draw, _cover_2, captions2.caption, captions2.captions_for, _KINDS_2, _labels_2, 64),
    3: Tier(3, world2.sample_styled, scenes2.draw, _cover_2, captions2.caption, captions2.captions_for, _KINDS_3, _labels_3, 64),
}


def of(number):
    """The tier of that number: 1, 2 or 3."""
    if number not in _TIERS:
        raise ValueError(f"there is no tier {number!r}; there are {', '.join(map(str, _TIERS))}")
    return _TIERS[number]


def add_option(parser):
    """`--tier N` for a tool; it is tier 1 unless told otherwise."""
    parser.add_argument("--tier", type=int, choices=tuple(_TIERS), default=1,
                        help="the world: 1, five shapes; 2, fourteen objects and two in a scene; 3, in five styles as well")
