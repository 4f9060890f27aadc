#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the golden tensors that `make check` compares our stages with.

    make_goldens.py                 all of the small random models: models, cases, tables, index
    make_goldens.py --embedded DIR  the cases of the embedded model in DIR alone (a minute or less)

Everything goes to tests/golden, and to tests/golden/embedded: index.json lists the cases, goldens_cases.py says
what they are.
The versions that it needs are pinned in requirements.txt; the same versions give the same bytes.
"""

import argparse
import hashlib
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import diffusers
import sentencepiece
import torch
import transformers
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from transformers import AutoTokenizer, UMT5EncoderModel

import goldens_cases as cases
from goldens_tiny import Tiny, write_json

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden")
SEEDS = {"small-a": 7, "small-b": 107, "small-c": 207}
DIT_SHAPES = {
    # T, H, W, timestep, text rows (a name: those of that text case); H and W are multiples of the patch only
    "small-a": [(1, 6, 10, 1000.0, 1), (2, 6, 10, 637.5, 9), (5, 4, 14, 12.0, 40)],
    "small-b": [(1, 2, 2, 1000.0, 512), (2, 10, 6, 499.0, 17), (5, 6, 10, 875.25, 40)],
    "small-c": [(1, 6, 2, 3.5, "forty"), (2, 2, 6, 912.0, "empty"), (5, 2, 6, 250.75, "full")],
}
MORE_DIT_SHAPES = {
    "small-a": [(1, 2, 6, 91.0, "full")], "small-b": [(2, 2, 6, 777.0, "empty")],
    "small-c": [(1, 2, 14, 500.0, "full"), (5, 6, 2, 1000.0, "forty")],
}
VAE_SHAPES = {
    "small-a": [(1, 5, 7), (2, 5, 7), (5, 5, 7)],
    "small-b": [(1, 3, 5), (2, 1, 5), (5, 3, 1)],
    "small-c": [(1, 5, 3), (2, 3, 1), (5, 1, 3)],
}
SHIFTS = {"small-a": 3.0, "small-b": 5.0, "small-c": 8.0}
# name, sampler, guidance scale, height, width, frames
RUNS = {
    "small-a": [("euler", "euler", 5.0, 32, 48, 9), ("unipc", "unipc", 5.0, 32, 48, 9),
                ("unguided", "unipc", 1.0, 16, 16, 5)],
    "small-b": [("euler", "euler", 5.0, 16, 48, 9), ("unipc", "unipc", 5.0, 48, 16, 9),
                ("unguided", "unipc", 1.0, 48, 16, 1)],
    "small-c": [("guided-1", "unipc", 4.0, 16, 48, 1), ("guided-17", "unipc", 6.0, 16, 16, 17),
                ("unguided-5", "euler", 1.0, 48, 16, 5)],
}


def versions():
    return {"diffusers": diffusers.__version__, "transformers": transformers.__version__,
            "torch": torch.__version__.split("+")[0], "sentencepiece": sentencepiece.__version__}


def index(name, value):
    """Replaces the entries of one model in index.json."""
    path = os.path.join(OUT, "index.json")
    book = {"cases": [], "models": {}}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            book = json.load(f)
    book["made_with"] = versions()
    book["cases"] = [c for c in book["cases"] if c["model"] != name] + value.pop("cases")
    book["models"][name] = value
    write_json(path, book)


def make_small(name):
    model = Tiny(name, os.path.join(OUT, "models", name), SEEDS[name])
    book, g = cases.Book(name), torch.Generator().manual_seed(SEEDS[name] + 50)
    words = 512
    while cases.ids_of(model.spm, cases.long_prompt(words))[1] > 512:
        words -= 1
    filler = " a"
    exact = cases.long_prompt(words)
    while cases.ids_of(model.spm, exact + filler)[1] <= 512:
        exact += filler
    cases.text_cases(book, model.spm, model.text, [
        ("empty", ""), ("ten", "a red ball rolls right"),
        ("forty", cases.prompt_of(model.spm, 40, "a small red ball rolls right over green grass, the tiny cat stands still", filler)),
        ("full", exact), ("cut", cases.long_prompt(words + 60)),
    ])
    for t, h, w, timestep, rows in DIT_SHAPES[name]:
        cases.dit_case(book, model.dit, f"t{t}-{h}x{w}", (t, h, w), timestep, rows, g)
    for t, h, w in VAE_SHAPES[name]:
        cases.vae_case(book, model.vae, f"t{t}-{h}x{w}", (t, h, w), g)
    for t, h, w, timestep, rows in MORE_DIT_SHAPES[name]:
        cases.dit_case(book, model.dit, f"t{t}-{h}x{w}", (t, h, w), timestep, rows, g)
    parts = (model.spm, model.text, model.dit, model.vae)
    shift = SHIFTS[name]
    for run, sampler, guidance, height, width, frames in RUNS[name]:
        cases.pipeline_case(book, parts, run, cases.scheduler_for(sampler, shift), {
            "sampler": sampler, "prompt": "a small red ball rolls right over green grass",
            "negative-prompt": "" if name == "small-a" else "blue, still", "seed": 42,
            "steps": 4, "guidance-scale": guidance, "flow-shift": shift,
            "height": height, "width": width, "frames": frames})
    finish(name, book, model.spm, f"models/{name}")


def finish(name, book, spm, where):
    book.write(OUT)
    cleaning, tokenised = cases.text_tables(spm)
    if name == "small-a":
        write_json(os.path.join(OUT, "cleaning.json"), cleaning)
        with open(os.path.join(OUT, "buckets.json"), "w", encoding="utf-8") as f:
            f.write("[" + ",\n ".join(json.dumps(t) for t in cases.bucket_tables()) + "]\n")
    write_json(os.path.join(OUT, f"tokens-{name}.json"), tokenised)
    index(name, {"cases": book.cases, "folder": where, "tokens": f"tokens-{name}.json"})


def digests(folder):
    """SHA-256 of each file that the numbers come from: a test can tell that the goldens are of other weights."""
    out = {}
    for root, _, files in os.walk(folder):
        for f in files:
            if f.endswith((".safetensors", ".model")) or f in ("config.json", "scheduler_config.json"):
                path = os.path.join(root, f)
                with open(path, "rb") as s:
                    out[os.path.relpath(path, folder)] = hashlib.sha256(s.read()).hexdigest()
    return out


def make_embedded(folder):
    """Cases of the model that is shipped, apart from the small ones: tests/golden/embedded."""
    name, out = "embedded", os.path.join(OUT, "embedded")
    load = dict(torch_dtype=torch.float32)
    spm = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer", "spiece.model"))
    text = UMT5EncoderModel.from_pretrained(folder, subfolder="text_encoder", dtype=torch.float32).eval()
    dit = WanTransformer3DModel.from_pretrained(folder, subfolder="transformer", **load).eval()
    vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae", **load).eval()
    scheduler = UniPCMultistepScheduler.from_pretrained(folder, subfolder="scheduler")
    book, g = cases.Book(name), torch.Generator().manual_seed(2024)
    prompts = [("empty", ""), ("short", "a red ball"),
               ("usual", "a large blue star moves left over a night sky")]
    hf = AutoTokenizer.from_pretrained(os.path.join(folder, "tokenizer"))
    for _, prompt in prompts:
        if hf(prompt).input_ids != cases.ids_of(spm, prompt)[0]:
            raise SystemExit(f"tokenizer.json and spiece.model disagree on {prompt!r}")
    cases.text_cases(book, spm, text, prompts)
    cases.dit_case(book, dit, "t2-6x8", (2, 6, 8), 800.0, 12, g)
    cases.dit_case(book, dit, "t5-8x8", (5, 8, 8), 120.0, 40, g)
    cases.vae_case(book, vae, "t2-3x4", (2, 3, 4), g)
    cases.pipeline_case(book, (spm, text, dit, vae), "unipc", scheduler, {
        "sampler": "unipc", "prompt": "a red ball rolls right over green grass", "negative-prompt": "",
        "seed": 7, "steps": 4, "guidance-scale": 3.0, "flow-shift": scheduler.config.flow_shift,
        "height": 48, "width": 64, "frames": 5})
    os.makedirs(out, exist_ok=True)
    book.write(out)
    write_json(os.path.join(out, "tokens.json"), cases.text_tables(spm)[1])
    write_json(os.path.join(out, "index.json"),
               {"made_with": versions(), "cases": book.cases, "tokens": "tokens.json",
                "model": os.path.basename(os.path.normpath(folder)), "sha256": digests(folder)})


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    args.add_argument("--embedded", metavar="DIR", help="the embedded model's folder")
    args = args.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if args.embedded:
        make_embedded(args.embedded)
        return
    for name in SEEDS:
        make_small(name)


if __name__ == "__main__":
    main()
