# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts a WanTransformer3DModel that knows where each of its tokens stands.

The class is told places only by rotations between tokens, that is by differences: on pure noise no weight
can name the left edge directly, and a small model trained from a random start does not find it in thousands
of updates (RECIPE.md).  But a look at the next token to the left falls on the token itself where there is no
next one.  So the first block copies each token's six neighbours (left, right, up, down, before, after) beside
its own content and its feed-forward part measures whether copy and content are the same: six signs of being
at a border.  The second block's heads read the neighbours' signs.  All of it is a start that training is free
to change, in weights of the unmodified class.
"""
import math

import torch

LOOKS = ((2, -1), (2, 1), (1, -1), (1, 1), (0, -1), (0, 1))  # (axis of t, h, w; offset), a head each
UNITS = 24  # pairs of feed-forward units that measure one difference
QUIET = 0.3  # a token's content in the residual stream; noise at full strength drowns places and prompt
SIGN = 2.0  # the size of a border's sign there


def _aim(attn, axis, offset, head, sharpness, extent):
    """Makes one head look at the token `offset` away along `axis`, whatever the content."""
    dim = attn.norm_q.weight.numel() // attn.heads
    side = 2 * (dim // 6)
    widths = (dim - 2 * side, side, side)
    starts = (0, widths[0], widths[0] + side)
    # The fastest rotation, 1 radian a token, comes round after 6; a slower one beside it tells those apart.
    for linear in (attn.to_q, attn.to_k):
        linear.weight[head * dim:(head + 1) * dim] *= 0.1
        linear.bias[head * dim:(head + 1) * dim] = 0.0
    for a in range(3):
        for band, strength in enumerate((sharpness, 1.9 * sharpness if extent[a] > 4 else 0.0)):
            turn = (offset if a == axis else 0) * 10000.0 ** (-2 * band / widths[a])
            d = head * dim + starts[a] + 2 * band
            length = math.sqrt(strength * math.sqrt(dim))
            attn.to_q.bias[d:d + 2] = length * torch.tensor([math.cos(turn), math.sin(turn)])
            attn.to_k.bias[d:d + 2] = length * torch.tensor([1.0, 0.0])


def _settle(attn):
    """Sets the norms' weights so that what the biases ask for is what comes out of the norm."""
    for linear, norm in ((attn.to_q, attn.norm_q), (attn.to_k, attn.norm_k)):
        norm.weight.fill_(float(linear.bias.square().mean().sqrt()))


@torch.no_grad()
def know_places(dit, extent, seed=4, sharpness=14.0):
    """`extent`: tokens along t, h, w.  Needs 6 heads or more, and a width of 6 shares beside a token's content."""
    g = torch.Generator().manual_seed(seed)
    first, second = dit.blocks[0], dit.blocks[1]
    width, content = dit.config.num_attention_heads * dit.config.attention_head_dim, dit.config.in_channels * 4
    dim, flags = dit.config.attention_head_dim, width - 2 * len(LOOKS)
    share = min((flags - content) // len(LOOKS), dim, content)
    for block in dit.blocks:
        block.scale_shift_table.mul_(0.2)
        block.scale_shift_table[0, 2] = block.scale_shift_table[0, 5] = 1.0
    weight = torch.zeros(width, content)
    weight[:content] = QUIET * torch.linalg.qr(torch.randn(content, content, generator=g))[0]
    dit.patch_embedding.weight.copy_(weight.view(dit.patch_embedding.weight.shape))
    dit.patch_embedding.bias.zero_()
    level = math.sqrt(width / content) / QUIET  # what the first norm makes of a token's content
    out1, out2 = first.attn1.to_out[0], second.attn1.to_out[0]
    first.attn2.to_out[0].weight[:flags] *= 0.03
    first.attn2.to_out[0].bias[:flags] = 0.0
    inner, outer = first.ffn.net[0].proj, first.ffn.net[2]
    outer.weight[:flags] *= 0.5
    out1.weight.zero_()
    out1.bias.zero_()
    for head, (axis, offset) in enumerate(LOOKS):
        for block in (first, second):
            _aim(block.attn1, axis, offset, head, sharpness, extent)
        rows = slice(head * dim, head * dim + share)
        place = slice(content + head * share, content + (head + 1) * share)
        project = torch.linalg.qr(torch.randn(content, share, generator=g))[0].T
        first.attn1.to_v.weight[head * dim:(head + 1) * dim] = 0.0
        first.attn1.to_v.bias[head * dim:(head + 1) * dim] = 0.0
        first.attn1.to_v.weight[rows, :content] = project / level
        out1.weight[place, rows] = torch.eye(share)
        # |copy - content| along random directions: gelu(d) + gelu(-d) is about |d|.
        look = torch.nn.functional.normalize(torch.randn(UNITS, share, generator=g), dim=1)
        units = 2 * UNITS * head
        difference = torch.zeros(UNITS, width)
        difference[:, place] = look
        difference[:, :content] = -look @ project
        inner.weight[units:units + UNITS] = 2 * difference
        inner.weight[units + UNITS:units + 2 * UNITS] = -2 * difference
        inner.bias[units:units + 2 * UNITS] = 0.0
        outer.weight[:, units:units + 2 * UNITS] = 0.0
        outer.weight[flags + head] = 0.0
        outer.weight[flags + head, units:units + 2 * UNITS] = -2 * SIGN / (UNITS * 2.2)
        outer.bias[flags + head] = SIGN
        # The second block: the neighbour's own sign, beside whatever the head's other values learn.
        value = second.attn1.to_v
        value.weight[head * dim] = 0.0
        value.weight[head * dim, flags + head] = 0.5
        value.bias[head * dim] = 0.0
        out2.weight[flags + len(LOOKS) + head] = 0.0
        out2.weight[flags + len(LOOKS) + head, head * dim] = 1.0
    for block in (first, second):
        _settle(block.attn1)
