"""What a forward can take, checked where people hand it in: the model itself has no branch for it.

Each message gives the two numbers that disagree. Not checked: devices, values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wan_core.model.config import TransformerConfig
from wan_core.model.rope import Rope


def check_inputs(
    config: TransformerConfig, latents_BCTHW: Tensor, timestep_BN: Tensor, text: Tensor, rope: Rope
) -> None:
    """Raise ValueError if these are not what `WanTransformer.forward` takes; `text` as it is prepared."""
    t, h, w = measure_grid(config, latents_BCTHW)
    batch = latents_BCTHW.shape[0]
    if timestep_BN.ndim != 2 or timestep_BN.shape[0] != batch or timestep_BN.shape[1] not in (1, t):
        raise ValueError(f"timesteps are {list(timestep_BN.shape)}, not [{batch}, 1] or [{batch}, {t}]")
    prepared = (config.layers, 2, batch, config.heads, config.head_dim)  # and S rows, as many as there are
    if (*text.shape[:3], *text.shape[4:]) != prepared:
        wanted = [*prepared[:3], "S", *prepared[3:]]
        raise ValueError(f"prepared text is {list(text.shape)}, not {_spell(wanted)}")
    tables = [t * h * w, config.head_dim // 2]
    if list(rope.cos.shape) != tables or list(rope.sin.shape) != tables:
        raise ValueError(f"rotary tables are {list(rope.cos.shape)}, not {tables}: tokens are {t}x{h}x{w}")


def check_text(config: TransformerConfig, states_BSE: Tensor) -> None:
    """Raise ValueError if these are not text states that `prepare_text` takes."""
    if states_BSE.ndim != 3 or states_BSE.shape[-1] != config.text_dim:
        raise ValueError(
            f"text states are {list(states_BSE.shape)}, not {_spell(['B', 'S', config.text_dim])}"
        )


def check_dtype(dtype: torch.dtype, **tensors: Tensor) -> None:
    """Raise ValueError if a tensor is not in the dtype of the model."""
    for name, tensor in tensors.items():
        if tensor.dtype is not dtype:
            raise ValueError(f"{name} are {tensor.dtype}, the model {dtype}")


def measure_grid(config: TransformerConfig, latents_BCTHW: Tensor) -> tuple[int, int, int]:
    """Tokens in time, height and width. Raises ValueError if latents are no whole number of patches."""
    shape = list(latents_BCTHW.shape)
    if len(shape) != 5 or shape[1] != config.in_channels:
        raise ValueError(f"latents are {shape}, not {_spell(['B', config.in_channels, 'T', 'H', 'W'])}")
    for axis, size, patch in zip("THW", shape[2:], config.patch, strict=True):
        if size == 0 or size % patch:
            raise ValueError(f"latents are {shape}: {axis} {size} is no whole number of patches of {patch}")
    t, h, w = (size // patch for size, patch in zip(shape[2:], config.patch, strict=True))
    return t, h, w


def _spell(shape: list[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"
