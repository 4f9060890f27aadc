# SPDX-License-Identifier: LGPL-2.1-or-later
"""Says a scene in English: a small grammar with synonyms, several orders and both spellings.

Every caption names colour, shape, motion and background; a size only where it is not the middle one.
`caption(scene, rng)` draws one wording.
"""
import random

SHAPE_WORDS = {
    "ball": ["ball", "ball", "ball", "sphere", "circle"],
    "square": ["square", "square", "square", "box", "cube"],
    "triangle": ["triangle"],
    "star": ["star"],
    "heart": ["heart"],
}
SIZE_WORDS = {"small": ["small", "small", "little", "tiny"], "large": ["large", "large", "big", "huge"]}
DIRECTION = {
    "left": ["left", "to the left", "to the left", "leftwards", "from right to left"],
    "right": ["right", "to the right", "to the right", "rightwards", "from left to right"],
    "up": ["up", "upwards", "to the top", "from the bottom to the top"],
    "down": ["down", "downwards", "to the bottom", "from the top to the bottom"],
}
# (third person, participle); rolling is for balls, falling and rising say their own direction.
SIDEWAYS = [("moves", "moving"), ("moves", "moving"), ("slides", "sliding"), ("glides", "gliding"),
            ("drifts", "drifting"), ("flies", "flying"), ("goes", "going")]
UPRIGHT = [("moves", "moving"), ("moves", "moving"), ("floats", "floating"), ("flies", "flying"),
           ("drifts", "drifting"), ("goes", "going")]
WHOLE = {
    "up": [("rises", "rising"), ("climbs up", "climbing up")],
    "down": [("falls", "falling"), ("falls down", "falling down"), ("sinks", "sinking")],
    "still": [("stands still", "standing still"), ("is still", "still"), ("does not move", "not moving"),
              ("stays in place", "staying in place"), ("rests", "resting")],
    "spin": [("spins", "spinning"), ("spins", "spinning"), ("rotates", "rotating"),
             ("turns around", "turning around"), ("spins around", "spinning around")],
    "bounce": [("bounces", "bouncing"), ("bounces up and down", "bouncing up and down"),
               ("jumps", "jumping"), ("hops up and down", "hopping up and down")],
    "grow": [("grows", "growing"), ("gets bigger", "getting bigger"), ("grows larger", "growing larger")],
    "shrink": [("shrinks", "shrinking"), ("gets smaller", "getting smaller"),
               ("becomes smaller", "becoming smaller")],
}
PLACE = {
    "grass": ["over green grass", "on green grass", "on the grass", "over grass", "across a green meadow",
              "in a grassy field", "over a green lawn"],
    "snow": ["on snow", "in the snow", "over white snow", "over the snow", "on a snowy field"],
    "night": ["in the night sky", "in a starry night sky", "at night", "under the stars",
              "in front of the night sky", "against a dark starry sky"],
    "sand": ["on sand", "over the sand", "on a sandy beach", "in the desert", "over yellow sand"],
    "water": ["on water", "over blue water", "in the water", "on the sea", "over the ocean"],
    "sunset": ["at sunset", "in front of a sunset", "in the sunset", "against an orange sunset sky"],
    "plain white": ["on a plain white background", "on white", "on a white background"],
    "plain black": ["on a plain black background", "on black", "on a black background"],
    "plain gray": ["on a plain gray background", "on a plain grey background", "on gray", "on grey",
                   "on a gray background", "on a grey background"],
    "plain blue": ["on a plain light blue background", "on light blue", "on a light blue background",
                   "on a pale blue background"],
}


def _verb(scene, rng):
    motion = scene["motion"]
    if motion in WHOLE and (motion not in DIRECTION or rng.random() < 0.3):
        return rng.choice(WHOLE[motion])
    pool = list(SIDEWAYS if motion in ("left", "right") else UPRIGHT)
    if scene["shape"] == "ball" and motion in ("left", "right"):
        pool += [("rolls", "rolling")] * 6
    third, participle = rng.choice(pool)
    where = rng.choice(DIRECTION[motion])
    return f"{third} {where}", f"{participle} {where}"


def caption(scene, rng):
    """One wording of the scene; `rng` is a random.Random."""
    size = rng.choice(SIZE_WORDS[scene["size"]]) if scene["size"] else ""
    words = [size, scene["colour"], rng.choice(SHAPE_WORDS[scene["shape"]])]
    noun = " ".join(w for w in words if w)
    article = rng.choice(["a", "a", "a", "the", "one", ""])
    if article == "a" and noun[0] in "aeiou":
        article = "an"
    thing = f"{article} {noun}".strip()
    third, participle = _verb(scene, rng)
    place = rng.choice(PLACE[scene["background"]])
    text = rng.choice([
        "{thing} {third} {place}", "{thing} {third} {place}", "{thing} {third} {place}",
        "{thing} {participle} {place}", "{thing} {participle} {place}",
        "{thing} {place} {third}", "{place}, {thing} {third}", "{place} {thing} {third}",
        "{thing}, {participle}, {place}", "{thing} {place}, {participle}",
        "a video of {thing} {participle} {place}", "there is {thing} {participle} {place}",
    ]).format(thing=thing, third=third, participle=participle, place=place)
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.25:
        text += "."
    return text


def captions_for(scenes, seed, each=1):
    """`each` wordings for every scene, seeded."""
    rng = random.Random(f"captions-{seed}")
    return [[caption(s, rng) for _ in range(each)] for s in scenes]
