# SPDX-License-Identifier: LGPL-2.1-or-later
"""PSNR of a model's VAE on the generator's own clips of the held-out prompts: encoded (the mean) and decoded by the class.

    python -m eval.reconstruct --model ../../models/sora-shapes-1

The same scenes as `eval.grade` takes, drawn in 8 bits as a clip that was read from a file; the weights as they are shipped.
PSNR of a clip is that of all its pixels, 8-bit peak; the mean over clips has a 95 % interval (1.96 standard errors).
"""
import argparse
import collections
import json
import math
import pathlib

import numpy as np
import torch
from diffusers import AutoencoderKLWan

import common  # noqa: F401  (keeps memory)
import tiers
import train_dit


def in_8_bits(clips):
    return ((clips.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def psnr(vae, clip):
    """In dB: clip [1, 3, T, H, W] in [-1, 1] against what the VAE makes of it, both in 8 bits."""
    with torch.no_grad():
        made = in_8_bits(vae.decode(vae.encode(clip).latent_dist.mean).sample)
    return -10 * math.log10(float(((clip - made) / 2).square().mean()))


def told(values):
    values = np.array(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return dict(clips=len(values), mean=round(float(values.mean()), 2),
                interval=[round(float(values.mean() - half), 2), round(float(values.mean() + half), 2)])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=pathlib.Path, required=True)
    p.add_argument("--count", type=int, default=300)
    p.add_argument("--threads", type=int, default=1)
    tiers.add_option(p)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    tier = tiers.of(a.tier)
    scenes, _ = train_dit.held_out_prompts(a.count, tier=tier)
    vae = AutoencoderKLWan.from_pretrained(a.model / "vae", torch_dtype=torch.float32).eval()
    rows = []
    for scene in scenes:
        rows.append(psnr(vae, in_8_bits(tier.draw([scene]))))
    report = dict(psnr=told(rows), tenth=round(float(np.quantile(rows, 0.1)), 2), by={})
    for kind, labels in zip(tier.kinds, zip(*(tier.labels(s) for s in scenes))):
        groups = collections.defaultdict(list)
        for label, row in zip(labels, rows):
            groups[label or "-"].append(row)
        report["by"][kind] = {label: round(float(np.mean(group)), 1) for label, group in sorted(groups.items())}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
