"""The loop: noise to latents, step by step, with one expert after the other.

All that the loop needs is known before it begins: timesteps and coefficients are numbers, rotary tables and
projected texts lie on the device, and nothing is read back from it. Progress is told when a step is done
there, while the next one is being launched. Not covered: batches of videos, caches between steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from wan_core.model.compiled import Recorded
from wan_core.model.rope import Rope, build_rope
from wan_core.pipeline.conditions import Condition, build_condition
from wan_core.pipeline.guidance import build_velocity
from wan_core.pipeline.schedule import TRAIN_TIMESTEPS, State, Step, advance, begin
from wan_core.pipeline.studio import Check, Studio, latent_shape
from wan_core.pipeline.text import Prompts
from wan_core.pipeline.vae import check_finite
from wan_core.plan.request import Request


@dataclass(frozen=True)
class Phase:
    """Consecutive steps of one expert. `first` is the number of steps before."""

    expert: str
    scale: float
    first: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Tables:
    """What lies on the device from the first step to the last. `timesteps` are [steps, 1, N]."""

    rope: Rope
    timesteps: Tensor


@torch.no_grad()
def denoise(
    studio: Studio,
    request: Request,
    prompts: Prompts,
    image: Image.Image | None,
    on_step: Callable[[int], None],
    check: Check,
) -> Tensor:
    """Noise to latents [1, C, T, h, w], float32, normalised as the transformer sees them.

    `on_step(n)` after the n-th step; `check` between steps and before every block. InternalError if the
    result is not finite.
    """
    device, shape = studio.residency.device, latent_shape(studio.parts.vae.config, request)
    condition = build_condition(studio, request, image)
    config = studio.parts.transformer.config
    t, h, w = (size // patch for size, patch in zip(shape[2:], config.patch, strict=True))
    timesteps = expand_timesteps(studio.schedule, condition.clean, t).to(device)
    tables = Tables(build_rope((t, h, w), config.head_dim, device), timesteps)
    state = begin(studio.schedule, draw_noise(shape, request.seed).to(device))
    pace = Pace(device, on_step)
    for phase in divide(studio, request):
        state = run_phase(studio, phase, prompts, condition, tables, state, pace, check)
    pace.finish()
    latents = condition.finish(state[0])
    check_finite(latents, "the denoised latents")
    return latents


def run_phase(
    studio: Studio,
    phase: Phase,
    prompts: Prompts,
    condition: Condition,
    tables: Tables,
    state: State,
    pace: Pace,
    check: Check,
) -> State:
    """The steps of one expert. Its projected texts live as long as it is at work."""
    studio.residency.bring(phase.expert)
    expert = studio.residency.parts[phase.expert]
    forward = Recorded(expert) if studio.recipe.recorded else expert
    velocity = build_velocity(expert, forward, prompts, phase.scale, tables.rope, studio.recipe.guidance.name)
    with checked(expert.blocks, check):
        for number, step in enumerate(phase.steps, phase.first):
            check()
            given = condition.view(state[0])
            state = advance(step, state, velocity(given, tables.timesteps[number]))
            pace.launched(number + 1)
    return state


def draw_noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """The same for a seed whatever the device: drawn on the CPU, in float32."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")


def divide(studio: Studio, request: Request) -> list[Phase]:
    """The high-noise expert down to the boundary, the low-noise one below; one expert takes all steps."""
    index, schedule = studio.parts.index, studio.schedule
    boundary = 0.0 if index.boundary_ratio is None else index.boundary_ratio * TRAIN_TIMESTEPS
    high = tuple(step for step in schedule if step.timestep >= boundary)
    phases = [
        Phase("transformer", request.guidance_high, 0, high),
        Phase("transformer_2", request.guidance_low, len(high), schedule[len(high) :]),
    ]
    return [phase for phase in phases if phase.steps]


def expand_timesteps(schedule: Iterable[Step], clean: int, frames: int) -> Tensor:
    """[steps, 1, N]: N is 1, or the number of token frames where the first `clean` are at timestep 0."""
    times = torch.tensor([step.timestep for step in schedule], dtype=torch.float32)[:, None, None]
    if not clean:
        return times
    noisy = torch.ones(frames)
    noisy[:clean] = 0
    return times * noisy


@contextmanager
def checked(blocks: Iterable[nn.Module], check: Check) -> Iterator[None]:
    """Inside, `check` is called before every block."""
    hooks = [block.register_forward_pre_hook(lambda _module, _args: check()) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class Pace:
    """Keeps the host one step ahead of a GPU at most, and tells each step when it is done there."""

    def __init__(self, device: torch.device, on_step: Callable[[int], None]) -> None:
        self._device = device
        self._on_step = on_step
        self._under_way: tuple[int, Any] | None = None

    def launched(self, number: int) -> None:
        """Step `number` has been launched; on a CPU it is done."""
        if self._device.type != "cuda":
            self._on_step(number)
            return
        event = torch.cuda.current_stream(self._device).record_event()
        self.finish()
        self._under_way = number, event

    def finish(self) -> None:
        """Wait for the step that is under way, and tell it."""
        if self._under_way is not None:
            number, event = self._under_way
            self._under_way = None
            event.synchronize()
            self._on_step(number)
