# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole recipe once, on a world of small clips and with a hundredth of the updates: shows that every stage still runs,
that each learns something, and that soractl runs what comes out as diffusers does.

    python smoke.py --soractl soractl
    python smoke.py --soractl soractl --tier 3

Takes two minutes.  Nothing of it is kept; the clips it makes are blobs.
"""
import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

import torch

FRAMES, SIDE = 9, 32


def lines(name, key):
    """The values of one key in a log of the state folder, in order."""
    log = pathlib.Path(os.environ["SORA_TRAINING_DIR"]) / name
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [row[key] for row in rows if key in row]


def must(good, what):
    if not good:
        raise SystemExit(f"smoke: {what}")
    print(f"smoke: {what}", flush=True)


def run(module, *words):
    """One stage as its command line would run it, in this process: loading torch takes longer than most of them."""
    print(f"smoke: {module.__name__} {' '.join(words)}", flush=True)
    sys.argv = [module.__name__, *words]
    started = time.time()
    try:
        module.main()
    except SystemExit as end:
        if end.code:
            raise
    print(f"smoke: {module.__name__} took {time.time() - started:.0f} s", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--soractl", default="soractl")
    p.add_argument("--threads", default="2")
    p.add_argument("--tier", default="1", choices=("1", "2", "3"))
    a = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="sora-smoke-") as folder:
        os.environ["SORA_TRAINING_DIR"] = folder
        torch._dynamo.config.disable = True  # compiling takes longer than running here
        import world
        world.FRAMES, world.SIDE = FRAMES, SIDE  # before anything takes them for its defaults
        smoke(pathlib.Path(folder), a.soractl, ("--threads", a.threads), ("--tier", a.tier))


def smoke(folder, soractl, threads, tier):
    import compare_clip
    import export
    import heard
    import make_latents
    import make_tokenizer
    import train_dit
    import train_text
    import train_turbo
    import train_vae
    from eval import classify, classify2, grade

    run(make_tokenizer)
    run(train_vae, "--steps-frames", "100", "--steps-clips", "25", "--steps-decoder", "5", "--pool", "96", *threads, *tier)
    dB = lines("vae.jsonl", "psnr")
    must(dB[1] > dB[0] + 1, f"the VAE's frames go from {dB[0]:.1f} to {dB[1]:.1f} dB within 100 updates")
    run(make_latents, "--count", "192", *threads, *tier)
    if tier[1] == "1":
        run(classify, "--count", "96", "--steps", "60")
    else:  # which the training's own marks take as well
        run(classify2, "--count", "96", "--steps", "60", "--side", str(SIDE))
    run(train_text, "--steps", "80", *threads, *tier)
    named = lines("text.jsonl", "held_out")[-1]
    must(named["colour"] > 60, f"the text encoder names {named['colour']:.0f} % of the held-out captions' colours")
    run(train_dit, "--steps", "200", "--layers", "3", "--batch", "8", "--least", "192", "--no-compile", *threads)
    error = lines("dit.jsonl", "x0_error")
    must(error[1] < 0.9 * error[0], f"the DiT's error goes from {error[0]:.2f} to {error[1]:.2f} within 200 updates")
    run(heard, "--scenes", "1")
    run(train_turbo, "--count", "64", "--steps", "100", "--batch", "8", "--times", "2", *threads)
    errors = lines("turbo.jsonl", "errors")[-1]
    must(errors[-1] < 0.5, f"the student's last step errs by {errors[-1]:.2f} of the latents' variance")
    model = folder / "model"
    run(export, str(model))
    run(grade, "--truth", "--count", "25", *tier)
    size = [f"--option=-p{key}={value}" for key, value in
            (("width", SIDE), ("height", SIDE), ("frames", FRAMES), ("steps", 2))]
    run(grade, "--model", str(model), "--clips", str(folder / "clips"), "--count", "2", "--soractl", soractl, *size, *tier)
    run(grade, "--model", str(model), "--clips", str(folder / "few"), "--count", "2", "--soractl", soractl, "--option=--turbo",
        *size[:-1], *tier)
    run(compare_clip, str(model), "--soractl", soractl, "--width", str(SIDE), "--height", str(SIDE), "--frames", str(FRAMES))


if __name__ == "__main__":
    main()
