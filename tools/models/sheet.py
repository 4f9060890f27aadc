# SPDX-License-Identifier: LGPL-2.1-or-later
"""Contact sheets: clips as rows of frames in one PNG.

    python sheet.py sheet.png --tier 3 --count 24

draws scenes of the world themselves, each with a caption: what a model of that tier is to learn.
"""
import argparse
import random

import torch
from PIL import Image, ImageDraw

import tiers


def write_sheet(path, clips, labels=None, every=2, scale=2):
    """Writes clips [N, 3, T, H, W] in [-1, 1] as N rows of every `every`-th frame, labelled above."""
    clips = clips[:, :, ::every]
    n, _, t, h, w = clips.shape
    bar = 14 if labels else 0
    sheet = Image.new("RGB", (t * (w * scale + 2), n * (h * scale + 2 + bar)), "white")
    pen = ImageDraw.Draw(sheet)
    pixels = ((clips.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    for i in range(n):
        top = i * (h * scale + 2 + bar)
        if labels:
            pen.text((2, top + 1), labels[i], fill="black")
        for j in range(t):
            image = Image.fromarray(pixels[i, :, j].permute(1, 2, 0).contiguous().numpy())
            sheet.paste(image.resize((w * scale, h * scale), Image.NEAREST),
                        (j * (w * scale + 2), top + bar))
    sheet.save(path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("sheet")
    p.add_argument("--count", type=int, default=12)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--every", type=int, default=2, help="of the frames")
    tiers.add_option(p)
    a = p.parse_args()
    torch.set_num_threads(1)
    tier, rng = tiers.of(a.tier), random.Random(a.seed)
    scenes = tier.sample(a.count, a.seed)
    write_sheet(a.sheet, tier.draw(scenes), [tier.caption(s, rng) for s in scenes], a.every)


if __name__ == "__main__":
    main()
