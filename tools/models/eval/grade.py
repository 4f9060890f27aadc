# SPDX-License-Identifier: LGPL-2.1-or-later
"""Grades clips that sorad made of held-out prompts, with 95 % intervals.

    python -m eval.grade --truth                    # the generator's own clips first: the grader's ceiling
    python -m eval.grade --model ../../models/sora-shapes-1 --soractl soractl   # makes them, then grades them
    python -m eval.grade --clips DIR                # grades clips that are there already
    python -m eval.grade --truth --tier 3           # the same of tiers 2 and 3; after python -m eval.classify2

Prompts and seeds are fixed: prompt i of `--count` is always the same, and its clip has seed i.  Clips are made
without the visible mark (`-p mark=false`), which would be seen as a second object.
"""
import argparse
import json
import math
import pathlib
import subprocess

import numpy as np
import torch
from PIL import Image

import tiers
import train_dit
from eval import classify, classify2, look, look2, steady


def interval(right, n):
    """Wilson's 95 % interval of a share, in per cent."""
    z, p = 1.96, right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return 100 * (middle - half), 100 * (middle + half)


def make(a, folder, prompts):
    """One run of soractl a prompt: numbered PNG files in folder/NNN/."""
    for i, prompt in enumerate(prompts):
        out = folder / f"{i:03d}"
        if len(list(out.glob("*.png"))) > 0:
            continue
        out.mkdir(parents=True, exist_ok=True)
        command = [a.soractl, "run", "--local", "text-to-frames", prompt, "--model", str(a.model), "--seed", str(i),
                   "-p", "layout=frames", "-p", "mark=false", "-o", str(out / "frame.png"), *a.option]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")


def read(folder):
    """One clip [3, T, H, W] in [-1, 1] from numbered PNG files."""
    frames = [np.asarray(Image.open(f).convert("RGB")) for f in sorted(folder.glob("*.png"))]
    if not frames:
        raise SystemExit(f"{folder} holds no PNG files")
    return torch.from_numpy(np.stack(frames)).float().permute(3, 0, 1, 2) / 127.5 - 1


def shares(marks):
    """Of each list of marks the share in per cent, and its interval."""
    return {k: dict(share=round(100 * sum(v) / len(v), 1), interval=[round(x, 1) for x in interval(sum(v), len(v))])
            for k, v in marks.items()}


def summarise_2(found, wanted, tier):
    """Tiers 2 and 3: the shares over all clips, and those of "all" by number of objects and by style."""
    marks = look2.right(found, wanted, tier)
    report = shares(marks)
    kinds = {"one object": [len(s["objects"]) == 1 for s in wanted], "two objects": [len(s["objects"]) == 2 for s in wanted]}
    kinds["one in front of the other"] = [s["relation"] == "in front of" for s in wanted]
    if tier.number > 2:
        kinds.update({style or "no style": [s["style"] == style for s in wanted] for style in tier.kinds["style"]})
    parts = {name: [m for m, own in zip(marks["all"], which) if own] for name, which in kinds.items()}
    report["all, of"] = shares({name: rows for name, rows in parts.items() if rows})
    return report


def summarise(found, wanted):
    marks = look.right(found, wanted)
    marks["count"] = [f["count"] == 1 for f in found]
    report = shares(marks)
    rows = [steady.measure(f, s) for f, s in zip(found, wanted)]
    for key in rows[0]:
        values = np.array([r[key] for r in rows])
        values = values[~np.isnan(values)]
        if len(values):
            report[key] = dict(median=round(float(np.median(values)), 1), p95=round(float(np.quantile(values, 0.95)), 1))
    return report


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=300)
    p.add_argument("--truth", action="store_true")
    p.add_argument("--clips", type=pathlib.Path)
    p.add_argument("--model", type=pathlib.Path)
    p.add_argument("--soractl", default="soractl")
    p.add_argument("--option", action="append", default=[], help="a further word for soractl, as --option=-p --option=steps=8")
    p.add_argument("--wrong", action="store_true", help="list the clips with a wrong attribute")
    tiers.add_option(p)
    a = p.parse_args()
    torch.set_num_threads(1)
    tier = tiers.of(a.tier)
    wanted, prompts = train_dit.held_out_prompts(a.count, tier=tier)
    namer, own = classify.load() if a.tier == 1 else classify2.load()
    if a.model and not a.clips:
        a.clips = pathlib.Path("clips")
    if a.model:
        make(a, a.clips, prompts)
    found = []
    for i in range(0, a.count, 25):
        part = range(i, min(a.count, i + 25))
        if a.truth:
            clips = tier.draw([wanted[k] for k in part])
        else:
            clips = torch.stack([read(a.clips / f"{k:03d}") for k in part])
        if a.tier == 1:
            found += look.look(clips, namer)
        else:
            found += [look2.without_pixels(one) for one in look2.look_all(clips, namer, tier)]
    if a.wrong:
        for i, (f, s) in enumerate(zip(found, wanted)):
            bad = look.wrong(f, s) if a.tier == 1 else look2.wrong(f, s, tier)
            if bad:
                print(i, prompts[i], bad)
    marks = summarise(found, wanted) if a.tier == 1 else summarise_2(found, wanted, tier)
    print(json.dumps(dict(prompts=a.count, classifier=own, marks=marks), indent=1))


if __name__ == "__main__":
    main()
