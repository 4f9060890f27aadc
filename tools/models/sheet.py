# SPDX-License-Identifier: LGPL-2.1-or-later
"""Contact sheets: clips as rows of frames in one PNG."""
import torch
from PIL import Image, ImageDraw


def write_sheet(path, clips, labels=None, every=2, scale=2):
    """Writes clips [N, 3, T, H, W] in [-1, 1] as N rows of every `every`-th frame, labelled above."""
    clips = clips[:, :, ::every]
    n, _, t, h, w = clips.shape
    bar = 14 if labels else 0
    sheet = Image.new("RGB", (t * (w * scale + 2), n * (h * scale + 2 + bar)), "white")
    pen = ImageDraw.Draw(sheet)
    pixels = ((clips.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    for i in range(n):
        top = i * (h * scale + 2 + bar)
        if labels:
            pen.text((2, top + 1), labels[i], fill="black")
        for j in range(t):
            image = Image.fromarray(pixels[i, :, j].permute(1, 2, 0).contiguous().numpy())
            sheet.paste(image.resize((w * scale, h * scale), Image.NEAREST),
                        (j * (w * scale + 2), top + bar))
    sheet.save(path)
