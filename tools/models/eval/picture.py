# SPDX-License-Identifier: LGPL-2.1-or-later
"""The README's picture: the first eight held-out prompts with seeds 0 to 7, as soractl makes them, a row each.

    python -m eval.picture --model ../../models/sora-shapes-1 ../../docs/images/sheet.png
"""
import argparse
import pathlib
import subprocess
import tempfile

from PIL import Image

import tiers
import train_dit


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("picture", type=pathlib.Path)
    p.add_argument("--model", required=True)
    p.add_argument("--soractl", default="soractl")
    p.add_argument("--count", type=int, default=8)
    p.add_argument("--prompt", action="append", help="instead of the held-out ones; once for each")
    tiers.add_option(p)
    a = p.parse_args()
    prompts = a.prompt or train_dit.held_out_prompts(a.count, tier=tiers.of(a.tier))[1]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for i, prompt in enumerate(prompts):
            path = pathlib.Path(folder) / f"{i}.png"
            subprocess.run([a.soractl, "run", "--local", "-q", "--model", a.model, "--seed", str(i), "--every", "3",
                            "--columns", "6", "-o", path, "text-to-frames", prompt], check=True,
                           stdout=subprocess.DEVNULL)
            rows.append(Image.open(path).convert("RGB"))
            print(f"{i}: {prompt}", flush=True)
    sheet = Image.new("RGB", (rows[0].width, sum(r.height for r in rows)))
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    sheet.save(a.picture, optimize=True)


if __name__ == "__main__":
    main()
