#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes tests/golden/wan22: small random models of Wan 2.2's two text-to-video families, and what diffusers makes of them.

`a14b` has two experts, of different depth so that the larger one is told from the other, and a boundary that a run of
four steps crosses in its middle.  `ti2v` has 48 channels, a VAE of 16 pixels a latent (of which only the configuration is
kept), and a timestep for each token.  Texts are given as embeddings: there is no text encoder here.

Kinds of cases: `forward` is one call of the class, with params.timestep for all, or with `timesteps` [tokens] as inputs;
`sample` is WanPipeline itself.
"""

import contextlib
import io
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import diffusers
import torch
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel

from goldens_cases import Book, pad_rows, scheduler_for
from goldens_tiny import SCHEDULER, fill, round_to, save_component, write_json

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "wan22")
DTYPE = torch.float16
COMMON = dict(patch_size=[1, 2, 2], cross_attn_norm=True, eps=1e-6, qk_norm="rms_norm_across_heads",
              rope_max_seq_len=1024, image_dim=None, added_kv_proj_dim=None)
A14B = dict(COMMON, num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=16,
            freq_dim=32, ffn_dim=56)
TI2V = dict(COMMON, num_attention_heads=3, attention_head_dim=8, in_channels=48, out_channels=48, text_dim=16,
            freq_dim=32, ffn_dim=56, num_layers=2)
# Of its numbers only the levels matter here; the rest is as small as the class takes it.
VAE_21 = dict(base_dim=4, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1, attn_scales=[],
              temperal_downsample=[False, True, True], dropout=0.0, scale_factor_spatial=8, scale_factor_temporal=4,
              latents_mean=[0.0] * 16, latents_std=[1.0] * 16)
VAE_22 = dict(base_dim=4, decoder_base_dim=4, z_dim=48, dim_mult=[1, 2, 4, 4], num_res_blocks=1, attn_scales=[],
              temperal_downsample=[False, True, True], dropout=0.0, is_residual=True, in_channels=12, out_channels=12,
              patch_size=2, scale_factor_spatial=16, scale_factor_temporal=4, latents_mean=[0.0] * 48,
              latents_std=[1.0] * 48)


def transformer(folder, name, config, seed):
    dit = round_to(fill(WanTransformer3DModel(**config), seed), DTYPE)
    save_component(os.path.join(folder, name),
                   dict(config, _class_name="WanTransformer3DModel", _diffusers_version=diffusers.__version__),
                   dict(dit.named_parameters()), DTYPE, 1, "diffusion_pytorch_model")
    return dit


def model(name, vae, index, shift, **parts):
    """Writes the folder; `parts`: (configuration, seed) of each transformer.  Returns the transformers and the VAE."""
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    made = {part: transformer(folder, part, *value) for part, value in parts.items()}
    for part, config in (("vae", dict(vae, _class_name="AutoencoderKLWan")),
                         ("scheduler", dict(SCHEDULER["small-b"], flow_shift=shift))):
        os.makedirs(os.path.join(folder, part))
        file = "config.json" if part == "vae" else "scheduler_config.json"
        write_json(os.path.join(folder, part, file), dict(config, _diffusers_version=diffusers.__version__))
    write_json(os.path.join(folder, "model_index.json"), dict(
        index, _class_name="WanPipeline", _diffusers_version=diffusers.__version__,
        scheduler=["diffusers", "UniPCMultistepScheduler"], vae=["diffusers", "AutoencoderKLWan"],
        **{part: ["diffusers", "WanTransformer3DModel"] if part in parts else [None, None]
           for part in ("transformer", "transformer_2")}))
    return made, AutoencoderKLWan(**vae)


@torch.no_grad()
def forward_case(book, dit, name, shape, timestep, rows, g):
    """timestep: a number, or a function of the token's number and of how many a frame has."""
    c = dit.config
    latents = torch.randn(1, c.in_channels, *shape, generator=g)
    text = torch.randn(rows, c.text_dim, generator=g)
    inputs, params = {"latents": latents[0], "text": text}, {}
    per_frame = shape[1] // 2 * (shape[2] // 2)
    if callable(timestep):
        t = torch.tensor([[float(timestep(i, per_frame)) for i in range(shape[0] * per_frame)]])
        inputs["timesteps"] = t[0]
    else:
        params["timestep"] = timestep
        # One number for each token, as WanPipeline gives it to TI2V; one in all for the others.
        t = torch.full((1, shape[0] * per_frame), timestep) if book.model == "ti2v" else torch.tensor([timestep])
    out = dit(latents, t, pad_rows(text), return_dict=False)[0][0]
    book.add("forward", name, params, inputs, {"out": out})


@torch.no_grad()
def sample_case(book, parts, vae, index, name, size, guidance, guidance_2, shift, g):
    width, height, frames = size
    pipe = WanPipeline(tokenizer=None, text_encoder=None, vae=vae, scheduler=scheduler_for("unipc", shift),
                       transformer=parts["transformer"], transformer_2=parts.get("transformer_2"), **index)
    pipe.set_progress_bar_config(disable=True)
    text, negative = (torch.randn(n, parts["transformer"].config.text_dim, generator=g) for n in (7, 3))
    seen = []

    def keep(pipe, i, t, kw):
        seen.append(float(t))
        return kw

    with contextlib.redirect_stderr(io.StringIO()):
        latents = pipe(prompt_embeds=pad_rows(text), negative_prompt_embeds=pad_rows(negative), height=height,
                       width=width, num_frames=frames, num_inference_steps=4, guidance_scale=guidance,
                       guidance_scale_2=guidance_2, generator=torch.Generator().manual_seed(11),
                       output_type="latent", callback_on_step_end=keep).frames[0]
    if "boundary_ratio" in index:
        high = sum(t >= 1000 * index["boundary_ratio"] for t in seen)
        assert 0 < high < len(seen), f"{name} crosses no boundary: {seen}"
    params = {"steps": 4, "width": width, "height": height, "frames": frames, "guidance-scale": guidance, "seed": 11}
    if guidance_2 is not None:
        params["guidance-scale-2"] = guidance_2
    book.add("sample", name, params, {"text": text, "negative": negative}, {"latents": latents})


def make_a14b():
    index, g, book = {"boundary_ratio": 0.875}, torch.Generator().manual_seed(301), Book("a14b")
    parts, vae = model("a14b", VAE_21, index, 3.0, transformer=(dict(A14B, num_layers=1), 302),
                       transformer_2=(dict(A14B, num_layers=2), 303))
    forward_case(book, parts["transformer"], "high", (2, 4, 6), 875.0, 9, g)
    forward_case(book, parts["transformer_2"], "low", (2, 4, 6), 874.0, 9, g)
    for name, guidance, guidance_2 in (("guided", 4.0, 3.0), ("guided-alike", 5.0, None), ("unguided", 1.0, None)):
        sample_case(book, parts, vae, index, name, (48, 32, 5), guidance, guidance_2, 3.0, g)
    return book


def make_ti2v():
    index, g, book = {"expand_timesteps": True}, torch.Generator().manual_seed(401), Book("ti2v")
    parts, vae = model("ti2v", VAE_22, index, 5.0, transformer=(TI2V, 402))
    dit = parts["transformer"]
    forward_case(book, dit, "alike", (2, 4, 6), 637.0, 9, g)
    # As image-to-video has it, a first frame without noise; and three of them that change within a frame.
    forward_case(book, dit, "first-frame", (3, 2, 4), lambda i, n: 0.0 if i < n else 801.5, 40, g)
    forward_case(book, dit, "mixed", (2, 4, 6), lambda i, n: (999.0, 250.0, 12.5)[i * i % 3 + i % 2 * (i % 5 > 2)], 1, g)
    for name, guidance in (("guided", 5.0), ("unguided", 1.0)):
        sample_case(book, parts, vae, index, name, (96, 64, 5), guidance, None, 5.0, g)
    return book


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    books = [make_a14b(), make_ti2v()]
    for book in books:
        book.write(OUT)
    write_json(os.path.join(OUT, "index.json"), {
        "made_with": {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0]},
        "cases": [case for book in books for case in book.cases]})


if __name__ == "__main__":
    main()
