"""Where programs keep the parts of a model within its folder.

diffusers: a folder for each part, and model_index.json. Wan: each of two experts in a folder, an only one in
the root, VAE and text encoder as files there. ComfyUI: a folder for each kind, with files of any name, of
which an expert's says whether it is high or low noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wan_core.errors import InvalidInput
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import PICKLES, WHOLE_STEM

HIGH, LOW, VAE, TEXT_ENCODER = "transformer", "transformer_2", "vae", "text_encoder"
"""The parts by diffusers' names. An only expert is `transformer`."""

PLACES: Mapping[Scheme, Mapping[str, str]] = {
    Scheme.DIFFUSERS: {name: name for name in (HIGH, LOW, VAE, TEXT_ENCODER)},
    Scheme.WAN: {
        HIGH: "high_noise_model",
        LOW: "low_noise_model",
        VAE: "Wan2.[12]_VAE.*",
        TEXT_ENCODER: "models_t5_*",
    },
    Scheme.COMFYUI: {
        HIGH: "diffusion_models/*high_noise*",
        LOW: "diffusion_models/*low_noise*",
        VAE: "vae/*",
        TEXT_ENCODER: "text_encoders/*",
    },
}
ONLY_EXPERT: Mapping[Scheme, str] = {Scheme.WAN: f"{WHOLE_STEM}*", Scheme.COMFYUI: "diffusion_models/*"}
TOKENIZERS: Mapping[Scheme, str] = {Scheme.DIFFUSERS: "tokenizer", Scheme.WAN: "google/umt5-xxl"}
INDEX = "model_index.json"


@dataclass(frozen=True)
class Found:
    """A whole model. `parts` by diffusers' names; `two_experts` even if one of them is not there."""

    folder: Path
    scheme: Scheme
    parts: Mapping[str, Path]
    two_experts: bool
    tokenizer: Path | None


def find_model(folder: Path) -> Found | None:
    """The parts of a model that lie in a folder; None if it is no model's, but perhaps one part's.

    Raises InvalidInput if several files could be the same part.
    """
    scheme = _detect_layout(folder)
    if scheme is None:
        return None
    parts = {name: _find(folder, pattern) for name, pattern in PLACES[scheme].items()}
    two_experts = parts[LOW] is not None or (parts[HIGH] is not None and scheme is not Scheme.DIFFUSERS)
    if parts[HIGH] is None and parts[LOW] is None and scheme in ONLY_EXPERT:
        only = _find(folder, ONLY_EXPERT[scheme])
        parts[HIGH] = folder if only is not None and scheme is Scheme.WAN else only
    tokenizer = folder / TOKENIZERS[scheme] if scheme in TOKENIZERS else None
    return Found(
        folder,
        scheme,
        {name: path for name, path in parts.items() if path is not None},
        two_experts,
        tokenizer if tokenizer is not None and tokenizer.is_dir() else None,
    )


def _detect_layout(folder: Path) -> Scheme | None:
    if any((folder / name).exists() for name in (INDEX, HIGH, LOW)):
        return Scheme.DIFFUSERS
    if any(any(folder.glob(pattern)) for pattern in PLACES[Scheme.WAN].values()):
        return Scheme.WAN
    folders = {pattern.partition("/")[0] for pattern in PLACES[Scheme.COMFYUI].values()}
    return Scheme.COMFYUI if any((folder / name).is_dir() for name in folders) else None


def _find(folder: Path, pattern: str) -> Path | None:
    """The folder or weights file that a pattern means; of a pickle and a safetensors file, the latter."""
    paths = sorted(folder.glob(pattern))
    weights = [path for path in paths if path.is_dir() or path.suffix == ".safetensors"]
    chosen = weights or [path for path in paths if path.suffix in PICKLES]
    if len(chosen) > 1 and not pattern.startswith(WHOLE_STEM):
        names = " and ".join(path.name for path in chosen)
        raise InvalidInput(f"{folder}: {names} could both be {pattern}; name one file, or move the others")
    return chosen[0] if chosen else None
