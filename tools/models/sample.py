# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs diffusers.WanPipeline on an exported folder and writes a contact sheet, a row for each prompt.

    python sample.py ../../models/sora-shapes-1 sheet.png "a red ball rolls right over green grass"
    python sample.py ../../models/sora-shapes-1 sheet.png --held-out 8
    python sample.py ../../models/sora-shapes-1 sheet.png --tier 3

Held-out prompts are graded as well (eval/look.py; of tiers 2 and 3 eval/look2.py).
"""
import argparse

import numpy as np
import torch
from diffusers import WanPipeline

import sheet
import tiers
import train_dit
import world

PROMPTS = {1: [
    "a red ball rolls right over green grass",
    "a small blue star spins in the night sky",
    "a large yellow square moves up on a plain white background",
    "a purple heart grows on snow",
    "a white triangle moves left on a plain black background",
    "an orange ball bounces on the sand",
    "a green star falls at sunset",
    "a small pink heart drifts to the left over blue water",
    "a big red square stands still in the snow",
    "the blue triangle shrinks on a plain gray background",
    "a yellow star moves down in the night sky",
    "a little white ball rolls left over green grass",
], 2: [
    "a red fish swims to the left in the water",
    "a small blue bird flies to the right at sunset",
    "a green car drives right on a sandy beach",
    "a purple house on a snowy field does not move",
    "an orange heart and a white star spin on a plain gray background",
    "a yellow moon above a pink tree in the night sky, both resting",
    "a white cloud to the left of a red heart, the cloud floats upwards and the heart bounces, on light blue",
    "a blue car drives to the right in front of a yellow house that stands still, on the grass",
], 3: [
    "a neon drawing of a red fish swimming to the left in the water",
    "a small blue bird flies to the right at sunset, in watercolour",
    "pixel art of a green car driving right on a sandy beach",
    "an outline drawing of a purple house on a snowy field, not moving",
    "a pink flower and a white star spin on a plain gray background, in soft pastel colors",
    "a yellow moon above a pink tree in the night sky, both resting, in pixel art",
    "as a neon drawing, a white cloud to the left of a red heart, the cloud rises, the heart bounces, on light blue",
    "a watercolour of a blue car driving to the right in front of a yellow house that stands still, on the grass",
]}


def make_clips(folder, prompts, steps, guidance, seed, frames, side):
    """Clips [N, 3, T, H, W] in [-1, 1] through the pipeline as published."""
    pipe = WanPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    clips = []
    for i, prompt in enumerate(prompts):
        out = pipe(prompt=prompt, height=side, width=side, num_frames=frames,
                   num_inference_steps=steps, guidance_scale=guidance, output_type="np",
                   generator=torch.Generator().manual_seed(seed + i)).frames[0]
        clips.append(torch.from_numpy(np.asarray(out)).float().permute(3, 0, 1, 2) * 2 - 1)
    return torch.stack(clips)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("folder")
    p.add_argument("sheet")
    p.add_argument("prompts", nargs="*")
    p.add_argument("--held-out", type=int, default=0)
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--guidance", type=float, default=3.0)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--frames", type=int, default=world.FRAMES)
    p.add_argument("--side", type=int, default=world.SIDE)
    tiers.add_option(p)
    a = p.parse_args()
    torch.set_num_threads(1)
    tier = tiers.of(a.tier)
    prompts, wanted = a.prompts or PROMPTS[a.tier], None
    if a.held_out:
        wanted, prompts = train_dit.held_out_prompts(a.held_out, tier=tier)
    clips = make_clips(a.folder, prompts, a.steps, a.guidance, a.seed, a.frames, a.side)
    sheet.write_sheet(a.sheet, clips, prompts)
    if wanted:
        print(train_dit.marks_of(clips, wanted, tier))


if __name__ == "__main__":
    main()
