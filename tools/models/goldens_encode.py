#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes tests/golden/encode: what AutoencoderKLWan's encoder makes of pictures and clips.

    goldens_encode.py

Three small random models, each a Diffusers folder with the encoder alone, and for each a picture, a clip of 5 frames and
one of 17.  The reference computes in f32, on the values as stored, chunk by chunk with its cache; the latents are those
that its pipelines hand to a denoiser: (mean of the posterior - latents_mean) / latents_std.
"""

import json
import os
import shutil

import diffusers
import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanAttentionBlock
from safetensors.torch import save_file

from goldens_tiny import fill, round_to, save_component

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "encode")

# name, configuration, type and files, seed, cases: frames, height, width, type of the frames
MODELS = [
    ("a", dict(base_dim=6, z_dim=3, dim_mult=[1, 1, 2], num_res_blocks=1, attn_scales=[0.5],
               temperal_downsample=[True, True], scale_factor_spatial=4, scale_factor_temporal=4),
     (torch.float16, 1), 11, [(1, 12, 20, "u8"), (5, 20, 12, "f32"), (17, 4, 28, "u8")]),
    ("b", dict(base_dim=4, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=2, attn_scales=[],
               temperal_downsample=[False, True, True], scale_factor_spatial=8, scale_factor_temporal=4),
     (torch.bfloat16, 2), 12, [(1, 24, 40, "f32"), (5, 40, 24, "u8"), (17, 8, 24, "u8")]),
    ("c", dict(base_dim=3, z_dim=7, dim_mult=[1, 2], num_res_blocks=1, attn_scales=[1.0, 0.5],
               temperal_downsample=[True], scale_factor_spatial=2, scale_factor_temporal=2),
     (torch.float32, 1), 13, [(1, 6, 10, "u8"), (5, 10, 2, "u8"), (17, 6, 2, "f32")]),
]


def mend_attention():
    """With attn_scales the class hands its cache to attention among the down blocks, which takes none, and ends with a
    TypeError (0.42.1).  Attention looks at one frame at a time and needs no cache: here it is dropped on the way."""
    forward = WanAttentionBlock.forward
    WanAttentionBlock.forward = lambda self, x, feat_cache=None, feat_idx=None: forward(self, x)


def make_model(name, config, stored, seed):
    g = torch.Generator().manual_seed(seed)
    z = config["z_dim"]
    config = dict(config, dropout=0.0,
                  latents_mean=[round(float(v), 4) for v in 0.5 * torch.randn(z, generator=g)],
                  latents_std=[round(float(v), 4) for v in 0.5 + torch.rand(z, generator=g)])
    vae = round_to(fill(AutoencoderKLWan(**config), seed), stored[0])
    tensors = {k: v for k, v in vae.named_parameters() if k.startswith(("encoder.", "quant_conv."))}
    save_component(os.path.join(OUT, name, "vae"),
                   dict(config, _class_name="AutoencoderKLWan", _diffusers_version=diffusers.__version__),
                   tensors, *stored, "diffusion_pytorch_model")
    return vae


def make_frames(t, h, w, kind, g):
    """Waves that move, and noise: [T, H, W, 3], bytes or numbers from 0 to 1."""
    k, y, x = torch.meshgrid(torch.arange(t), torch.arange(h), torch.arange(w), indexing="ij")
    waves = [torch.sin(0.9 * x + (c + 1) * 0.7 * y + 0.8 * k + c) for c in range(3)]
    frames = (0.5 + 0.35 * torch.stack(waves, -1) + 0.15 * torch.randn(t, h, w, 3, generator=g)).clamp(0, 1)
    return (frames * 255).round().to(torch.uint8) if kind == "u8" else frames.contiguous()


@torch.no_grad()
def encode(vae, frames):
    x = frames.float() / 255 if frames.dtype == torch.uint8 else frames
    h = vae.encode((2 * x - 1).permute(3, 0, 1, 2)[None]).latent_dist.mode()
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    return ((h - mean) * std)[0].contiguous()


def main():
    torch.set_num_threads(1)
    mend_attention()
    shutil.rmtree(OUT, ignore_errors=True)
    tensors, cases = {}, []
    for name, config, stored, seed, sizes in MODELS:
        vae = make_model(name, config, stored, seed)
        g = torch.Generator().manual_seed(seed + 100)
        for t, h, w, kind in sizes:
            key = f"{name}.{t}x{h}x{w}"
            frames = make_frames(t, h, w, kind, g)
            latents = encode(vae, frames)
            print(f"{key}: {tuple(latents.shape)}, deviation {float(latents.std()):.2f}")
            tensors[f"{key}.frames"], tensors[f"{key}.latents"] = frames, latents
            cases.append({"name": key, "model": name})
    save_file(tensors, os.path.join(OUT, "cases.safetensors"))
    os.chmod(os.path.join(OUT, "cases.safetensors"), 0o644)
    book = {"made_with": {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0]}, "cases": cases}
    with open(os.path.join(OUT, "index.json"), "w", encoding="utf-8") as f:
        json.dump(book, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
