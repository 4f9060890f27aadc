# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the worlds of tiers 2 and 3, and that tier 1 is what it was.

    python -m unittest test_tiers
"""
import collections
import hashlib
import itertools
import json
import pathlib
import random
import unittest

import sentencepiece
import torch
import torch.nn.functional as F

import captions
import captions2
import common
import scenes2
import styles
import tiers
import world
import world2

torch.set_num_threads(1)
common.keep_memory()  # half of the time else
TOKENIZER = pathlib.Path(__file__).parents[2] / "models" / "sora-shapes-1" / "tokenizer" / "spiece.model"
LEAST = 24  # pixels across, of any object at 96x96


def thing(shape, motion="still", size="", colour="red"):
    return dict(shape=shape, colour=colour, size=size, motion=motion)


def scene(*things, relation="", background="plain gray", style="", seed=1):
    return dict(objects=list(things), relation=relation, background=background, style=style, seed=seed)


def extent(cover):
    """The width and height in pixels of what covers more than half of a pixel: cover [H, W]."""
    seen = cover > 0.5
    return int(seen.any(0).sum()), int(seen.any(1).sum())


class Tier1(unittest.TestCase):
    """The training under way, the goldens and the shipped model's figures stand on these."""

    def test_scenes_and_captions_are_what_they_were(self):
        digests = []
        for part in ("train", "held-out"):
            scenes = tiers.of(1).sample(300, 11, part)
            for said in (scenes, tiers.of(1).captions_for(scenes, 11, 8)):
                digests.append(hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16])
        self.assertEqual(digests, ["27e3bd2f9d64c9a3", "f185ac4e9dc6e21e", "dc936e25b609c087", "cbeccf77635912e7"])

    def test_labels(self):
        one = tiers.of(1).sample(1, 1)[0]
        self.assertEqual(tiers.of(1).labels(one), [one[k] for k in ("shape", "colour", "size", "motion", "background")])

    def test_no_other_tier(self):
        with self.assertRaisesRegex(ValueError, "there is no tier 4; there are 1, 2, 3"):
            tiers.of(4)


class Sampling(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.train = world2.sample_styled(6000, 1)
        cls.held = world2.sample_styled(2000, 1, "held-out")

    def test_is_repeatable_and_depends_on_its_seed(self):
        self.assertEqual(world2.sample_styled(50, 1), self.train[:50])
        self.assertNotEqual(world2.sample_styled(50, 2), self.train[:50])

    def test_has_all_there_is(self):
        for scenes in (self.train, self.held):
            things = [o for s in scenes for o in s["objects"]]
            for kind, values in (("shape", world2.SHAPES), ("colour", tuple(world2.COLOURS)), ("size", world2.SIZES),
                                 ("motion", world.MOTIONS)):
                self.assertEqual({o[kind] for o in things}, set(values))
            self.assertEqual({s["relation"] for s in scenes}, {"", *world2.RELATIONS})
            self.assertEqual({s["background"] for s in scenes}, set(world2.BACKGROUNDS))
            self.assertEqual({o["motion"] for o in things if o["shape"] == "tree"}, {"still", "grow", "shrink"})

    def test_counts_and_styles_are_even(self):
        seen = collections.Counter((len(s["objects"]), s["style"]) for s in self.train)
        self.assertEqual(len(seen), 12)
        self.assertEqual(set(seen.values()), {500})

    def test_all_are_possible(self):
        for s in self.train + self.held:
            self.assertTrue(world2.possible(s), s)
            self.assertEqual(len({o["colour"] for o in s["objects"]}), len(s["objects"]))

    def test_tier_2_has_no_styles(self):
        self.assertEqual({s["style"] for s in world2.sample_scenes(200, 1)}, {""})

    def test_labels_are_among_their_kinds(self):
        for number in (2, 3):
            tier = tiers.of(number)
            for s in tier.sample(300, 4):
                labels = tier.labels(s)
                self.assertEqual(len(labels), len(tier.kinds))
                for value, values in zip(labels, tier.kinds.values()):
                    self.assertIn(value, values)


class HeldOut(unittest.TestCase):
    def test_what_tier_1_holds_out_is_held_out(self):
        for one in itertools.islice(world.combinations(), 0, None, 7):
            words = {k: one[k] for k in ("shape", "colour", "size", "motion")}
            for style in ("", *world2.STYLES):
                self.assertEqual(world2.held_out(scene(words, background=one["background"], style=style)), world.held_out(one))

    def test_a_couple_is_held_out_whoever_comes_first_and_whatever_it_does(self):
        rng = random.Random(1)
        for _ in range(300):
            s = world2.two(rng)
            turned = scene(*[dict(o, motion="grow", size="") for o in s["objects"][::-1]], relation="above", background="snow")
            self.assertEqual(world2.held_out(s), world2.held_out(turned))

    def test_no_couple_is_in_both_parts(self):
        def couples(part):
            return {frozenset((o["colour"], o["shape"]) for o in s["objects"])
                    for s in world2.sample_styled(6000, 1, part) if len(s["objects"]) == 2}
        self.assertFalse(couples("train") & couples("held-out"))

    def test_it_is_15_per_cent_of_either_kind(self):
        things = list(itertools.product(world2.SHAPES, world2.COLOURS))
        couples = [scene(thing(a, colour=c), thing(b, colour=d), relation="beside")
                   for (a, c), (b, d) in itertools.combinations_with_replacement(things, 2) if c != d]
        ones = [scene(thing(a, motion, colour=c), background=b)
                for a, c in things for motion in world2.MAY[a] for b in world2.BACKGROUNDS]
        for some in (couples, ones):
            self.assertAlmostEqual(sum(map(world2.held_out, some)) / len(some), 0.15, delta=0.01)


class Drawing(unittest.TestCase):
    def test_none_is_under_24_pixels(self):
        """Every object that there may be, as small as it gets, alone and in front of another."""
        for shape in world2.SHAPES:
            some = [scene(thing(shape, m, s)) for m in world2.MAY[shape] for s in world2.SIZES]
            least = min(min(extent(c)) for clip in scenes2.cover(some, 9) for c in clip[0])
            self.assertGreaterEqual(least, LEAST, shape)
        for s, clip in zip(*self.pairs(300, 3, 5)):
            if s["relation"] != "in front of":
                for o, cover in zip(s["objects"], clip):
                    self.assertGreaterEqual(min(min(extent(c)) for c in cover), LEAST, o)
            else:
                self.assertGreaterEqual(min(min(extent(c)) for c in clip[0]), LEAST, s)

    @staticmethod
    def pairs(count, seed, frames):
        some = [s for s in world2.sample_scenes(count, seed) if s["relation"]]
        return some, scenes2.cover(some, frames)

    def test_two_are_told_apart(self):
        """They do not touch, unless one is in front of the other: then they do, and what is behind is seen."""
        for s, (first, second) in zip(*self.pairs(240, 5, 17)):
            touch = (F.max_pool2d(first[:, None], 3, 1, 1)[:, 0] * F.max_pool2d(second[:, None], 3, 1, 1)[:, 0]).amax()
            if s["relation"] == "in front of":
                self.assertGreater(float(touch), 0, s)
                whole = scenes2.cover([dict(s, relation="", objects=[dict(s["objects"][1], size="")])], 1)[0, 0, 0].sum()
                share = second.sum((1, 2)) / (whole * (scenes2.BEHIND / world.SIZES[""]) ** 2)
                self.assertGreater(float(share.min()), 0.6, s)
            else:
                self.assertEqual(float(touch), 0, s)

    def test_none_leaves_the_picture(self):
        cover = scenes2.cover(world2.sample_scenes(200, 7), 17).amax((1, 2))
        cover[:, 1:-1, 1:-1] = 0
        self.assertEqual(float(cover.max()), 0)

    def test_the_relation_is_what_it_says(self):
        for s, (first, second) in zip(*self.pairs(300, 6, 5)):
            grid = (torch.arange(96) + 0.5) / 96
            (x1, y1), (x2, y2) = (((c.sum(1) * grid).sum(1) / c.sum((1, 2)), (c.sum(2) * grid).sum(1) / c.sum((1, 2)))
                                  for c in (first, second))
            if s["relation"] == "above":
                self.assertTrue((y1 < y2).all(), s)
            elif s["relation"] == "in front of":
                self.assertTrue((y1 > y2).all(), s)
            else:
                self.assertTrue((x1 < x2).all(), s)

    def test_what_is_still_stands_still_in_every_style(self):
        looks = zip(world2.SHAPES, itertools.cycle(world2.BACKGROUNDS), itertools.cycle(("",) + world2.STYLES))
        some = [scene(thing(shape, size="large"), background=back, style=style) for shape, back, style in looks]
        clips = scenes2.draw(some, 3)
        self.assertTrue(torch.equal(clips[:, :, 0], clips[:, :, 2]))

    def test_a_clip_does_not_depend_on_what_is_drawn_beside_it(self):
        some = world2.sample_styled(24, 9)
        together = scenes2.draw(some, 3)
        alone = torch.cat([scenes2.draw([s], 3) for s in some])
        self.assertLess(float((together - alone).abs().max()), 1e-5)

    def test_is_antialiased(self):
        clips = scenes2.draw([scene(thing("ball", colour="white"), background="plain black")], 1)
        shades = clips[0, 0, 0].unique()
        self.assertGreater(len(shades), 50)
        self.assertTrue(float(clips.min()) >= -1 and float(clips.max()) <= 1)

    def test_a_style_changes_the_whole_look(self):
        """Background and object both differ from those of every other style."""
        for one in world2.sample_scenes(10, 12):
            clips = scenes2.draw([dict(one, style=style) for style in ("",) + world2.STYLES], 1)[:, :, 0]
            cover = scenes2.cover([one], 1)[0, :, 0].amax(0)
            for a, b in itertools.combinations(clips, 2):
                apart = (a - b).abs().mean(0)
                self.assertGreater(float((apart * cover).sum() / cover.sum()), 0.05)
        for name in world2.BACKGROUNDS[:6]:  # a plain sheet is a plain sheet in pixel art, too
            pictures = [styles.background(style, name, 96, 96) for style in ("",) + world2.STYLES]
            for a, b in itertools.combinations(pictures, 2):
                self.assertGreater(float((a - b).abs().max()), 0.05, name)

    def test_pixel_art_is_made_of_blocks(self):
        clips = scenes2.draw([dict(s, style="pixel art") for s in world2.sample_scenes(6, 3)], 2)
        blocks = clips.unflatten(4, (32, 3)).unflatten(3, (32, 3))
        self.assertTrue(torch.equal(blocks, blocks[..., :1, :, :1].expand_as(blocks)))

    def test_other_sizes(self):
        some = world2.sample_styled(24, 3)
        self.assertEqual(scenes2.draw(some, 2, 48, 64).shape, (24, 3, 2, 48, 64))
        self.assertEqual(tiers.of(3).cover(some, 2, 48, 64).shape, (24, 2, 48, 64))


class Wording(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rng = random.Random(3)
        cls.scenes = world2.sample_styled(3000, 2)
        cls.said = [captions2.caption(s, rng) for s in cls.scenes]

    def test_names_everything(self):
        for s, text in zip(self.scenes, self.said):
            low = text.lower()
            for o in s["objects"]:
                self.assertIn(o["colour"], low)
                self.assertTrue(any(f"{o['colour']} {w}" in low for w in captions2.SHAPE_WORDS[o["shape"]]), text)
                if o["size"]:
                    self.assertTrue(any(w in low for w in captions.SIZE_WORDS[o["size"]]), text)
            self.assertTrue(any(w in low for w in captions.PLACE[s["background"]]), text)
            if s["style"]:
                self.assertTrue(any(w in low for side in captions2.STYLE[s["style"]] for w in side), text)
            if s["relation"] in ("left of", "above", "in front of"):
                self.assertTrue(any(f" {w} " in low for side in captions2.RELATION[s["relation"]] for w in side), text)

    def test_the_relation_is_said_the_right_way_round(self):
        for s, text in zip(self.scenes, self.said):
            if s["relation"] not in ("left of", "above", "in front of"):
                continue
            low = text.lower()
            first, second = (min(low.index(f"{o['colour']} {w}") for w in captions2.SHAPE_WORDS[o["shape"]]
                                 if f"{o['colour']} {w}" in low) for o in s["objects"])
            between = low[min(first, second):max(first, second)]
            words = captions2.RELATION[s["relation"]][0 if first < second else 1]
            self.assertTrue(any(f" {w} " in between for w in words), text)

    def test_is_varied(self):
        rng = random.Random(1)
        for s in self.scenes[:12]:
            self.assertGreater(len({captions2.caption(s, rng) for _ in range(100)}), 60, s)

    def test_everything_that_may_be_done_can_be_said(self):
        rng = random.Random(1)
        for shape, motions in world2.MAY.items():
            for motion in motions:
                for _ in range(50):
                    third, participle = captions2.verb(thing(shape, motion), rng)
                    self.assertTrue(third and participle)
                    self.assertNotIn("{", third + participle)
                    self.assertTrue(captions2.plural(captions2.plain_verb(motion, rng)[0]))

    def test_fits_the_tokens_and_has_no_unknown_ones(self):
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER))
        rows = [pieces.encode(text) + [1] for text in self.said]
        self.assertLessEqual(max(map(len, rows)), tiers.of(3).length)
        self.assertFalse([text for text, row in zip(self.said, rows) if pieces.unk_id() in row])

    def test_captions_for_is_seeded(self):
        some = self.scenes[:10]
        self.assertEqual(tiers.of(3).captions_for(some, 4, 3), tiers.of(3).captions_for(some, 4, 3))
        self.assertNotEqual(tiers.of(3).captions_for(some, 4, 3), tiers.of(3).captions_for(some, 5, 3))


if __name__ == "__main__":
    unittest.main()
