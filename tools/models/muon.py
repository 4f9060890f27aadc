# SPDX-License-Identifier: LGPL-2.1-or-later
"""Muon for convolution and matrix weights: momentum, then the nearest orthogonal update.

After Keller Jordan's description (2024): five Newton-Schulz steps of the quintic 3.4445, -4.7750, 2.0315.
Weights of one shape go through the iteration as one batch.
"""
import torch


class Muon:
    """Updates tensors of two and more dimensions; `rate` is set from outside before each step."""

    def __init__(self, params, momentum=0.9):
        self.params, self.momentum, self.rate = list(params), momentum, 0.0
        self.buffers = [torch.zeros_like(p) for p in self.params]
        self.groups = {}
        for i, p in enumerate(self.params):
            self.groups.setdefault((p.shape[0], p[0].numel()), []).append(i)

    @torch.no_grad()
    def step(self):
        for (rows, cols), members in self.groups.items():
            stack = []
            members = [i for i in members if self.params[i].grad is not None]
            if not members:
                continue
            for i in members:
                grad, buffer = self.params[i].grad, self.buffers[i]
                buffer.lerp_(grad, 1 - self.momentum)
                stack.append(grad.lerp(buffer, self.momentum).reshape(rows, cols))
            update = _orthogonal(torch.stack(stack))
            scale = self.rate * max(1.0, rows / cols) ** 0.5
            for i, u in zip(members, update):
                p = self.params[i]
                p.mul_(1 - 0.01 * self.rate)
                p.add_(u.view(p.shape), alpha=-scale)
                p.grad = None


def _orthogonal(x):
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        a = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.transpose(1, 2) if tall else x
