"""Muon for matrices, AdamW for the rest, an average of the weights, and one schedule. Knows no model.

Muon (Keller Jordan, 2024): the step is the momentum made orthogonal by five Newton-Schulz iterations, times
0.2 * sqrt(larger side), which gives it AdamW's root mean square (Liu et al., arXiv 2502.16982).
"""

from collections import defaultdict

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
MOMENTUM = 0.95
WARMUP_STEPS = 20
DECAY_PART = 0.35


def orthogonalise(batch: Tensor) -> Tensor:
    """A batch of matrices [B, R, C] with their singular values pushed to about 1, in bfloat16."""
    a, b, c = NEWTON_SCHULZ
    wide = batch.shape[1] <= batch.shape[2]
    x = (batch if wide else batch.transpose(1, 2)).bfloat16()
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.transpose(1, 2)


class Muon:
    """Owns one momentum buffer per parameter; parameters of one matrix shape step together."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.groups: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        for parameter in parameters:
            self.groups[(parameter.shape[0], parameter[0].numel())].append(parameter)
        self.momenta = {parameter: torch.zeros_like(parameter) for parameter in parameters}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for shape, members in self.groups.items():
            members = [parameter for parameter in members if parameter.grad is not None]
            if members:
                self.step_group(shape, members, rate)

    def step_group(self, shape: tuple[int, int], members: list[nn.Parameter], rate: float) -> None:
        nesterov = []
        for parameter in members:
            momentum = self.momenta[parameter].mul_(MOMENTUM).add_(parameter.grad)
            nesterov.append((parameter.grad + MOMENTUM * momentum).reshape(shape))
        size = rate * 0.2 * max(shape) ** 0.5
        for parameter, update in zip(members, orthogonalise(torch.stack(nesterov)), strict=True):
            parameter.sub_(size * update.reshape(parameter.shape).to(parameter.dtype))


def schedule(step: int, steps: int, floor: float) -> float:
    """Short linear warm-up, constant, then linear down to `floor` over the last part."""
    left = (steps - step) / (DECAY_PART * steps)
    return min(1.0, (step + 1) / WARMUP_STEPS, floor + (1.0 - floor) * left)


class Trainer:
    """Owns the optimisers and the averaged copy of one model's weights for one stage."""

    def __init__(
        self, model: nn.Module, steps: int, muon_rate: float, adam_rate: float, ema: float, floor: float
    ) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        matrices = [p for p in self.parameters if p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= 8]
        chosen = set(matrices)
        others = [parameter for parameter in self.parameters if parameter not in chosen]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.muon_rate, self.adam_rate = muon_rate, adam_rate
        self.steps, self.ema, self.floor = steps, ema, floor
        self.step_count = 0

    def gradients(self, loss: Tensor) -> list[Tensor | None]:
        return list(torch.autograd.grad(loss, self.parameters, allow_unused=True))

    def step(self, gradients: list[Tensor | None]) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        scale = schedule(self.step_count, self.steps, self.floor)
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * scale
        self.muon.step(self.muon_rate * scale)
        self.adam.step()
        self.step_count += 1
        keep = min(self.ema, self.step_count / (self.step_count + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1.0 - keep)

    def load_average(self) -> None:
        """End the stage: the model takes the averaged weights."""
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.average, strict=True):
                parameter.copy_(average)
