# SPDX-License-Identifier: LGPL-2.1-or-later
"""Says a scene of tiers 2 and 3 in English.

Every caption names each object's colour and shape and what it does, the background, where the two are to each other, and
the style, if there is one; a size only where it is not the middle one.  "Beside" and "and" name the left object first, as the
scene does; the other relations are said from either side.  `caption(scene, rng)` draws one wording.
"""
import random

import captions

SHAPE_WORDS = dict(
    captions.SHAPE_WORDS, fish=["fish"], bird=["bird", "bird", "songbird"], car=["car", "car", "automobile"],
    boat=["boat", "boat", "sailing boat", "sailboat"], tree=["tree"], house=["house", "house", "cottage"],
    moon=["moon", "moon", "crescent moon"], flower=["flower", "flower", "blossom"], cloud=["cloud"])

# What the objects do in words of their own: (third person, participle); {way} is one of captions.DIRECTION.
OWN = {
    "ball": {"left": [("rolls {way}", "rolling {way}")], "right": [("rolls {way}", "rolling {way}")]},
    "fish": {m: [("swims {way}", "swimming {way}")] for m in ("left", "right", "up", "down")}
            | {"bounce": [("leaps up and down", "leaping up and down")]},
    "bird": {m: [("flies {way}", "flying {way}")] for m in ("left", "right", "up", "down")}
            | {"bounce": [("hops up and down", "hopping up and down")], "still": [("hovers in place", "hovering in place")]},
    "car": {m: [("drives {way}", "driving {way}"), ("rolls {way}", "rolling {way}")] for m in ("left", "right")}
           | {"still": [("is parked", "parked"), ("stands still", "standing still")]},
    "boat": {m: [("sails {way}", "sailing {way}")] for m in ("left", "right")}
            | {"still": [("lies still", "lying still")]},
    "moon": {"up": [("rises", "rising")], "down": [("sets", "setting")]},
    "cloud": {m: [("drifts {way}", "drifting {way}"), ("floats {way}", "floating {way}")]
              for m in ("left", "right", "up", "down")} | {"still": [("hangs still", "hanging still")]},
    "flower": {"down": [("floats down", "floating down")]},
}
PLAIN = {"left": captions.SIDEWAYS[:5], "right": captions.SIDEWAYS[:5], "up": captions.UPRIGHT[:3] + captions.UPRIGHT[4:],
         "down": captions.UPRIGHT[:3] + captions.UPRIGHT[4:]}
# Of two things: (plural, participle), with the words that a single thing has no use for.
SAYS_IT = {"moves": "move", "slides": "slide", "glides": "glide", "drifts": "drift", "flies": "fly", "goes": "go",
           "floats": "float", "rises": "rise", "climbs": "climb", "falls": "fall", "sinks": "sink", "stands": "stand",
           "is": "are", "does": "do", "stays": "stay", "rests": "rest", "spins": "spin", "rotates": "rotate",
           "turns": "turn", "bounces": "bounce", "jumps": "jump", "hops": "hop", "grows": "grow", "gets": "get",
           "shrinks": "shrink", "becomes": "become"}
RELATION = {  # as said from the first object, and from the second
    "beside": (["beside", "next to", "side by side with"], []),
    "left of": (["to the left of", "left of", "on the left of"], ["to the right of", "right of", "on the right of"]),
    "above": (["above", "above", "over"], ["below", "below", "under", "beneath"]),
    "in front of": (["in front of", "in front of", "before"], ["behind"]),
}
STYLE = {  # what a sentence may end in, and what it may begin with
    "outline": (["in outline", "as an outline drawing", "as a line drawing", "drawn in outlines"],
                ["an outline drawing of", "a line drawing of", "an outline of"]),
    "pixel art": (["in pixel art", "as pixel art", "in pixel art style", "made of pixels"],
                  ["pixel art of", "a pixel art picture of", "a pixel art video of"]),
    "neon": (["as a neon drawing", "in neon", "in glowing neon", "in neon light", "as a neon sign"],
             ["a neon drawing of", "a glowing neon sign of", "a neon picture of"]),
    "pastel": (["in pastel", "in pastel colours", "in soft pastel colors", "as a pastel drawing"],
               ["a pastel drawing of", "a soft pastel picture of", "a pastel painting of"]),
    "watercolour": (["in watercolour", "in watercolor", "as a watercolour", "painted in watercolour", "as a watercolor painting"],
                    ["a watercolour of", "a watercolor painting of", "a watercolour painting of"]),
}


def verb(thing, rng):
    """What one object does: third person and participle."""
    motion, own = thing["motion"], OWN.get(thing["shape"], {}).get(thing["motion"], [])
    if own and rng.random() < 0.5:
        pair = rng.choice(own)
        way = rng.choice(captions.DIRECTION[motion]) if motion in captions.DIRECTION else ""
        return tuple(w.format(way=way) for w in pair)
    return plain_verb(motion, rng)


def plain_verb(motion, rng):
    """What anything may do."""
    if motion in captions.WHOLE and (motion not in captions.DIRECTION or rng.random() < 0.3):
        return rng.choice(captions.WHOLE[motion])
    third, participle = rng.choice(PLAIN[motion])
    way = rng.choice(captions.DIRECTION[motion])
    return f"{third} {way}", f"{participle} {way}"


def plural(third):
    """The same of two: "moves left" -> "move left"."""
    first, _, rest = third.partition(" ")
    return f"{SAYS_IT[first]} {rest}".strip()


def noun(thing, rng):
    """The object as it is called in this caption: size, colour and shape."""
    size = rng.choice(captions.SIZE_WORDS[thing["size"]]) if thing["size"] else ""
    return " ".join(w for w in (size, thing["colour"], rng.choice(SHAPE_WORDS[thing["shape"]])) if w)


def with_article(name, article):
    return f"{'an' if article == 'a' and name[0] in 'aeiou' else article} {name}".strip()


def _one(scene, rng):
    """A whole sentence and a phrase that may follow "a drawing of"."""
    thing = scene["objects"][0]
    name = with_article(noun(thing, rng), rng.choice(["a", "a", "a", "the", "one", ""]))
    third, participle = verb(thing, rng)
    place = rng.choice(captions.PLACE[scene["background"]])
    words = dict(thing=name, third=third, participle=participle, place=place)
    whole = rng.choice(["{thing} {third} {place}", "{thing} {third} {place}", "{thing} {place} {third}",
                        "{place}, {thing} {third}", "there is {thing} {participle} {place}"])
    phrase = rng.choice(["{thing} {participle} {place}", "{thing} {participle} {place}", "{thing}, {participle}, {place}",
                         "{thing} {place}, {participle}"])
    return whole.format(**words), phrase.format(**words)


def _alike(names, rel, motion, rng):
    third, participle = plain_verb(motion, rng)
    words = dict(a=names[0], b=names[1], rel=rel, plural=plural(third), participle=participle, place="{place}")
    whole = ["{a} {rel} {b}, both {participle} {place}", "{a} {rel} {b}: both {plural} {place}",
             "{place}, {a} {rel} {b}: they {plural}"]
    phrase = ["{a} {rel} {b}, both {participle} {place}", "{a} {rel} {b} {place}, both {participle}"]
    if rel in RELATION["beside"][0]:
        whole += ["{a} and {b} {plural} {place}", "{a} and {b} {plural} {place}", "{place}, {a} and {b} {plural}",
                  "{a} and {b} {plural} side by side {place}"]
        phrase += ["{a} and {b} {participle} {place}", "{a} and {b}, both {participle}, {place}"]
    return rng.choice(whole).format(**words), rng.choice(phrase).format(**words)


def _each(names, things, rel, short, rng):
    (third, participle), (third2, participle2) = (verb(o, rng) for o in things)
    words = dict(a=names[0], b=names[1], rel=rel, third=third, participle=participle, third2=third2, participle2=participle2,
                 s=short[0], s2=short[1], place="{place}")
    whole = ["{a} {third} {rel} {b} that {third2}, {place}", "{a} {rel} {b} {place}: {s} {third} and {s2} {third2}",
             "{place}, {a} {third} {rel} {b} which {third2}", "{a} {rel} {b}, {s} {third}, {s2} {third2}, {place}"]
    phrase = ["{a} {participle} {rel} {b} {participle2}, {place}", "{a} {rel} {b} {place}, {s} {participle}, {s2} {participle2}"]
    if rel in RELATION["beside"][0]:
        whole += ["{a} {third} and {b} {third2} {place}", "{place}, {a} {third} while {b} {third2}"]
        phrase += ["{a} {participle} and {b} {participle2} {place}"]
    return rng.choice(whole).format(**words), rng.choice(phrase).format(**words)


def _two(scene, rng):
    things = scene["objects"]
    forward, backward = RELATION[scene["relation"]]
    rel = rng.choice(forward)
    if backward and rng.random() < 0.4:
        things, rel = things[::-1], rng.choice(backward)
    names = [with_article(noun(o, rng), article) for o, article in zip(things, rng.choice(["aa", "aa", "aa", "tt", "11"]))]
    names = [n.replace("t ", "the ", 1) if n.startswith("t ") else n.replace("1 ", "one ", 1) if n.startswith("1 ") else n
             for n in names]
    short = [f"the {o['shape']}" for o in things]
    if things[0]["shape"] == things[1]["shape"] or rng.random() < 0.3:
        short = [f"the {o['colour']} one" for o in things]
    if things[0]["motion"] == things[1]["motion"]:
        said = _alike(names, rel, things[0]["motion"], rng)
    else:
        said = _each(names, things, rel, short, rng)
    place = rng.choice(captions.PLACE[scene["background"]])
    return tuple(s.format(place=place) for s in said)


def caption(scene, rng):
    """One wording of the scene; `rng` is a random.Random."""
    whole, phrase = (_one if len(scene["objects"]) == 1 else _two)(scene, rng)
    if scene["style"]:
        after, before = STYLE[scene["style"]]
        kind = rng.random()
        if kind < 0.45:
            text = f"{rng.choice(before)} {phrase}"
        elif kind < 0.85:
            text = f"{whole}, {rng.choice(after)}"
        else:
            text = f"{rng.choice(after)}, {whole}"
    else:
        text = rng.choice([whole, whole, whole, phrase, f"a video of {phrase}"])
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.25:
        text += "."
    return text


def captions_for(scenes, seed, each=1):
    """`each` wordings for every scene, seeded."""
    rng = random.Random(f"captions-2-{seed}")
    return [[caption(s, rng) for _ in range(each)] for s in scenes]
