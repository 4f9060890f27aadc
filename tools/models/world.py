# SPDX-License-Identifier: LGPL-2.1-or-later
"""The world the embedded model knows: its vocabulary of things, and scenes drawn from it.

One object a scene.  A scene is a small dict of words (shape, colour, size, motion, background) and a
seed for the free rest (where exactly the object stands).  `scenes.draw` turns scenes into clips,
`captions.caption` turns them into English.  About 15 % of all combinations of shape, colour, motion and
background are held out by a hash: they never appear in training and are what the model is judged on.
"""
import hashlib
import random

SHAPES = ("ball", "square", "triangle", "star", "heart")
COLOURS = {
    "red": (0.88, 0.13, 0.13),
    "green": (0.10, 0.62, 0.18),
    "blue": (0.14, 0.30, 0.90),
    "yellow": (0.98, 0.86, 0.12),
    "white": (0.97, 0.97, 0.97),
    "purple": (0.55, 0.18, 0.75),
    "orange": (0.98, 0.52, 0.08),
    "pink": (0.98, 0.50, 0.72),
}
SIZES = {"small": 0.20, "": 0.245, "large": 0.30}  # radius as a share of the clip's smaller side
MOTIONS = ("left", "right", "up", "down", "bounce", "still", "spin", "grow", "shrink")
BACKGROUNDS = (
    "grass", "snow", "night", "sand", "water", "sunset", "plain white", "plain black", "plain gray",
    "plain blue",
)
HELD_OUT_SHARE = 0.15
FRAMES, SIDE, FPS = 17, 96, 8  # of a clip, unless told otherwise


def possible(scene):
    """A ball cannot be seen to spin; everything else goes together (objects have a dark outline)."""
    return not (scene["shape"] == "ball" and scene["motion"] == "spin")


def held_out(scene):
    """True for the combinations which training never sees (stable over runs and machines)."""
    words = "|".join(scene[k] for k in ("shape", "colour", "motion", "background"))
    digest = hashlib.sha256(words.encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def combinations():
    """Every possible scene without its seed, in a fixed order."""
    for shape in SHAPES:
        for colour in COLOURS:
            for size in SIZES:
                for motion in MOTIONS:
                    for background in BACKGROUNDS:
                        scene = dict(
                            shape=shape, colour=colour, size=size, motion=motion,
                            background=background,
                        )
                        if possible(scene):
                            yield scene


def sample_scenes(count, seed, part="train"):
    """`count` scenes, combinations shuffled and gone through in turn, so that all are seen alike."""
    want = part == "held-out"
    pool = [s for s in combinations() if held_out(s) == want]
    rng = random.Random(f"{part}-{seed}")
    scenes = []
    while len(scenes) < count:
        rng.shuffle(pool)
        for scene in pool[: count - len(scenes)]:
            scenes.append(dict(scene, seed=rng.getrandbits(31)))
    return scenes
