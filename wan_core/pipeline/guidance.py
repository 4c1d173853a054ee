"""Classifier-free guidance (arXiv 2207.12598): away from what the negative prompt gives, in float32.

One expert, two texts: one pass after the other, or both as two samples of one pass. A scale of 1 is the
prompt's own velocity, and takes one pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from wan_core.model.compiled import Forward
from wan_core.model.rope import Rope
from wan_core.pipeline.recipe import BATCHED
from wan_core.pipeline.text import Prompts

Velocity = Callable[[Tensor, Tensor], Tensor]
"""Latents [1, C, T, h, w] and timesteps [1, N] to the velocity [1, C', T, h, w], float32."""


def build_velocity(
    expert: nn.Module, forward: Forward, prompts: Prompts, scale: float, rope: Rope, how: str
) -> Velocity:
    """What one expert, run by `forward`, says under guidance of this scale.

    Projects the texts: once for all steps.
    """
    if prompts.negative is None or scale == 1:
        return _alone(forward, _project(expert, prompts.positive), rope)
    states = (prompts.positive, prompts.negative)
    if how == BATCHED:
        return _together(forward, _project(expert, torch.cat(states)), scale, rope)
    return _in_turn(forward, [_project(expert, state) for state in states], scale, rope)


def _alone(forward: Forward, text: Tensor, rope: Rope) -> Velocity:
    def velocity(latents: Tensor, timestep: Tensor) -> Tensor:
        return forward(latents.to(text.dtype), timestep, text, rope).float()

    return velocity


def _in_turn(forward: Forward, texts: list[Tensor], scale: float, rope: Rope) -> Velocity:
    prompted, unprompted = (_alone(forward, text, rope) for text in texts)

    def velocity(latents: Tensor, timestep: Tensor) -> Tensor:
        return _guide(prompted(latents, timestep), unprompted(latents, timestep), scale)

    return velocity


def _together(forward: Forward, text: Tensor, scale: float, rope: Rope) -> Velocity:
    both = _alone(forward, text, rope)

    def velocity(latents: Tensor, timestep: Tensor) -> Tensor:
        samples = both(latents.expand(2, -1, -1, -1, -1), timestep.expand(2, -1))
        return _guide(*samples.chunk(2), scale)

    return velocity


def _project(expert: nn.Module, states: Tensor) -> Tensor:
    return expert.prepare_text(states.to(expert.text_in.weight.dtype))


def _guide(prompted: Tensor, unprompted: Tensor, scale: float) -> Tensor:
    return unprompted + scale * (prompted - unprompted)
