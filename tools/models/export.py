# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the trained parts as a Diffusers folder of f16 safetensors, which WanPipeline loads unchanged.

    python export.py ../../models/sora-shapes-1

The averaged weights are taken, unless --raw is given.  If train_turbo.py has distilled this DiT, its `transformer_turbo`
and `scheduler_turbo` are written beside, which `soractl --turbo` takes and WanPipeline leaves alone.  The model card (README.md) is written by hand and left alone.
"""
import argparse
import json
import pathlib
import shutil

import torch
from diffusers import AutoencoderKLWan

import common
import make_latents
import sampler
import train_dit
import world

TOKENIZER_FILES = ("spiece.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def trained_pair(name="dit", raw=False):
    """Text encoder and DiT with their averaged weights, or with the last ones."""
    state = common.load(f"{name}.pt")
    pair = train_dit.Pair(state["args"])
    pair.load_state_dict(state["pair"])
    for mine, averaged in zip(pair.parameters(), state["average"]["shadow"]):
        if not raw:
            mine.data.copy_(averaged)
    return pair.requires_grad_(False).eval(), state


def export_turbo(folder, dit, turbo):
    """The distilled DiT beside the other, and the rule by which it steps."""
    for mine, averaged in zip(dit.parameters(), turbo["average"]["shadow"]):
        mine.data.copy_(averaged)
    dit.save_pretrained(folder / "transformer_turbo")
    rule = {"_class_name": "WanStepDistillScheduler", "denoising_step_list": list(sampler.TURBO_STEPS),
            "num_train_timesteps": 1000, "prediction_type": "sample", "sample_shift": sampler.SHIFT}
    (folder / "scheduler_turbo").mkdir(parents=True, exist_ok=True)
    (folder / "scheduler_turbo" / "scheduler_config.json").write_text(json.dumps(rule, indent=2) + "\n")


def export(folder, name, raw):
    pair, state = trained_pair(name, raw)
    info = make_latents.read_json("latents.json")
    plain, _ = make_latents.trained_vae()
    config = {k: v for k, v in plain.config.items() if not k.startswith("_")}
    config.update(latents_mean=info["mean"], latents_std=info["std"])
    vae = AutoencoderKLWan(**config)
    vae.load_state_dict(plain.state_dict())
    vae.half().save_pretrained(folder / "vae")
    pair.dit.half().save_pretrained(folder / "transformer")
    pair.text.half().save_pretrained(folder / "text_encoder")
    sampler.scheduler().save_pretrained(folder / "scheduler")
    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    for file in TOKENIZER_FILES:
        source = common.state_dir() / "tokenizer" / file
        if source.exists():
            shutil.copyfile(source, folder / "tokenizer" / file)
    config = folder / "text_encoder" / "config.json"
    values = json.loads(config.read_text())
    values["architectures"] = ["UMT5EncoderModel"]
    values["dtype"] = "float32"  # what it is computed in; stored as f16
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    index = {
        "_class_name": "WanPipeline", "_diffusers_version": "0.42.1", "boundary_ratio": None,
        "expand_timesteps": False,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "transformer_2": [None, None],
        "vae": ["diffusers", "AutoencoderKLWan"],
    }
    turbo = common.load("turbo.pt")
    if turbo and turbo["args"]["teacher"] == name:
        export_turbo(folder, pair.dit, turbo)
        index["transformer_turbo"] = ["diffusers", "WanTransformer3DModel"]
        index["scheduler_turbo"] = ["lightx2v", "WanStepDistillScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    defaults = {"width": world.SIDE, "height": world.SIDE, "frames": world.FRAMES, "fps": world.FPS, "steps": 20, "guidance-scale": 3}
    (folder / "sora_defaults.json").write_text(json.dumps(defaults, indent=2) + "\n")
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB after {state['step']} updates of the DiT")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--name", default="dit")
    p.add_argument("--raw", action="store_true", help="the last weights: the average lags a fast run")
    a = p.parse_args()
    torch.set_num_threads(1)
    export(a.folder, a.name, a.raw)


if __name__ == "__main__":
    main()
