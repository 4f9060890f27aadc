# SPDX-License-Identifier: LGPL-2.1-or-later
"""AutoencoderKLWan in one pass, for training: the class's own weights, several times its speed.

The class encodes 1 frame and then 4 at a time, and decodes one latent frame at a time, through a cache of
two frames per convolution.  The same sums in one pass: every causal convolution sees two zero frames
before the first; a temporal resampling leaves the first frame alone.  `check()` proves it against the
class.  For single frames a causal 3D convolution is its last time slice alone, as a 2D convolution.
"""
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders import autoencoder_kl_wan as wan


def _conv(m, x):
    kt = m.kernel_size[0]
    pad = (m._padding[2], m._padding[0])
    if x.shape[2] == 1 and m.stride[0] == 1:
        y = F.conv2d(x[:, :, 0], m.weight[:, :, -1].contiguous(memory_format=torch.channels_last),
                     m.bias, m.stride[1:], pad)
        return y[:, :, None]
    if m._padding[4]:
        x = F.pad(x, (0, 0, 0, 0, kt - 1, 0))
    x = x.contiguous(memory_format=torch.channels_last_3d)
    weight = m.weight.contiguous(memory_format=torch.channels_last_3d)
    return F.conv3d(x, weight, m.bias, m.stride, (0, *pad))


@torch.compile(dynamic=True)  # fused: four times the speed of its parts
def _norm_silu(rows, gamma):
    return F.silu(rows * torch.rsqrt(rows.square().mean(1, keepdim=True) + 1e-12) * gamma)


def _active(norm, x):
    """RMS norm and SiLU, on rows of channels: one shape for the compiler, free in channels-last."""
    last = x.permute(0, 2, 3, 4, 1)
    rows = _norm_silu(last.reshape(-1, last.shape[-1]).contiguous(), norm.gamma.view(-1))
    return rows.view(last.shape).permute(0, 4, 1, 2, 3)


def _resnet(m, x):
    h = _conv(m.conv_shortcut, x) if isinstance(m.conv_shortcut, wan.WanCausalConv3d) else x
    x = _conv(m.conv1, _active(m.norm1, x))
    return h + _conv(m.conv2, _active(m.norm2, x))


def _resample(m, x):
    b, c, t, h, w = x.shape
    if m.mode == "upsample3d" and t > 1:
        rest = _conv(m.time_conv, x[:, :, 1:]).reshape(b, 2, c, t - 1, h, w)
        rest = rest.permute(0, 2, 3, 1, 4, 5).reshape(b, c, 2 * (t - 1), h, w)
        x = torch.cat([x[:, :, :1], rest], 2)
        t = x.shape[2]
    x = x.permute(0, 2, 1, 3, 4).reshape(b * t, c, h, w)
    x = m.resample(x.contiguous(memory_format=torch.channels_last))
    x = x.reshape(b, t, *x.shape[1:]).permute(0, 2, 1, 3, 4)
    if m.mode == "downsample3d" and t > 1:
        x = torch.cat([x[:, :, :1], _conv(m.time_conv, x)], 2)
    return x


def _mid(m, x):
    x = _resnet(m.resnets[0], x)
    for attention, resnet in zip(m.attentions, m.resnets[1:]):
        x = _resnet(resnet, attention(x))
    return x


def encode(vae, x):
    """Clips [N, 3, T, H, W] -> the posterior's mean and log variance, each [N, z, t, h, w]."""
    e = vae.encoder
    x = _conv(e.conv_in, x)
    for block in e.down_blocks:
        x = _resample(block, x) if isinstance(block, wan.WanResample) else _resnet(block, x)
    x = _active(e.norm_out, _mid(e.mid_block, x))
    mean, logvar = _conv(vae.quant_conv, _conv(e.conv_out, x)).chunk(2, 1)
    return mean, logvar.clamp(-30, 20)


def decode(vae, z):
    """Latents (not normalised) -> clips, not clamped."""
    d = vae.decoder
    x = _mid(d.mid_block, _conv(d.conv_in, _conv(vae.post_quant_conv, z)))
    for block in d.up_blocks:
        for resnet in block.resnets:
            x = _resnet(resnet, x)
        for resample in block.upsamplers or ():
            x = _resample(resample, x)
    return _conv(d.conv_out, _active(d.norm_out, x))


def build(z_dim=12, base_dim=16, num_res_blocks=1, **config):
    """A fresh AutoencoderKLWan which starts as a model of single frames, repeated in time."""
    vae = AutoencoderKLWan(base_dim=base_dim, z_dim=z_dim, num_res_blocks=num_res_blocks,
                           dim_mult=[1, 2, 4, 4], attn_scales=[],
                           temperal_downsample=[False, True, True],
                           latents_mean=[0.0] * z_dim, latents_std=[1.0] * z_dim, **config)
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, wan.WanCausalConv3d) and module.kernel_size == (3, 3, 3):
                module.weight[:, :, :2] *= 0.1
                module.weight[:, :, 2] *= 1.7
        for module in vae.modules():
            if isinstance(module, wan.WanResample) and hasattr(module, "time_conv"):
                conv = module.time_conv
                conv.weight.mul_(0.1)
                conv.bias.zero_()
                eye = torch.eye(conv.in_channels)
                if module.mode == "upsample3d":
                    conv.weight[:, :, -1, 0, 0] += torch.cat([eye, eye])
                else:
                    conv.weight[:, :, 1, 0, 0] += eye
    return vae


def check(vae, frames=9, side=32):
    """The largest difference between this file and the class, encoding and decoding."""
    with torch.no_grad():
        x = torch.rand(1, 3, frames, side, side) * 2 - 1
        posterior = vae.encode(x).latent_dist
        mean, _ = encode(vae, x)
        clip = vae.decode(mean).sample
        return (float((posterior.mean - mean).abs().max()),
                float((clip - decode(vae, mean).clamp(-1, 1)).abs().max()))
