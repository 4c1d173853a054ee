"""A module of diffusers or transformers, built without memory, and its weights: each stored exactly once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from wan_core.weights.match import check_floats, check_tensors, merge_aliases
from wan_core.weights.places import place_on
from wan_core.weights.reading import Wanted, read_tensors
from wan_core.weights.shards import Shape, Stored, Tick, read_headers, silent

Module = TypeVar("Module", bound=nn.Module)


def load_module(
    module: Module,
    path: Path,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    tick: Tick = silent,
    aliases: Mapping[str, str] | None = None,
) -> Module:
    """The same module, filled from the files at `path`, without gradients, ready to run.

    `aliases` are second names of a tensor, of which files may store either or both. Raises IntegrityError if
    the files are not those of this module, as `weight_files` besides.
    """
    aliases = aliases or {}
    headers = read_headers(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    check_tensors(
        {name: stored.shape for name, stored in headers.items()},
        _stored_shapes(shapes, headers, aliases),
        path.name,
    )
    check_floats(headers, path.name)
    wanted = {
        name: Wanted(stored.shape, dtype_of(module, name, dtype), (name,)) for name, stored in headers.items()
    }
    state = read_tensors(headers, wanted, place_on(device), tick)
    merge_aliases(state, aliases, path.name)
    _assign(module, state, aliases)
    return module.eval().requires_grad_(False)


def dtype_of(module: nn.Module, name: str, dtype: torch.dtype) -> torch.dtype:
    """As transformers has it: what a class keeps in float32 is float32 in the place of float16."""
    kept = getattr(module, "_keep_in_fp32_modules", None) or ()
    if dtype is torch.float16 and any(re.search(rf"(^|\.){re.escape(part)}($|\.)", name) for part in kept):
        return torch.float32
    return dtype


def _stored_shapes(
    shapes: Mapping[str, Shape], headers: Mapping[str, Stored], aliases: Mapping[str, str]
) -> dict[str, Shape]:
    """What must be stored: of two names the one that is, or both."""
    spared = {alias for alias, name in aliases.items() if name in headers and alias not in headers}
    spared |= {name for alias, name in aliases.items() if alias in headers and name not in headers}
    return {name: shape for name, shape in shapes.items() if name not in spared}


def _assign(module: nn.Module, state: dict[str, Tensor], aliases: Mapping[str, str]) -> None:
    """Put tensors in the place of those without memory; one of two names is one parameter."""
    module.load_state_dict({**state, **{alias: state[name] for alias, name in aliases.items()}}, assign=True)
    for alias, name in aliases.items():
        owner, _, leaf = alias.rpartition(".")
        module.get_submodule(owner).register_parameter(leaf, module.get_parameter(name))
