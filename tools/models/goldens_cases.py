# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the reference on a model and collects cases: inputs, parameters, what must come out.

A case is a dict for index.json; its tensors go into one safetensors file per model and kind, as
`<case>.<name>`.  The reference is `diffusers` and `transformers` in f32 on the CPU, called as
WanPipeline calls them: ids padded to 512 with a mask, rows past the real length set to zero.
"""

import contextlib
import io
import os

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanPipeline
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from safetensors.torch import save_file
from transformers import UMT5Config
from transformers.models.umt5.modeling_umt5 import UMT5Attention

MAX_TOKENS = 512
EOS = 1


class Book:
    """Collects the cases of one model, and writes one safetensors file per kind.

    A tensor that stands in another file already is given as "file:key"."""

    def __init__(self, model):
        self.model, self.cases, self.tensors = model, [], {}

    def add(self, kind, name, params, inputs, outputs, **more):
        file = f"{kind}-{self.model}.safetensors"
        entry = dict(kind=kind, model=self.model, name=name, file=file, params=params, **more)
        for part, values in (("inputs", inputs), ("outputs", outputs)):
            entry[part] = {}
            for port, value in values.items():
                if isinstance(value, str):
                    entry[part][port] = value
                    continue
                key = f"{name}.{port}"
                self.tensors.setdefault(file, {})[key] = value.detach().contiguous().clone()
                entry[part][port] = key
        self.cases.append(entry)

    def write(self, folder):
        for file, tensors in self.tensors.items():
            save_file(dict(sorted(tensors.items())), f"{folder}/{file}")
            os.chmod(f"{folder}/{file}", 0o644)


def long_prompt(words):
    seed = "a small red ball rolls right over green grass while the large blue star stands still".split()
    return " ".join(seed[(i * i + 3 * i) % len(seed)] for i in range(words))


def prompt_of(spm, tokens, seed, filler):
    """A prompt of exactly so many tokens, the end mark among them: words of the seed, then fillers of one token."""
    words = seed.split(" ")
    while len(words) > 1 and ids_of(spm, " ".join(words))[1] > tokens:
        words.pop()
    prompt = " ".join(words)
    while ids_of(spm, prompt)[1] < tokens:
        prompt += filler
    if ids_of(spm, prompt)[1] != tokens:
        raise SystemExit(f"no prompt of {tokens} tokens: {prompt!r} has {ids_of(spm, prompt)[1]}")
    return prompt


def ids_of(spm, prompt):
    """Token ids as the reference makes them: cleaned, cut at 512 with the end mark kept."""
    ids = spm.encode(prompt_clean(prompt))
    return ids[:MAX_TOKENS - 1] + [EOS], len(ids) + 1


@torch.no_grad()
def embed(text, ids):
    padded = torch.zeros(1, MAX_TOKENS, dtype=torch.long)
    padded[0, :len(ids)] = torch.tensor(ids)
    mask = (torch.arange(MAX_TOKENS)[None] < len(ids)).long()
    return text(padded, mask).last_hidden_state[0, :len(ids)]


def text_cases(book, spm, text, prompts):
    for name, prompt in prompts:
        ids, full = ids_of(spm, prompt)
        outputs = {"tokens": torch.tensor(ids)}
        if full <= MAX_TOKENS:
            outputs["embedding"] = embed(text, ids)
        book.add("text", name, {"prompt": prompt}, {}, outputs, tokens_in_full=full)


def pad_rows(rows):
    return torch.cat([rows, rows.new_zeros(MAX_TOKENS - rows.shape[0], rows.shape[1])])[None]


@torch.no_grad()
def dit_case(book, dit, name, shape, timestep, rows, g):
    """One forward, conditional and unconditional (one row: an empty prompt's end mark).  Rows: how many, or the name of
    a case of the text encoder, whose embedding is taken."""
    c = dit.config
    latents = torch.randn(1, c.in_channels, *shape, generator=g)
    given = None
    if isinstance(rows, str):
        given = f"text-{book.model}.safetensors:{rows}.embedding"
        text = book.tensors[f"text-{book.model}.safetensors"][f"{rows}.embedding"]
    else:
        text = torch.randn(rows, c.text_dim, generator=g)
    negative = torch.randn(1, c.text_dim, generator=g)
    t = torch.tensor([timestep])
    cond = dit(latents, t, pad_rows(text), return_dict=False)[0][0]
    uncond = dit(latents, t, pad_rows(negative), return_dict=False)[0][0]
    book.add("dit", name, {"timestep": timestep},
             {"latents": latents[0], "text": given or text, "negative": negative},
             {"cond": cond, "uncond": uncond})


@torch.no_grad()
def vae_case(book, vae, name, shape, g):
    """Decode of latents as the denoiser gives them: latents * std + mean is what enters the VAE."""
    c = vae.config
    latents = torch.randn(c.z_dim, *shape, generator=g)
    mean = torch.tensor(c.latents_mean).view(1, -1, 1, 1, 1)
    std = 1.0 / torch.tensor(c.latents_std).view(1, -1, 1, 1, 1)
    video = vae.decode(latents[None] / std + mean, return_dict=False)[0][0]
    frames = (video / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
    book.add("vae", name, {}, {"latents": latents}, {"frames": frames})


def scheduler_for(sampler, shift):
    if sampler == "euler":
        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=shift)
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True,
                                   flow_shift=shift, solver_order=2, solver_type="bh2",
                                   predict_x0=True, lower_order_final=True,
                                   final_sigmas_type="zero", timestep_spacing="linspace")


@torch.no_grad()
def pipeline_case(book, parts, name, scheduler, params):
    """A prompt in, latents and frames out: WanPipeline itself.  The ids come from sentencepiece."""
    spm, text, dit, vae = parts
    p = params
    pipe = WanPipeline(tokenizer=None, text_encoder=text, transformer=dit, vae=vae,
                       scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    latents = []

    def keep(pipe, i, t, kw):
        latents.append(kw["latents"][0].clone())
        return kw

    embeds = [pad_rows(embed(text, ids_of(spm, p[k])[0])) for k in ("prompt", "negative-prompt")]
    with contextlib.redirect_stderr(io.StringIO()):
        video = pipe(prompt_embeds=embeds[0], negative_prompt_embeds=embeds[1],
                     height=p["height"], width=p["width"], num_frames=p["frames"],
                     num_inference_steps=p["steps"], guidance_scale=p["guidance-scale"],
                     generator=torch.Generator().manual_seed(p["seed"]), output_type="np",
                     callback_on_step_end=keep).frames[0]
    frames = torch.from_numpy(np.rint(video * 255.0).astype(np.uint8))
    book.add("pipeline", name, p, {}, {"latents": latents[-1], "frames": frames})


CLEANING = [
    "a red ball", "  a\tred\n\nball  ", "fish &amp; chips", "fish &amp;amp; chips",
    "&amp;amp;amp; stays one", "&lt;b&gt;bold&lt;/b&gt;", "caf&eacute; na&iuml;ve", "&copy 2020",
    "&notit; &notin; &not;", "&ampamp;", "&NotEqualTilde; &bne;", "&#65;&#x42;&#X43;", "&#x80; &#130;",
    "&#0;|&#xD800;|&#x110000;|&#99999999999999999999;", "&#1;|&#11;|&#x1F;|&#xFFFE;|&#xFDD0;", "&#13;x",
    "a\u00a0b\u2003c\u3000d\u2028e\u0085f\u1680g", "\x1cx\x1d\x1ey\x1f", "\u200bzero width\u200b",
    "&nbsp;&nbsp;padded&nbsp;", "&", "&&", "&;", "&#;", "&#x;", "&#xg", "& amp;", "&nosuchname;",
    "&CounterClockwiseContourIntegral;", "&CounterClockwiseContourIntegralX;", "&aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaamp;",
    "&gt&lt&quot", "&gtx &ltdot;", "&#65 &#x41", "日本語 &#26085;", "Ａ full width", "\ufeffbom", "",
    " \u2003 ", "&#38;amp;", "&#38;#38;amp;", "&éacute;", "&amp\u00e9;", "</s> <extra_id_0> <pad> <unk>",
]
TOKENISED = [
    "a red ball rolls right over green grass", "A LARGE Blue Star.", "café naïve façade", "</s>",
    "a </s> b", "<extra_id_0> ball", "<pad><unk>", "日本語の猫 🐈 runs", "Ａ full width ﬁ ligature ①",
    "e\u0301 combining", "a  b   c", "1234567890", "x" * 200, "▁ball ▁▁ star", "don't -- stop?!",
    "a\u200bb", "\ufeffbom", "", "<0x41>", "tab\tnew\nline", "ΑΒΓ абв", "𝒜𝓁𝓁 𝖒𝖆𝖙𝖍", "½ ㎏ ℃",
]


def bucket_tables():
    """The buckets of UMT5's relative position bias: [buckets, largest distance, the first distance, the buckets]."""
    out = []
    for buckets, most, reach in ((32, 128, 600), (16, 40, 100), (64, 256, 300), (8, 20, 40), (4, 3, 10)):
        config = UMT5Config(relative_attention_num_buckets=buckets, d_model=8, d_kv=4, num_heads=2,
                            relative_attention_max_distance=most)
        layer = UMT5Attention(config, has_relative_attention_bias=True)
        found = layer._relative_position_bucket(torch.arange(-reach, reach + 1))
        out.append([buckets, most, -reach, found.tolist()])
    return out


def text_tables(spm):
    """Cleaning and tokenising, as JSON: what goes in, what comes out."""
    return ([[s, prompt_clean(s)] for s in CLEANING],
            [[s, ids_of(spm, s)[0]] for s in TOKENISED])
