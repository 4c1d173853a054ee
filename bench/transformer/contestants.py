"""The transformers that are measured, each behind the same face: random weights, two prompts, one forward.

Latents and prompts are the same for all. Weights are the same where they are given, under diffusers' names.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from bench.transformer.workloads import Workload
from wan_core.kernels.attention import Attend, sdpa
from wan_core.kernels.ops import TORCH, Ops
from wan_core.model.rope import build_rope
from wan_core.model.transformer import FP32, WanTransformer
from wan_core.weights.configs import config_of, write_config
from wan_core.weights.schemes import Scheme
from wan_core.weights.transformer import to_ours

Weights: TypeAlias = Mapping[str, Tensor]
"""By diffusers' names."""

TIMESTEP = 900.0
UNSEEN = ("transformers", "accelerate", "peft", "torchao", "bitsandbytes", "gguf", "onnx", "flax")
"""What diffusers would import for features that are not used here, in versions that may not fit it."""


@dataclass
class Contestant:
    """A transformer ready to run. `forward` takes which of the two prompts; `note` says what it runs on.

    `held` is what lies beside the weights between two forwards: latents, timestep, text, rotary tables.
    """

    model: nn.Module
    forward: Callable[[int], Tensor]
    held: tuple[Tensor, ...]
    note: str = ""

    def block(self) -> Callable[[], Tensor]:
        """One block, with the arguments that a forward gives it."""
        blocks = self.model.blocks
        plain, tap = blocks[1], Tap()
        blocks[1] = tap
        try:
            self.forward(0)
        except Reached:
            return lambda: plain(*tap.found)
        finally:
            blocks[1] = plain
        raise AssertionError("a forward left its second block out")


class Reached(Exception):
    """A forward came to the tap and ends there."""


class Tap(nn.Module):
    """Stands in a block's place and keeps what it is called with."""

    def forward(self, *given: Any) -> Any:
        self.found = given
        raise Reached


def build_ours(
    workload: Workload,
    device: torch.device,
    dtype: torch.dtype,
    ops: Ops = TORCH,
    attend: Attend = sdpa,
    weights: Weights | None = None,
) -> Contestant:
    """WanTransformer with its text prepared once a prompt, outside the step, as the pipeline does it."""
    with torch.device(device), default_dtype(dtype):
        model = WanTransformer(config_of(workload.card), ops, attend)
    keep_float32(model, FP32)
    if weights is not None:
        model.load_state_dict(to_ours(weights, model.config, Scheme.DIFFUSERS))
    rope = build_rope(workload.grid, model.config.head_dim, device)
    latents = random_latents(workload, device, dtype)
    timestep = torch.full((1, 1), TIMESTEP, device=device)
    with torch.no_grad():
        texts = [model.prepare_text(states) for states in random_texts(workload, device, dtype)]
    held = (latents, timestep, *texts, *rope)
    return Contestant(model, lambda prompt: model(latents, timestep, texts[prompt], rope), held)


def build_diffusers(
    workload: Workload, device: torch.device, dtype: torch.dtype, weights: Weights | None = None
) -> Contestant:
    """WanTransformer3DModel as `from_pretrained(torch_dtype=...)` leaves it, called as WanPipeline does."""
    model_class = import_diffusers()
    with torch.device(device), default_dtype(dtype):
        model = model_class.from_config(write_config(config_of(workload.card)))
    keep_float32(model, tuple(model_class._keep_in_fp32_modules))
    if weights is not None:
        model.load_state_dict(weights)
    latents = random_latents(workload, device, dtype)
    shape = (1, workload.tokens) if workload.expand_timesteps else (1,)
    timestep = torch.full(shape, TIMESTEP, device=device)
    texts = random_texts(workload, device, dtype)
    held = (latents, timestep, *texts)
    return Contestant(
        model.eval(), lambda prompt: model(latents, timestep, texts[prompt], return_dict=False)[0], held
    )


def hide_unseen() -> None:
    """In this process `import` and diffusers' own look-up say of `UNSEEN`: not installed."""
    for name in UNSEEN:
        sys.modules[name] = None


def import_diffusers() -> type[nn.Module]:
    """Its transformer, without its warnings."""
    from diffusers import WanTransformer3DModel
    from diffusers.utils import logging

    logging.set_verbosity_error()
    return WanTransformer3DModel


def keep_float32(model: nn.Module, elements: tuple[str, ...]) -> None:
    """Parameters and buffers in whose path one of `elements` stands become float32."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if set(elements) & set(name.split(".")):
            tensor.data = tensor.data.float()


def random_latents(workload: Workload, device: torch.device, dtype: torch.dtype) -> Tensor:
    return seeded((1, workload.transformer.in_channels, *workload.latents), device, 0).to(dtype)


def random_texts(workload: Workload, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Two prompts: a step is one forward with each."""
    made = workload.transformer
    return [seeded((1, made.text_len, made.text_dim), device, seed).to(dtype) for seed in (1, 2)]


def seeded(size: tuple[int, ...], device: torch.device, seed: int) -> Tensor:
    """The same float32 numbers for every contestant on a device."""
    return torch.randn(size, device=device, generator=torch.Generator(device).manual_seed(seed))


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
