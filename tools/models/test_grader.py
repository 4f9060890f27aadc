# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the grader of tiers 2 and 3 on clips that are known: what it must tell, and what it must not let pass.

    python -m unittest test_grader

Without classifiers, which are not in the tree: styles are given, shapes are left alone.  `eval.grade --truth` tells how
good it is with them.
"""
import unittest

import torch

import common
import scenes2
import styles
import tiers
import world2
from eval import look, look2, parts
from test_tiers import scene, thing

torch.set_num_threads(1)
common.keep_memory()
STYLES = ("",) + world2.STYLES


def seen(some, frames=17):
    found = []
    for i in range(0, len(some), 24):
        clips = (scenes2.draw(some[i:i + 24], frames) + 1) / 2
        found += [look2.look_at(c, s["style"], lambda clip, masks: None) for c, s in zip(clips, some[i:i + 24])]
    return found


def found_of(wanted):
    """What a grader that errs in nothing says of a scene."""
    relation = "left of" if wanted["relation"] == "beside" else wanted["relation"]
    return dict(wanted, relation=relation, objects=[dict(o) for o in wanted["objects"]], count=len(wanted["objects"]))


class Pieces(unittest.TestCase):
    def test_labels_are_those_of_a_flood(self):
        g = torch.Generator().manual_seed(1)
        for share in (0.2, 0.4, 0.6):
            masks = (torch.rand(3, 24, 31, generator=g) < share).float()
            numbers = torch.arange(1, 24 * 31 + 1).view(1, 1, 24, 31) * masks[:, None]
            while True:
                grown = torch.nn.functional.max_pool2d(numbers, 3, 1, 1) * masks[:, None]
                if torch.equal(grown, numbers):
                    break
                numbers = grown
            labels = parts.labelled(masks)
            self.assertTrue(torch.equal(labels > 0, masks > 0.5))
            for a, b in zip(labels, numbers[:, 0]):
                couples = {(int(x), int(y)) for x, y in zip(a.flatten(), b.flatten()) if x > 0}
                self.assertEqual(len(couples), len({x for x, _ in couples}))
                self.assertEqual(len(couples), len({y for _, y in couples}))

    def test_holes_are_filled_as_in_tier_1(self):
        some = tiers.of(1).sample(6, 3)
        g = torch.Generator().manual_seed(1)
        clips = (tiers.of(1).draw(some, 5) + 1) / 2
        clips = (clips + 0.1 * torch.randn(clips.shape, generator=g)).clamp(0, 1)
        _, backs = look.guess_backgrounds(clips)
        masks = look.object_masks(clips, backs)
        solid = look.solid_masks(clips, backs)
        self.assertFalse(torch.equal(masks, solid))
        for mask, part in zip(masks, solid):
            self.assertTrue(torch.equal(parts.filled(part), mask))

    def test_a_thing_with_parts_of_other_colours_is_one(self):
        some = [scene(thing(shape, size=size, colour=colour), background="snow", style=style)
                for shape in ("car", "house", "tree", "boat", "flower", "bird") for size in ("small", "large")
                for colour in ("white", "red", "green") for style in STYLES]
        for s, f in zip(some, seen(some, 3)):
            self.assertEqual(f["count"], 1, s)

    def test_what_is_behind_is_found_as_well(self):
        for style in STYLES:
            for front, motion, behind in (("car", "right", "house"), ("bird", "still", "ball"), ("star", "left", "tree")):
                s = scene(thing(front, motion, colour="blue"), thing(behind, colour="red"), relation="in front of",
                          background="grass", style=style)
                found = seen([s])[0]
                self.assertEqual((found["count"], found["relation"]), (2, "in front of"), s)
                self.assertEqual([(o["colour"], o["motion"]) for o in found["objects"]], [("blue", motion), ("red", "still")], s)


class Naming(unittest.TestCase):
    def test_every_colour_in_every_style(self):
        for back in ("plain gray", "water", "sunset"):
            some = [scene(thing(shape, colour=colour), background=back, style=style)
                    for shape in ("ball", "house") for colour in world2.COLOURS for style in STYLES]
            for s, f in zip(some, seen(some, 2)):
                self.assertEqual([o["colour"] for o in f["objects"]], [s["objects"][0]["colour"]], s)

    def test_every_background_in_every_style(self):
        some = [scene(thing("star", "right", colour="pink"), background=back, style=style)
                for back in world2.BACKGROUNDS for style in STYLES]
        self.assertEqual([f["background"] for f in seen(some, 9)], [s["background"] for s in some])

    def test_every_motion_in_every_style(self):
        some = [scene(thing(shape, motion, colour="orange"), background="snow", style=style)
                for shape in ("star", "flower", "bird") for motion in world2.MAY[shape] for style in STYLES]
        for s, f in zip(some, seen(some, 9)):
            self.assertEqual([o["motion"] for o in f["objects"]], [s["objects"][0]["motion"]], s)

    def test_styles_are_told_by_their_backgrounds_or_else_by_the_objects(self):
        """Without a classifier only the styles that have the same background are left to choose from."""
        for back in world2.BACKGROUNDS:
            for style in STYLES:
                clip = (scenes2.draw([scene(thing("star"), background=back, style=style)], 3)[0] + 1) / 2
                likely = look2.likely_styles(clip)
                self.assertIn(style, likely, back)
                if not back.startswith("plain"):
                    self.assertEqual(likely, [style], back)

                def scores(clip, masks, style=style):
                    return torch.tensor([0.0 if s == style else -9.0 for s in STYLES])

                self.assertEqual(look2.name_style(clip, scores)[0], style)

    def test_pixel_art_is_told_by_its_blocks(self):
        """On the same plain sheet; the classifier would say otherwise."""
        for one in (scene(thing("ball", "left")), scene(thing("bird", colour="white")), scene(thing("star", colour="green"))):
            for style, other in (("", "pixel art"), ("pixel art", "")):
                wrong = torch.tensor([-1.0 if s == other else -1.5 for s in STYLES])
                clip = (scenes2.draw([dict(one, style=style)], 3)[0] + 1) / 2
                self.assertEqual(look2.name_style(clip, lambda clip, masks: wrong), (style, style), one)

    def test_a_background_in_one_style_and_an_object_in_another_are_mixed(self):
        clip = (scenes2.draw([scene(thing("star"), background="grass", style="pastel")], 3)[0] + 1) / 2
        scores = torch.tensor([0.0 if s == "neon" else -9.0 for s in STYLES])
        self.assertEqual(look2.name_style(clip, lambda clip, masks: scores), ("mixed", "pastel"))

    def test_a_clip_of_nothing_has_no_objects(self):
        for style in STYLES:
            clip = styles.background(style, "grass", 96, 96)[:, None].expand(3, 5, 96, 96)
            found = look2.look_at(clip, style, lambda clip, masks: None)
            self.assertEqual((found["count"], found["objects"], found["background"]), (0, [], "grass"))

    def test_most_scenes_are_seen_as_they_are(self):
        """Of 72 scenes drawn as they come; eval.grade --truth has the whole figure."""
        some = world2.sample_styled(72, 90)
        wanted = [dict(s, objects=[dict(o, shape=None) for o in s["objects"]]) for s in some]
        marks = look2.right(seen(some), wanted, tiers.of(3))
        for key, row in marks.items():
            self.assertGreaterEqual(sum(row), 70, key)


class Marks(unittest.TestCase):
    def setUp(self):
        self.wanted = scene(thing("car", "right", colour="blue"), thing("tree", colour="red"), relation="beside",
                            background="snow", style="neon")

    def marks(self, **changes):
        marks = look2.right([dict(found_of(self.wanted), **changes)], [self.wanted], tiers.of(3))
        return {k for k, v in marks.items() if not v[0]}

    def test_what_is_right_is_right(self):
        self.assertEqual(self.marks(), set())

    def test_each_error_is_marked(self):
        first, second = self.wanted["objects"]
        for key, other in (("colour", "green"), ("shape", "boat"), ("motion", "left")):
            self.assertEqual(self.marks(objects=[dict(first, **{key: other}), second]), {key, "all"})
            self.assertEqual(self.marks(objects=[first, dict(second, **{key: other})]), {key, "all"})
        self.assertEqual(self.marks(background="grass"), {"background", "all"})
        self.assertEqual(self.marks(style="pastel"), {"style", "all"})
        self.assertEqual(self.marks(relation="above"), {"relation", "all"})

    def test_two_that_stand_the_wrong_way_round_are_no_more_than_that(self):
        self.assertEqual(self.marks(objects=self.wanted["objects"][::-1]), {"relation", "all"})

    def test_colours_that_changed_places_are_wrong(self):
        first, second = self.wanted["objects"]
        swapped = [dict(first, colour="red"), dict(second, colour="blue")]
        self.assertEqual(self.marks(objects=swapped), {"colour", "all"})

    def test_one_object_is_not_two(self):
        self.assertEqual(self.marks(objects=self.wanted["objects"][:1], count=1, relation=""),
                         {"colour", "shape", "motion", "count", "relation", "all"})

    def test_wrong_says_what_was_seen(self):
        found = dict(found_of(self.wanted), background="grass", count=3)
        self.assertEqual(look2.wrong(found, self.wanted, tiers.of(3)), {"count": "3, not 2", "background": "grass, not snow"})


if __name__ == "__main__":
    unittest.main()
