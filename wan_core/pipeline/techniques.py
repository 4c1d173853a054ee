"""What each technique of `wan_core.plan.techniques` does to a model: one implementation for each id.

A precision is data for the loader, sliced attention a kind of transformer that is built, guidance a word for
the recipe. Everything else is a function that is applied to the loaded model once, texts before placements,
so that what stays on the host is known when the rest is placed. Stock diffusers, where it takes the place of
our transformer, knows neither slices nor batched guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from diffusers import AutoencoderKLWan

from wan_core.devices import route
from wan_core.errors import IncompatibleHardware
from wan_core.model.sliced import SlicedTransformer
from wan_core.model.transformer import WanTransformer
from wan_core.pipeline.load import Dtypes
from wan_core.pipeline.placement import Residency
from wan_core.pipeline.recipe import BATCHED, SEQUENTIAL
from wan_core.plan.techniques import TECHNIQUES, Plan

ALL_PARTS = ("text_encoder", "transformer", "transformer_2", "vae")
ORDER = ("text", "placement", "decode")

Apply = Callable[[Residency], None]


def bf16(device: str) -> Dtypes:
    """Weights as they are stored. The VAE computes in fp32, as Wan's own code does (wan/modules/vae2_1.py).

    The transformer and the text encoder compute in what `wan_core.devices` says. On a CPU that is fp32, from
    bf16 weights: exact for them, and faster there with diffusers' transformer: 0.59 s against 0.75 s of CPU
    time for 20 steps of wan-tiny (AMD EPYC with AVX512-BF16, torch 2.15.0, one thread, 2026-11-21).

    Raises IncompatibleHardware for a GPU that has no bf16: the plan's estimates would not be its.
    """
    found = route(torch.device(device))
    if device != "cpu" and found.dtype is not torch.bfloat16:
        raise IncompatibleHardware(f"{found.name} has no bfloat16: it computes in fp32")
    return Dtypes(transformer=found.dtype, text_encoder=found.dtype, vae=torch.float32)


def fp32(_device: str) -> Dtypes:
    """Weights as they are stored, every part in fp32: exact, whatever the device."""
    return Dtypes(transformer=torch.float32, text_encoder=torch.float32, vae=torch.float32)


def resident(residency: Residency) -> None:
    """Every part is on the device from the beginning to the end."""
    residency.hold(ALL_PARTS)


def component_offload(residency: Residency) -> None:
    """One part at a time is on the device; the others wait on the host."""
    residency.take_turns(ALL_PARTS)


def block_streaming(residency: Residency) -> None:
    """Transformer blocks pass through the device, each copied while the one before computes."""
    residency.stream(("transformer", "transformer_2"))
    residency.take_turns(("text_encoder", "vae"))


def text_encoder_cpu(residency: Residency) -> None:
    """The text encoder runs on the CPU; only its output goes to the device."""
    residency.keep_on_host("text_encoder")


def vae_tiling(residency: Residency) -> None:
    """The VAE works on overlapping tiles of 256 x 256 pixels (diffusers' default), see `tiles`."""
    vae = residency.parts["vae"]
    assert isinstance(vae, AutoencoderKLWan)
    vae.enable_tiling()


PRECISIONS: Mapping[str, Callable[[str], Dtypes]] = MappingProxyType({"bf16": bf16, "fp32": fp32})

BUILT: Mapping[str, type[WanTransformer]] = MappingProxyType({"sliced-attention": SlicedTransformer})

GUIDANCE: Mapping[str, str] = MappingProxyType({"guidance-batching": BATCHED})

APPLIED: Mapping[str, Apply] = MappingProxyType(
    {
        "resident": resident,
        "component-offload": component_offload,
        "block-streaming": block_streaming,
        "text-encoder-cpu": text_encoder_cpu,
        "vae-tiling": vae_tiling,
    }
)

IMPLEMENTATIONS: Mapping[str, object] = MappingProxyType({**PRECISIONS, **BUILT, **GUIDANCE, **APPLIED})


def choose_dtypes(plan: Plan) -> Dtypes:
    """The dtypes of the plan's one precision."""
    (precision,) = (t for t in plan.techniques if t in PRECISIONS)
    return PRECISIONS[precision](plan.device)


def choose_transformer(plan: Plan) -> type[WanTransformer]:
    """The kind of transformer that the plan's attention is."""
    return next((BUILT[t] for t in plan.techniques if t in BUILT), WanTransformer)


def choose_guidance(plan: Plan) -> str:
    """How the plan runs a guided step's two passes."""
    return next((GUIDANCE[t] for t in plan.techniques if t in GUIDANCE), SEQUENTIAL)


def apply_techniques(plan: Plan, residency: Residency) -> None:
    """Apply what the plan names, in `ORDER` of the groups."""
    applied = [technique for technique in plan.techniques if technique in APPLIED]
    for technique in sorted(applied, key=lambda t: ORDER.index(TECHNIQUES[t].group)):
        APPLIED[technique](residency)


def place_of(plan: Plan) -> Callable[[str], str]:
    """Where the loader puts each part: straight onto the device where it is to stay, else on the host."""

    def place(name: str) -> str:
        on_host = name == "text_encoder" and plan.uses("text-encoder-cpu")
        return plan.device if plan.uses("resident") and not on_host else "cpu"

    return place
