#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes tests/golden/wan22: small random models of Wan 2.2's two text-to-video families, and what diffusers makes of them.

Three of each family, which differ in widths, heads, layers and in how they are stored.
`a14b` has two experts, of different depth so that the larger one is told from the other, and a boundary that a run of
four steps crosses in its middle.  `ti2v` has 48 channels, a VAE of 16 pixels a latent (of which only the configuration is
kept), and a timestep for each token.  Texts are given as embeddings, some of 1, 40 and 512 tokens, which texts.safetensors
has for all of them: there is no text encoder here.

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
from goldens_tiny import MIXED, SCHEDULER, fill, round_to, save_component, write_json, write_safetensors

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "wan22")
TEXTS = "texts.safetensors"
COMMON = dict(patch_size=[1, 2, 2], cross_attn_norm=True, eps=1e-6, qk_norm="rms_norm_across_heads",
              rope_max_seq_len=1024, image_dim=None, added_kv_proj_dim=None)
WIDTHS = {
    "": dict(COMMON, num_attention_heads=2, attention_head_dim=12, text_dim=16, freq_dim=32, ffn_dim=56),
    "-b": dict(COMMON, num_attention_heads=3, attention_head_dim=6, text_dim=16, freq_dim=14, ffn_dim=20),
    "-c": dict(COMMON, num_attention_heads=1, attention_head_dim=16, text_dim=16, freq_dim=16, ffn_dim=22),
}
A14B = dict(in_channels=16, out_channels=16)
TI2V = dict(in_channels=48, out_channels=48)
# type and number of files, of the first transformer and of the second
STORED = {
    "": ((torch.float16, 1), (torch.float16, 1)),
    "-b": ((torch.bfloat16, 2), (torch.float16, 1)),
    "-c": ((MIXED, 1), (torch.float16, 3)),
}
# Of its numbers only the levels matter here; the rest is as small as the class takes it.
VAE_21 = dict(base_dim=4, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1, attn_scales=[],
              temperal_downsample=[False, True, True], dropout=0.0, scale_factor_spatial=8, scale_factor_temporal=4,
              latents_mean=[0.0] * 16, latents_std=[1.0] * 16)
VAE_22 = dict(base_dim=4, decoder_base_dim=4, z_dim=48, dim_mult=[1, 2, 4, 4], num_res_blocks=1, attn_scales=[],
              temperal_downsample=[False, True, True], dropout=0.0, is_residual=True, in_channels=12, out_channels=12,
              patch_size=2, scale_factor_spatial=16, scale_factor_temporal=4, latents_mean=[0.0] * 48,
              latents_std=[1.0] * 48)


def transformer(folder, name, config, seed, stored):
    dit = round_to(fill(WanTransformer3DModel(**config), seed), stored[0])
    save_component(os.path.join(folder, name),
                   dict(config, _class_name="WanTransformer3DModel", _diffusers_version=diffusers.__version__),
                   dict(dit.named_parameters()), *stored, "diffusion_pytorch_model")
    return dit


def model(name, vae, index, shift, **parts):
    """Writes the folder; `parts`: (configuration, seed, how it is stored) of each transformer.  Returns the transformers and the VAE."""
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


class Rows(torch.Tensor):
    """An embedding that stands in TEXTS."""


def make_texts():
    g = torch.Generator().manual_seed(501)
    made = {n: torch.randn(n, WIDTHS[""]["text_dim"], generator=g) for n in (1, 40, 512)}
    write_safetensors(os.path.join(OUT, TEXTS), {str(n): rows for n, rows in made.items()})
    return {n: rows.as_subclass(Rows) for n, rows in made.items()}


def given(text):
    return f"{TEXTS}:{text.shape[0]}" if isinstance(text, Rows) else text


@torch.no_grad()
def forward_case(book, dit, name, shape, timestep, text, g):
    """timestep: a number, or a function of the token's number and of how many a frame has.  text: its rows, or how many
    random ones."""
    c = dit.config
    latents = torch.randn(1, c.in_channels, *shape, generator=g)
    if isinstance(text, int):
        text = torch.randn(text, c.text_dim, generator=g)
    inputs, params = {"latents": latents[0], "text": given(text)}, {}
    per_frame = shape[1] // 2 * (shape[2] // 2)
    if callable(timestep):
        t = torch.tensor([[float(timestep(i, per_frame)) for i in range(shape[0] * per_frame)]])
        inputs["timesteps"] = t[0]
    else:
        params["timestep"] = timestep
        # One number for each token, as WanPipeline gives it to TI2V; one in all for the others.
        t = torch.full((1, shape[0] * per_frame), timestep) if book.model.startswith("ti2v") else torch.tensor([timestep])
    out = dit(latents, t, pad_rows(text), return_dict=False)[0][0]
    book.add("forward", name, params, inputs, {"out": out})


@torch.no_grad()
def sample_case(book, parts, vae, index, name, size, guidance, guidance_2, shift, g, texts=None):
    width, height, frames = size
    pipe = WanPipeline(tokenizer=None, text_encoder=None, vae=vae, scheduler=scheduler_for("unipc", shift),
                       transformer=parts["transformer"], transformer_2=parts.get("transformer_2"), **index)
    pipe.set_progress_bar_config(disable=True)
    text, negative = texts or [torch.randn(n, parts["transformer"].config.text_dim, generator=g) for n in (7, 3)]
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
    book.add("sample", name, params, {"text": given(text), "negative": given(negative)}, {"latents": latents})


def make_a14b(which, seed, texts):
    index, g, book = {"boundary_ratio": 0.875}, torch.Generator().manual_seed(seed), Book("a14b" + which)
    shift = 3.0 if which == "" else 5.0
    config, stored = dict(WIDTHS[which], **A14B), STORED[which]
    parts, vae = model(book.model, VAE_21, index, shift, transformer=(dict(config, num_layers=1), seed + 1, stored[0]),
                       transformer_2=(dict(config, num_layers=2), seed + 2, stored[1]))
    high, low = parts["transformer"], parts["transformer_2"]
    if which == "":
        forward_case(book, high, "high", (2, 4, 6), 875.0, 9, g)
        forward_case(book, low, "low", (2, 4, 6), 874.0, 9, g)
        for name, guidance, guidance_2 in (("guided", 4.0, 3.0), ("guided-alike", 5.0, None), ("unguided", 1.0, None)):
            sample_case(book, parts, vae, index, name, (48, 32, 5), guidance, guidance_2, shift, g)
    forward_case(book, high, "high-1", (1, 2, 10), 999.0, texts[512], g)
    forward_case(book, low, "low-1", (1, 6, 2), 1.5, texts[1], g)
    forward_case(book, high, "high-17", (5, 2, 6), 876.0, texts[1], g)
    forward_case(book, low, "low-17", (5, 6, 2), 500.0, texts[40], g)
    for name, size, guidance, guidance_2, text, negative in (
            ("guided-1", (48, 16, 1), 4.0, 2.0, 512, 1), ("guided-17", (16, 48, 17), 3.0, None, 40, 40),
            ("unguided-5", (16, 80, 5), 1.0, None, 1, 1)):
        sample_case(book, parts, vae, index, name, size, guidance, guidance_2, shift, g, (texts[text], texts[negative]))
    return book


def make_ti2v(which, seed, texts):
    index, g, book = {"expand_timesteps": True}, torch.Generator().manual_seed(seed), Book("ti2v" + which)
    config = dict(WIDTHS[which], num_layers=1, **TI2V)
    if which == "":
        config.update(num_attention_heads=3, attention_head_dim=8, num_layers=2)
    parts, vae = model(book.model, VAE_22, index, 5.0, transformer=(config, seed + 1, STORED[which][0]))
    dit = parts["transformer"]
    first_frame = lambda i, n: 0.0 if i < n else 801.5  # as image-to-video has it, a first frame without noise
    mixed = lambda i, n: (999.0, 250.0, 12.5)[i * i % 3 + i % 2 * (i % 5 > 2)]  # three that change within a frame
    if which == "":
        forward_case(book, dit, "alike", (2, 4, 6), 637.0, 9, g)
        forward_case(book, dit, "first-frame", (3, 2, 4), first_frame, 40, g)
        forward_case(book, dit, "mixed", (2, 4, 6), mixed, 1, g)
        for name, guidance in (("guided", 5.0), ("unguided", 1.0)):
            sample_case(book, parts, vae, index, name, (96, 64, 5), guidance, None, 5.0, g)
    forward_case(book, dit, "alike-1", (1, 2, 6), 999.0, texts[512], g)
    forward_case(book, dit, "first-frame-5", (2, 4, 2), first_frame, texts[1], g)
    forward_case(book, dit, "mixed-17", (5, 2, 4), mixed, texts[40], g)
    for name, size, guidance, text, negative in (
            ("guided-1", (32, 96, 1), 4.0, 512, 1), ("guided-17", (96, 32, 17), 3.0, 40, 40),
            ("unguided-5", (32, 64, 5), 1.0, 1, 1)):
        sample_case(book, parts, vae, index, name, size, guidance, None, 5.0, g, (texts[text], texts[negative]))
    return book


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    texts = make_texts()
    books = [make(which, seed + 1000 * i, texts) for make, seed in ((make_a14b, 301), (make_ti2v, 401))
             for i, which in enumerate(WIDTHS)]
    for book in books:
        book.write(OUT)
    write_json(os.path.join(OUT, "index.json"), {
        "made_with": {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0]},
        "cases": [case for book in books for case in book.cases]})


if __name__ == "__main__":
    main()
