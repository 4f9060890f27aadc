# SPDX-License-Identifier: LGPL-2.1-or-later
"""The text encoder and the DiT of the Wan classes, written flat for training: the classes' own weights.

Two things make it cheap.  The pipeline pads a prompt to 512 zero rows which are attended to; all pad keys
are equal, so one pad key with log(512 - n) added to its score stands for them.  And clips stay token
rows ([N, tokens, patch * channels], a patch's pixels before its channels), so that patching is a Linear.
`check()` proves both against the classes.
"""
import math

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

TEXT_ROWS = 512
LOUD = 0.6  # the spread that prompts make in a token, whose own is about 1


def build_text(vocab, d_model=192, layers=3, heads=6, d_kv=32, d_ff=384):
    config = UMT5Config(
        vocab_size=vocab, d_model=d_model, d_kv=d_kv, d_ff=d_ff, num_layers=layers, num_heads=heads,
        relative_attention_num_buckets=32, relative_attention_max_distance=128, dropout_rate=0.0,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, is_encoder_decoder=False,
        use_cache=False, tie_word_embeddings=False)
    return UMT5EncoderModel(config)


def build_dit(channels, text_dim=192, heads=8, head_dim=32, layers=6, ffn=1024, freq_dim=128):
    dit = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=heads, attention_head_dim=head_dim,
        in_channels=channels, out_channels=channels, text_dim=text_dim, freq_dim=freq_dim, ffn_dim=ffn,
        num_layers=layers, cross_attn_norm=True, qk_norm="rms_norm_across_heads", eps=1e-6,
        rope_max_seq_len=1024)
    with torch.no_grad():
        for block in dit.blocks:
            block.ffn.net[0].proj.weight *= 1.5
        dit.proj_out.weight *= 0.1
    return dit


@torch.no_grad()
def hear_the_prompt(dit, text, ids, mask, seed=3):
    """Starts cross-attention so that a prompt weighs as much as what a token knows of itself.

    Two things drown it in a fresh model.  512 - n equal pad keys against a dozen real ones take over 99 % of the
    attention: a pad row's key is a bias alone, which is set against the queries' bias along one direction, where
    a real row's key has little weight.  And six linear layers, each shrinking by 1.7 as torch starts them, leave a
    hundredth of what the rows say: each is scaled, from the second block on, until prompts differ by `LOUD` in
    every token (measured on the captions given; both effects in RECIPE.md).  ids, mask: [N, L], some captions.
    """
    generator = torch.Generator().manual_seed(seed)
    embed = dit.condition_embedder.text_embedder
    rows = encode_text(text, ids, mask, buckets_of(text, ids.shape[1]))

    def deviation(x):
        return (x - x.mean(0)).std()

    before = embed.linear_1(rows[mask])
    scale = 1 / deviation(before)
    embed.linear_1.weight *= scale
    embed.linear_1.bias.copy_(-(embed.linear_1.weight @ rows[mask].mean(0)))
    embed.linear_2.weight /= deviation(embed(rows[mask]))
    embed.linear_2.bias -= embed(torch.zeros(1, rows.shape[-1]))[0]
    context = embed(rows * mask[..., None])
    context = torch.cat([context, torch.zeros_like(context[:, :1])], 1)
    bias = torch.cat([torch.where(mask, 0.0, -1e9),
                      torch.log(TEXT_ROWS - mask.sum(1, keepdim=True, dtype=torch.float32))], 1)
    for i, block in enumerate(dit.blocks):
        attn = block.attn2
        width = attn.to_q.in_features
        sign = torch.randint(0, 2, (width,), generator=generator) * 2.0 - 1.0
        x = torch.randn(len(ids), 8, width, generator=generator)
        strength = (context[:, :-1][mask] @ attn.to_k.weight.T).square().mean().sqrt()
        attn.to_k.bias.copy_(-0.3 * strength * sign)
        attn.to_q.bias.copy_(1.8 * (x @ attn.to_q.weight.T).square().mean().sqrt() * sign)
        attn.norm_q.weight.fill_(1.45)
        attn.norm_k.weight.fill_(1.45)
        if i > 0:
            said = _attend(attn, x, context, None, bias[:, None, None])
            attn.to_out[0].weight *= LOUD / deviation(said.flatten(0, 1))
            attn.to_out[0].bias -= _attend(attn, x, context, None, bias[:, None, None]).mean((0, 1))


def tokens_of(latents):
    """[N, C, t, h, w] -> [N, t * h/2 * w/2, 4 * C], as the transformer's own output rows."""
    n, c, t, h, w = latents.shape
    x = latents.reshape(n, c, t, h // 2, 2, w // 2, 2).permute(0, 2, 3, 5, 4, 6, 1)
    return x.reshape(n, t * (h // 2) * (w // 2), 4 * c)


def latents_of(tokens, t, h, w):
    n, _, d = tokens.shape
    x = tokens.reshape(n, t, h // 2, w // 2, 2, 2, d // 4).permute(0, 6, 1, 2, 4, 3, 5)
    return x.reshape(n, d // 4, t, h, w)


def rotations(dit, t, h, w):
    """cos and sin [1, 1, tokens, head_dim / 2] for a latent of that size, the class's own."""
    shape = torch.empty(1, 1, t, h, w)
    cos, sin = dit.rope(shape)
    return (cos[..., 0::2].permute(0, 2, 1, 3).float().contiguous(),
            sin[..., 1::2].permute(0, 2, 1, 3).float().contiguous())


def _rotate(x, cos, sin):
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def encode_text(text, ids, mask, buckets):
    """Rows [N, L, d] of the real tokens; what stands past them is not used.  mask: bool [N, L]."""
    x = F.embedding(ids, text.shared.weight)
    bias = torch.where(mask, 0.0, -1e9)[:, None, None]
    for block in text.encoder.block:
        attn, norm = block.layer[0].SelfAttention, block.layer[0].layer_norm
        y = F.rms_norm(x, x.shape[-1:], norm.weight, 1e-6)
        q, k, v = (m(y).unflatten(-1, (attn.n_heads, -1)).transpose(1, 2)
                   for m in (attn.q, attn.k, attn.v))
        place = F.embedding(buckets, attn.relative_attention_bias.weight).permute(2, 0, 1)
        score = q @ k.transpose(-1, -2) + place + bias
        x = x + attn.o((score.softmax(-1) @ v).transpose(1, 2).flatten(2))
        dense, norm = block.layer[1].DenseReluDense, block.layer[1].layer_norm
        y = F.rms_norm(x, x.shape[-1:], norm.weight, 1e-6)
        x = x + dense.wo(F.gelu(dense.wi_0(y), approximate="tanh") * dense.wi_1(y))
    return F.rms_norm(x, x.shape[-1:], text.encoder.final_layer_norm.weight, 1e-6)


def buckets_of(text, length):
    attn = text.encoder.block[0].layer[0].SelfAttention
    place = torch.arange(length)
    return attn._relative_position_bucket(place[None] - place[:, None])


def _attend(attn, q, context, rope, bias):
    heads = (attn.heads, -1)
    k = F.rms_norm(attn.to_k(context), (attn.norm_k.weight.numel(),), attn.norm_k.weight, 1e-6)
    q = F.rms_norm(attn.to_q(q), (attn.norm_q.weight.numel(),), attn.norm_q.weight, 1e-6)
    q, k = q.unflatten(-1, heads).transpose(1, 2), k.unflatten(-1, heads).transpose(1, 2)
    v = attn.to_v(context).unflatten(-1, heads).transpose(1, 2)
    if rope is not None:
        q, k = _rotate(q, *rope), _rotate(k, *rope)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return attn.to_out[0](out.transpose(1, 2).flatten(2))


def denoise(dit, tokens, timestep, rows, mask, rope, tap=None):
    """The transformer's output as token rows, from noisy token rows and the text encoder's rows.

    With `tap` the rows behind that block too: (output, rows)."""
    c = dit.condition_embedder
    half = c.timesteps_proj.num_channels // 2
    freqs = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = timestep[:, None] * freqs
    time = c.time_embedder.linear_1(torch.cat([angles.cos(), angles.sin()], -1))
    time = c.time_embedder.linear_2(F.silu(time))
    six = c.time_proj(F.silu(time)).unflatten(1, (6, -1))
    rows = torch.cat([rows * mask[..., None], rows.new_zeros(len(rows), 1, rows.shape[-1])], 1)
    context = c.text_embedder(rows)
    bias = torch.cat([torch.where(mask, 0.0, -1e9),
                      torch.log(TEXT_ROWS - mask.sum(1, keepdim=True, dtype=torch.float32))], 1)
    bias = bias[:, None, None]
    weight = dit.patch_embedding.weight.permute(0, 2, 3, 4, 1).flatten(1)
    x = F.linear(tokens, weight, dit.patch_embedding.bias)
    tapped = None
    for i, block in enumerate(dit.blocks):
        shift, scale, gate, shift2, scale2, gate2 = (block.scale_shift_table + six).chunk(6, 1)
        y = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
        x = x + _attend(block.attn1, y, y, rope, None) * gate
        y = F.layer_norm(x, x.shape[-1:], block.norm2.weight, block.norm2.bias, 1e-6)
        x = x + _attend(block.attn2, y, context, None, bias)
        y = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale2) + shift2
        first, second = block.ffn.net[0].proj, block.ffn.net[2]
        x = x + second(F.gelu(first(y), approximate="tanh")) * gate2
        if i == tap:
            tapped = x
    shift, scale = (dit.scale_shift_table + time[:, None]).chunk(2, 1)
    out = dit.proj_out(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)
    return out if tap is None else (out, tapped)


def pad_ids(rows, length=None):
    """Lists of token ids -> ids [N, L] and their mask."""
    length = length or max(map(len, rows))
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
    mask = torch.arange(length)[None] < torch.tensor([len(r) for r in rows])[:, None]
    return ids, mask


def check(dit, text, t=5, h=8, w=8):
    """The largest difference from the classes on 512 padded rows: (text rows, DiT output)."""
    with torch.no_grad():
        ids, mask = pad_ids([[5, 9, 12, 30, 1], [1], [7, 8, 9, 10, 11, 12, 13, 1]])
        rows = encode_text(text, ids, mask, buckets_of(text, ids.shape[1]))
        padded = F.pad(ids, (0, TEXT_ROWS - ids.shape[1]))
        long_mask = F.pad(mask, (0, TEXT_ROWS - ids.shape[1]))
        want = text(padded, long_mask.long()).last_hidden_state * long_mask[..., None]
        text_error = float((want[:, :ids.shape[1]] - rows * mask[..., None]).abs().max())
        latents = torch.randn(3, dit.config.in_channels, t, h, w)
        timestep = torch.tensor([999.0, 500.0, 12.0])
        out = dit(latents, timestep, want, return_dict=False)[0]
        mine = denoise(dit, tokens_of(latents), timestep, rows, mask, rotations(dit, t, h, w))
        return text_error, float((out - latents_of(mine, t, h, w)).abs().max() / out.abs().max())
