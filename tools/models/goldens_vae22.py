#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes tests/golden/vae22: what AutoencoderKLWan makes of latents and of clips in Wan 2.2's form.

    goldens_vae22.py

Four small random models, each a Diffusers folder with both halves.  `a` has the levels of Wan 2.2 5B (16 pixels and 4
frames a latent); `b` widens towards the picture and halves the frames at the first level; `c` is residual without patches;
`d` has patches of 3 pixels and is not residual, which no published model is, but the class can be.  For each a picture, 5
and 17 frames, decoded and encoded.  The reference computes in f32, on the values as stored, chunk by chunk with its cache;
latents are those that its pipelines hand from denoiser to decoder, and frames are numbers from 0 to 1.

With a few channels a norm may divide by next to nothing, and then any rounding before it shows, the reference's own, too.
So inputs are drawn again until the reference in f64 agrees with itself in f32 within CLOSE of the largest value.
"""

import copy
import json
import os
import shutil

import diffusers
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file

from goldens_encode import encode, make_frames
from goldens_tiny import fill, round_to, save_component

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "vae22")

CLOSE = 1e-6

# name, configuration, type and files, seed, cases: frames, height, width, type of the frames that are encoded
MODELS = [
    ("a", dict(base_dim=2, decoder_base_dim=2, z_dim=7, dim_mult=[1, 2, 4, 4], num_res_blocks=1, is_residual=True,
               temperal_downsample=[False, True, True], patch_size=2, in_channels=12, out_channels=12,
               scale_factor_spatial=16, scale_factor_temporal=4),
     (torch.float16, 1), 21, [(1, 48, 16, "u8"), (5, 16, 16, "u8"), (17, 16, 16, "u8")]),
    ("b", dict(base_dim=3, decoder_base_dim=2, z_dim=6, dim_mult=[2, 2, 1], num_res_blocks=2, is_residual=True,
               temperal_downsample=[True, False], patch_size=2, in_channels=12, out_channels=12,
               scale_factor_spatial=8, scale_factor_temporal=2),
     (torch.bfloat16, 2), 22, [(1, 24, 8, "f32"), (5, 24, 8, "u8"), (17, 8, 16, "u8")]),
    ("c", dict(base_dim=2, decoder_base_dim=2, z_dim=4, dim_mult=[1, 4, 2], num_res_blocks=1, is_residual=True,
               temperal_downsample=[True, True], patch_size=None, scale_factor_spatial=4, scale_factor_temporal=4),
     (torch.float16, 1), 23, [(1, 12, 20, "u8"), (5, 20, 12, "u8"), (17, 4, 20, "u8")]),
    ("d", dict(base_dim=3, decoder_base_dim=4, z_dim=5, dim_mult=[1, 1], num_res_blocks=1, is_residual=False,
               temperal_downsample=[False], patch_size=3, in_channels=27, out_channels=27, scale_factor_spatial=6,
               scale_factor_temporal=1),
     (torch.bfloat16, 1), 24, [(1, 18, 6, "u8"), (5, 18, 6, "u8"), (17, 6, 6, "u8")]),
]


def make_model(name, config, stored, seed):
    g = torch.Generator().manual_seed(seed)
    z = config["z_dim"]
    config = dict(config, attn_scales=[], dropout=0.0,
                  latents_mean=[round(float(v), 4) for v in 0.5 * torch.randn(z, generator=g)],
                  latents_std=[round(float(v), 4) for v in 0.5 + torch.rand(z, generator=g)])
    vae = round_to(fill(AutoencoderKLWan(**config), seed), stored[0])
    save_component(os.path.join(OUT, name, "vae"),
                   dict(config, _class_name="AutoencoderKLWan", _diffusers_version=diffusers.__version__),
                   dict(vae.named_parameters()), *stored, "diffusion_pytorch_model")
    return vae


@torch.no_grad()
def decode(vae, latents):
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    frames = vae.decode(latents[None] * std + mean).sample[0]
    return (frames / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).contiguous()


def agree(vae, f, x, y):
    """Whether y = f(x) in f32 is what f64 gives."""
    torch.set_default_dtype(torch.float64)
    exact = f(copy.deepcopy(vae).double(), x.double() / 255 if x.dtype == torch.uint8 else x.double())
    torch.set_default_dtype(torch.float32)
    return float((exact - y).abs().max() / exact.abs().max()) <= CLOSE


def draw(vae, f, make):
    while True:
        x = make()
        y = f(vae, x)
        if agree(vae, f, x, y):
            return x, y


def main():
    torch.set_num_threads(1)
    shutil.rmtree(OUT, ignore_errors=True)
    tensors, cases = {}, []
    for name, config, stored, seed, sizes in MODELS:
        vae = make_model(name, config, stored, seed)
        g = torch.Generator().manual_seed(seed + 100)
        side, time = config["scale_factor_spatial"], config["scale_factor_temporal"]
        for t, h, w, kind in sizes:
            key = f"{name}.{t}x{h}x{w}"
            frames, encoded = draw(vae, encode, lambda: make_frames(t, h, w, kind, g))
            latents, decoded = draw(vae, decode, lambda: torch.randn(config["z_dim"], 1 + (t - 1) // time, h // side,
                                                                     w // side, generator=g))
            assert encoded.shape == latents.shape and decoded.shape == frames.shape
            inside = ((decoded > 0) & (decoded < 1)).float().mean()
            print(f"{key}: {tuple(latents.shape)}, deviation {float(encoded.std()):.2f}, of the frames "
                  f"{float(decoded.std()):.2f}, {float(inside):.0%} inside")
            tensors.update({f"{key}.frames": frames, f"{key}.encoded": encoded, f"{key}.latents": latents,
                            f"{key}.decoded": decoded})
            cases.append({"name": key, "model": name})
    save_file(tensors, os.path.join(OUT, "cases.safetensors"))
    os.chmod(os.path.join(OUT, "cases.safetensors"), 0o644)
    book = {"made_with": {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0]}, "cases": cases}
    with open(os.path.join(OUT, "index.json"), "w", encoding="utf-8") as f:
        json.dump(book, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
