"""Compile a transformer by its block, and record small shapes as CUDA graphs. Chosen when it is built.

All blocks share one compiled code, so a cold compile costs one block: of both experts too. Where blocks work
by slices, it is two parts of one. The first shape is compiled as it is; the next one costs one compile more,
whose sizes are symbols and which serves all others. CUDA graphs are written for real and unverified: no GPU
was at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from wan_core.model.rope import Rope
from wan_core.model.transformer import WanTransformer

Backend: TypeAlias = str | Callable[..., Callable[..., object]]
Forward: TypeAlias = Callable[[Tensor, Tensor, Tensor, Rope], Tensor]
"""Takes and returns what `WanTransformer.forward` does."""

LAUNCH_BOUND_TOKENS = 8_192
"""Below so many tokens a GPU is expected to wait for launches: an estimate, not measured."""
WARM_UPS = 3
"""Calls before a recording, as torch.cuda.make_graphed_callables makes them."""


def compile_blocks(model: WanTransformer, backend: Backend = "inductor") -> WanTransformer:
    """The same model, its blocks compiled at their first call; hooks on a block stay outside its graph.

    Raises ValueError if blocks are compiled or checkpointed already: checkpointing comes after.
    """
    kind = type(model.blocks[0])
    if any(name in vars(block) for block in model.blocks for name in ("forward", *kind.COMPILED)):
        raise ValueError(
            "blocks have a forward of their own already: compile once, before they are checkpointed"
        )
    for name in kind.COMPILED:
        compiled = torch.compile(getattr(kind, name), fullgraph=True, backend=backend)
        for block in model.blocks:
            setattr(block, name, partial(compiled, block))  # no method: a copy of it would run this block
    return model


def is_launch_bound(tokens: int, device: torch.device) -> bool:
    """Whether to record: where launches, not the GPU, are expected to take the time."""
    return device.type == "cuda" and tokens <= LAUNCH_BOUND_TOKENS


class Recorded:
    """A CUDA graph of the whole forward for each set of shapes, recorded when they first come.

    Owns the graphs and the memory that they read and write, on the current device. Weights may not move while
    it lives; what is hooked onto blocks runs while it records, and not again.
    """

    def __init__(self, model: WanTransformer) -> None:
        self.model = model
        self._recordings: dict[tuple[object, ...], _Recording] = {}

    @torch.no_grad()
    def __call__(self, latents_BCTHW: Tensor, timestep_BN: Tensor, text: Tensor, rope: Rope) -> Tensor:
        inputs = (latents_BCTHW, timestep_BN, text, *rope)
        key = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if key not in self._recordings:
            self._recordings[key] = _Recording(self.model, inputs)
        return self._recordings[key].replay(inputs)


class _Recording:
    def __init__(self, model: WanTransformer, inputs: tuple[Tensor, ...]) -> None:
        self.inputs = tuple(tensor.clone() for tensor in inputs)
        latents, timestep, text, cos, sin = self.inputs
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):  # compiles, and lets libraries take their workspaces
                model(latents, timestep, text, Rope(cos, sin))
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = model(latents, timestep, text, Rope(cos, sin))

    def replay(self, inputs: tuple[Tensor, ...]) -> Tensor:
        for held, given in zip(self.inputs, inputs, strict=True):
            held.copy_(given)
        self.graph.replay()
        return self.output.clone()
