#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes tests/golden/clips: whole clips of diffusers, from the prompt to the pixels, one model of each family.

A model is put together from folders that other golden cases have made already (run make_goldens.py and goldens_wan22.py
before), but for TI2V-5B's VAE, which is made here: index.json says from which, and what its model_index.json is; whoever wants
the model copies them.  Sampler and flow
shift are those that the model's scheduler names, and nothing is said of them in the parameters.
"""

import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import diffusers
import torch
import transformers
from diffusers import AutoencoderKLWan

from compare_clip import load_pipeline, reference_clip
from goldens_tiny import fill, round_to, save_component, write_json, write_safetensors

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden")
OUT = os.path.join(GOLDEN, "clips")
WORDS = {"prompt": "  A small red ball &amp; a caf\u00e9\u3000rolls right ", "negative-prompt": "blue, still", "seed": 20240611}
MODELS = {
    "t2v": {"of": {"*": "models/small-c"}},
    "a14b": {"of": {"*": "models/small-c", "transformer": "wan22/a14b-c/transformer", "transformer_2": "wan22/a14b-c/transformer_2",
                    "scheduler": "wan22/a14b-c/scheduler"}, "index": {"boundary_ratio": 0.875}},
    "ti2v": {"of": {"*": "models/small-c", "transformer": "wan22/ti2v-c/transformer", "scheduler": "wan22/ti2v-c/scheduler",
                    "vae": "clips/ti2v-vae"}, "index": {"expand_timesteps": True}},
}
CASES = [
    ("t2v", "guided", {"guidance-scale": 5.0, "width": 48, "height": 16, "frames": 5, "steps": 4}),
    ("t2v", "unguided", {"guidance-scale": 1.0, "width": 16, "height": 32, "frames": 1, "steps": 3}),
    ("a14b", "guided", {"guidance-scale": 4.0, "guidance-scale-2": 3.0, "width": 16, "height": 48, "frames": 5, "steps": 4}),
    ("a14b", "unguided", {"guidance-scale": 1.0, "width": 32, "height": 16, "frames": 1, "steps": 4}),
    ("ti2v", "guided", {"guidance-scale": 5.0, "width": 32, "height": 32, "frames": 5, "steps": 4}),
    ("ti2v", "unguided", {"guidance-scale": 1.0, "width": 32, "height": 64, "frames": 1, "steps": 3}),
]
VAE_22 = dict(base_dim=4, decoder_base_dim=4, z_dim=48, dim_mult=[1, 1, 1, 1], num_res_blocks=1, attn_scales=[],
              temperal_downsample=[False, True, True], dropout=0.0, is_residual=True, in_channels=12, out_channels=12,
              patch_size=2, scale_factor_spatial=16, scale_factor_temporal=4)
PARTS = ("text_encoder", "tokenizer", "transformer", "transformer_2", "scheduler", "vae")
CLASSES = {"text_encoder": ["transformers", "UMT5EncoderModel"], "tokenizer": ["transformers", "T5TokenizerFast"],
           "transformer": ["diffusers", "WanTransformer3DModel"], "transformer_2": ["diffusers", "WanTransformer3DModel"],
           "scheduler": ["diffusers", "UniPCMultistepScheduler"], "vae": ["diffusers", "AutoencoderKLWan"]}


def make_vae(folder):
    """Of 48 channels and 16 pixels a latent; the decoder alone."""
    g = torch.Generator().manual_seed(601)
    config = dict(VAE_22, latents_mean=[round(float(v), 4) for v in 0.5 * torch.randn(48, generator=g)],
                  latents_std=[round(float(v), 4) for v in 0.5 + torch.rand(48, generator=g)])
    vae = round_to(fill(AutoencoderKLWan(**config), 602), torch.float16)
    save_component(folder, dict(config, _class_name="AutoencoderKLWan", _diffusers_version=diffusers.__version__),
                   {k: v for k, v in vae.named_parameters() if k.startswith(("decoder.", "post_quant_conv."))},
                   torch.float16, 1, "diffusion_pytorch_model")


def parts_of(model):
    """Component -> its folder below tests/golden."""
    of = model["of"]
    found = {part: of.get(part) or f"{of['*']}/{part}" for part in PARTS}
    return {part: folder for part, folder in found.items() if os.path.isdir(os.path.join(GOLDEN, folder))}


def index_of(model):
    return dict({part: CLASSES[part] for part in parts_of(model)}, _class_name="WanPipeline",
                _diffusers_version=diffusers.__version__, **model.get("index", {}))


def put_together(model, folder):
    for part, source in parts_of(model).items():
        os.symlink(os.path.join(os.path.abspath(GOLDEN), source), os.path.join(folder, part))
    write_json(os.path.join(folder, "model_index.json"), index_of(model))


@torch.no_grad()
def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    make_vae(os.path.join(OUT, "ti2v-vae"))
    tensors, cases, pipes = {}, [], {}
    for name, case, params in CASES:
        if name not in pipes:
            with tempfile.TemporaryDirectory() as folder:
                put_together(MODELS[name], folder)
                pipes[name] = load_pipeline(folder)
        params = dict(WORDS, **params)
        key = f"{name}.{case}"
        tensors[key] = torch.from_numpy(reference_clip(pipes[name], params))
        cases.append({"name": key, "model": name, "params": params})
    os.makedirs(OUT, exist_ok=True)
    write_safetensors(os.path.join(OUT, "clips.safetensors"), tensors)
    write_json(os.path.join(OUT, "index.json"), {
        "made_with": {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0],
                      "transformers": transformers.__version__},
        "models": {name: {"parts": parts_of(model), "model_index": index_of(model)} for name, model in MODELS.items()},
        "cases": cases})


if __name__ == "__main__":
    main()
