# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fewer forwards against graded attributes: the same prompts and seeds with each way of saving, and a table.

    python -m eval.skip --model ../../models/sora-shapes-1 --soractl soractl --clips DIR
    python -m eval.skip ... --way "both: guidance-start=0.1 reuse-threshold=0.1"

Prompts and seeds are those of eval.grade.  The first way is the request as it is; each other one is compared with it
clip by clip: the difference of two shares over the same prompts is that of the clips that only one of them got
right, with Agresti and Min's 95 % interval (Statistics in Medicine 24, 2005: half a clip is added to each of the four
cells).  Forwards are what the denoiser says that it computed; a step with guidance has two.  A part that was made
already is not made again, so that the command can be gone on with.
"""
import argparse
import math
import pathlib
import re
import subprocess

import torch

import train_dit
from eval import classify, grade, look

NOTE = re.compile(r"(\d+) of (\d+) forwards computed")
COLUMNS = ("background", "colour", "shape", "motion", "count", "all")
WAYS = (
    "reuse: reuse-threshold=0.15",
    "fewer steps: steps=12",
    "guidance not at first: guidance-start=0.2",
    "guidance not at last: guidance-stop=0.75",
)


def prompts_of(count, without):
    """The first `count` held-out scenes and prompts whose motion the model was taught."""
    wanted, prompts = train_dit.held_out_prompts(2 * count if without else count)
    pairs = [(s, p) for s, p in zip(wanted, prompts) if s["motion"] not in without][:count]
    return [s for s, _ in pairs], [p for _, p in pairs]


def make(a, folder, options, prompts):
    """One run of soractl a prompt: numbered PNG files in folder/NNN/, and what the denoiser said in folder/NNN.txt."""
    extra = [word for option in options for word in ("-p", option)]
    for i, prompt in enumerate(prompts):
        out, note = folder / f"{i:04d}", folder / f"{i:04d}.txt"
        if note.exists():
            continue
        out.mkdir(parents=True, exist_ok=True)
        command = [a.soractl, "run", "--local", "-q", "-v", "-f", "text-to-frames", prompt, "--model", str(a.model),
                   "--seed", str(i), "-p", "layout=frames", "-p", "mark=false", "-o", str(out / "frame.png"), *extra]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
        note.write_text(done.stderr, encoding="utf-8")


def forwards(folder, count, fallback):
    """The mean number of forwards of a clip; `fallback` where the denoiser had nothing to say."""
    total = 0
    for i in range(count):
        said = NOTE.search((folder / f"{i:04d}.txt").read_text(encoding="utf-8"))
        total += int(said[1]) if said else fallback
    return total / count


def marks_of(folder, wanted, name_shape, first):
    """For each attribute a list of whether each clip shows what its scene asks for, and the mean distance of its pixels
    from those of the clips in the folder `first`, of 255."""
    found, distance = [], 0.0
    for i in range(0, len(wanted), 25):
        part = range(i, min(len(wanted), i + 25))
        clips = torch.stack([grade.read(folder / f"{k:04d}") for k in part])
        distance += sum(127.5 * float((clip - grade.read(first / f"{k:04d}")).abs().mean()) for k, clip in zip(part, clips))
        found += [dict(f, clip=None, masks=None) for f in look.look(clips, name_shape)]
    marks = look.right(found, wanted)
    marks["count"] = [f["count"] == 1 for f in found]
    return marks, distance / len(wanted)


def difference(before, after):
    """Of two lists of marks on the same clips: the difference of their shares in per cent, and its 95 % interval."""
    n = len(before) + 2
    lost = sum(b and not a for b, a in zip(before, after)) + 0.5
    won = sum(a and not b for b, a in zip(before, after)) + 0.5
    middle = (won - lost) / n
    half = 1.96 * math.sqrt((won + lost) / n - middle**2) / math.sqrt(n)
    plain = (sum(after) - sum(before)) / len(before)
    return 100 * plain, 100 * (middle - half), 100 * (middle + half)


def row(cells):
    return "| " + " | ".join(cells) + " |"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=pathlib.Path, required=True)
    p.add_argument("--clips", type=pathlib.Path, required=True, help="a folder for the clips, one folder a way in it")
    p.add_argument("--soractl", default="soractl")
    p.add_argument("--count", type=int, default=300)
    p.add_argument("--steps", type=int, default=20, help="of the request as it is")
    p.add_argument("--guidance", type=float, default=3.0, help="of the request as it is")
    p.add_argument("--without", nargs="*", default=[], help="motions that the model was not taught")
    p.add_argument("--way", action="append", help='"NAME: PARAMETER=VALUE ...", instead of the ways that come with this')
    a = p.parse_args()
    torch.set_num_threads(1)
    wanted, prompts = prompts_of(a.count, a.without)
    name_shape, own = classify.load()
    asked = [f"steps={a.steps}", f"guidance-scale={a.guidance:g}"]
    first, fewest, origin = None, 2 * a.steps, None
    table = [row(("way", "forwards", "fewer", "distance") + COLUMNS), row(["---"] * (4 + len(COLUMNS)))]
    for way in ["as it is:"] + list(a.way or WAYS):
        name, _, words = way.partition(":")
        options = {o.partition("=")[0]: o for o in asked + words.split()}
        folder = a.clips / re.sub(r"[^a-z0-9.]+", "-", way.lower()).strip("-")
        make(a, folder, options.values(), prompts)
        steps = int(options["steps"].partition("=")[2])
        scale = float(options["guidance-scale"].partition("=")[2])
        mean = forwards(folder, len(prompts), steps * (2 if scale > 1 else 1))
        origin = origin or folder
        marks, distance = marks_of(folder, wanted, name_shape, origin)
        shares = [f"{100 * sum(marks[k]) / len(wanted):.1f}" for k in COLUMNS]
        if first is None:
            first, fewest = marks, mean
        else:
            changes = [difference(first[k], marks[k]) for k in COLUMNS]
            shares = [f"{s} ({c:+.1f}: {low:+.1f} to {high:+.1f})" for s, (c, low, high) in zip(shares, changes)]
        table.append(row([f"{name} `{words.strip()}`" if words.strip() else name, f"{mean:.1f}", f"{fewest / mean:.2f}",
                          f"{distance:.1f}"] + shares))
        print("\n".join(table[:2] if len(table) == 3 else []) + ("\n" if len(table) == 3 else "") + table[-1], flush=True)
    print(f"\n{len(prompts)} prompts; the classifier of shapes on its own: {own}")


if __name__ == "__main__":
    main()
