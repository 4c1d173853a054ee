"""A scheduler of diffusers as a table of numbers, so that the loop never waits for the device.

diffusers' `step` copies its sigmas to the device and solves a small system there, each time. But a step is
linear in the tensors that it is given, so its coefficients are what it makes of unit vectors: they are read
off on the CPU beforehand, and a step is then a few sums with numbers that are known. Not covered: schedulers
that draw noise, or clip what they see.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from torch import Tensor

from wan_core.api.words import shown
from wan_core.errors import IntegrityError
from wan_core.weights.fields import building, checking

SHIFT_NAMES = {UniPCMultistepScheduler: "flow_shift", FlowMatchEulerDiscreteScheduler: "shift"}
CLASSES = {cls.__name__: cls for cls in SHIFT_NAMES}
TRAIN_TIMESTEPS = 1000
"""Noise has timesteps from 0 to this, in every Wan."""
FIXED: Mapping[type, Mapping[str, Any]] = {
    UniPCMultistepScheduler: {
        "num_train_timesteps": TRAIN_TIMESTEPS,
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
    },
    FlowMatchEulerDiscreteScheduler: {"num_train_timesteps": TRAIN_TIMESTEPS},
}
"""What a config must say, if its class does not: taken for another thing, Wan's velocities become noise."""
NOT_LINEAR = ("thresholding", "stochastic_sampling", "solver_p")


@dataclass(frozen=True)
class Step:
    """One step at `timestep` (0..1000). Row i gives tensor i of the next state, from the present state and
    the velocity after it; an empty row: there is none yet.
    """

    timestep: float
    rows: tuple[tuple[float, ...], ...]


Schedule = tuple[Step, ...]

State = tuple[Tensor | None, ...]
"""The latents first, then what a solver of several steps remembers. All float32 [B, C, T, h, w]."""


def build_scheduler(config: Mapping[str, Any], shift: float) -> Any:
    """diffusers' scheduler of this config, with the request's shift. IntegrityError if it is none of ours."""
    cls = CLASSES.get(str(config.get("_class_name")))
    if cls is None:
        raise IntegrityError(f"scheduler: is a {config.get('_class_name')}, not one of {', '.join(CLASSES)}")
    for name, value in FIXED[cls].items():
        given = config.get(name, inspect.signature(cls.__init__).parameters[name].default)
        if given != value:
            raise IntegrityError(f"scheduler: {name} is {shown(given)}, not {shown(value)} as Wan's")
    if odd := [name for name in NOT_LINEAR if config.get(name)]:
        raise IntegrityError(f"scheduler: {odd[0]} is {config[odd[0]]}; its steps must be linear")
    with building("scheduler"):
        return cls.from_config(dict(config), **{SHIFT_NAMES[cls]: shift})


def read_schedule(scheduler: Any, steps: int) -> Schedule:
    """Run `scheduler` once over unit vectors."""
    with building("scheduler"):
        scheduler.set_timesteps(steps, device="cpu")
        scheduler.set_begin_index(0)
    schedule = tuple(_read_step(scheduler, timestep) for timestep in scheduler.timesteps)
    with checking("scheduler"):
        _check_schedule(schedule)
    return schedule


def _check_schedule(schedule: Schedule) -> None:
    """Raise ValueError if its numbers are none, or experts would come in another order than noise goes."""
    if not all(math.isfinite(factor) for step in schedule for row in step.rows for factor in row):
        raise ValueError("its config makes steps of numbers that are not finite")
    times = [step.timestep for step in schedule]
    if times != sorted(times, reverse=True):
        raise ValueError("its config makes timesteps that rise; they go from noise to none")


def _read_step(scheduler: Any, timestep: Tensor) -> Step:
    """Put unit vectors where the scheduler keeps its tensors, step, and see what it made of them."""
    memory = len(getattr(scheduler, "model_outputs", ()))
    sample, last, *outputs, velocity = torch.eye(3 + memory, dtype=torch.float64)[:, None]
    if memory:  # UniPC: the sample that it corrected last, and what the model said before, oldest first
        scheduler.last_sample = None if scheduler.last_sample is None else last
        known = zip(scheduler.model_outputs, outputs, strict=True)
        scheduler.model_outputs = [None if output is None else vector for output, vector in known]
    with building("scheduler"):
        sample = scheduler.step(velocity, timestep, sample, return_dict=False)[0]
    state = [sample, scheduler.last_sample, *scheduler.model_outputs] if memory else [sample, None]
    rows = (() if vector is None else tuple(vector[0].tolist()) for vector in state)
    return Step(float(timestep), tuple(rows))


def begin(schedule: Schedule, noise: Tensor) -> State:
    """The state before the first step."""
    return (noise, *(None for _ in schedule[0].rows[1:]))


def advance(step: Step, state: State, velocity: Tensor) -> State:
    """The state after `step`, at whose latents the model said `velocity` (float32)."""
    return tuple(_combine(row, (*state, velocity)) for row in step.rows)


def _combine(row: Sequence[float], tensors: Sequence[Tensor | None]) -> Tensor | None:
    terms = [(factor, tensor) for factor, tensor in zip(row, tensors, strict=False) if factor]
    total: Tensor | None = None
    for factor, tensor in terms:
        assert tensor is not None, "a scheduler does not use what it has not seen"
        if factor == 1 and len(terms) == 1:
            return tensor
        total = tensor * factor if total is None else total.add_(tensor, alpha=factor)
    return total
