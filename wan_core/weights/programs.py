"""The files that each program loads: names, configs, and what a model needs besides its weights.

Wan's own programs open VAE and text encoder with `torch.load` only, so those two are written as pickles of
plain tensors (`weights_only=True` loads them); here they are never read.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from wan_core.catalog.architecture import ModelCard, ModelTask
from wan_core.errors import InvalidInput
from wan_core.weights.configs import write_config
from wan_core.weights.files import save_pickle, write_json, write_tensors
from wan_core.weights.layout import HIGH, INDEX, LOW, TEXT_ENCODER, TOKENIZERS, VAE, Found
from wan_core.weights.parts import Kind, Part, read_part
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import WHOLE_STEM, stored_tensors
from wan_core.weights.text_encoder import VOCABULARY
from wan_core.weights.vae import build_vae, check_vae_fits

SPIECE = "spiece.model"
WAN_TEXT_ENCODER = "models_t5_umt5-xxl-enc-bf16.pth"  # wan/configs/*.py (t5_checkpoint) at 42bf4cf
COMFYUI_FOLDERS = {
    HIGH: "diffusion_models",
    LOW: "diffusion_models",
    VAE: "vae",
    TEXT_ENCODER: "text_encoders",
}
CLASSES = {
    "scheduler": ("diffusers", "UniPCMultistepScheduler"),
    "tokenizer": ("transformers", "T5Tokenizer"),
    HIGH: ("diffusers", "WanTransformer3DModel"),
    LOW: ("diffusers", "WanTransformer3DModel"),
    VAE: ("diffusers", "AutoencoderKLWan"),
    TEXT_ENCODER: ("transformers", "UMT5EncoderModel"),
}


def destination(name: str, scheme: Scheme, title: str, model: Found | None) -> tuple[str, str]:
    """The folder within the target, and the stem of the file if it is of a free name."""
    if model is None:
        return "", title
    if scheme is Scheme.DIFFUSERS:
        return name, name
    two = {HIGH: "high_noise", LOW: "low_noise"} if model.two_experts else {}
    if scheme is Scheme.WAN:
        return (f"{two[name]}_model" if name in two else ""), name
    return COMFYUI_FOLDERS[name], f"{title}_{two.get(name, name)}"


def write_part(part: Part, scheme: Scheme, folder: Path, stem: str) -> None:
    """The weights of one part, and the config where the program wants one."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = read_part(part, scheme)
    if scheme is Scheme.COMFYUI:
        if part.kind is Kind.TEXT_ENCODER:
            tensors[VOCABULARY] = read_vocabulary(part)
        write_tensors(folder, stem, tensors, shard_bytes=None)
    elif scheme is Scheme.DIFFUSERS or part.kind is Kind.TRANSFORMER:
        write_part_config(part, scheme, folder, next(iter(tensors.values())).dtype)
        write_tensors(folder, "model" if part.kind is Kind.TEXT_ENCODER else WHOLE_STEM, tensors)
    elif part.kind is Kind.VAE:
        save_pickle(tensors, folder / f"Wan{check_vae_fits(part.config, scheme)}_VAE.pth")
    else:
        save_pickle(tensors, folder / WAN_TEXT_ENCODER)


def write_part_config(part: Part, scheme: Scheme, folder: Path, dtype: torch.dtype) -> None:
    """config.json as the part's class reads it."""
    if part.kind is Kind.TRANSFORMER:
        write_json(folder / "config.json", write_config(part.config, scheme))
    elif part.kind is Kind.VAE:
        build_vae(part.config).save_config(folder)
    else:
        config = UMT5Config.from_dict(part.config.to_dict())
        config.architectures, config.dtype = [UMT5EncoderModel.__name__], dtype
        config.save_pretrained(folder)


def read_vocabulary(part: Part) -> Tensor:
    """The sentencepiece file as a tensor of bytes: ComfyUI's own, or that of the tokenizer beside a part.

    Raises InvalidInput if there is none.
    """
    if part.scheme is Scheme.COMFYUI:
        return dict(stored_tensors(part.path))[VOCABULARY]
    places = [part.path, *(part.path.parent / tokenizer for tokenizer in TOKENIZERS.values())]
    for place in places:
        if (place / SPIECE).is_file():
            return torch.frombuffer(bytearray((place / SPIECE).read_bytes()), dtype=torch.uint8)
    raise InvalidInput(
        f"{part.path}: ComfyUI keeps {SPIECE} with the text encoder, and there is none beside it"
    )


def write_rest(
    model: Found, parts: Mapping[str, Part], scheme: Scheme, folder: Path, card: ModelCard | None
) -> None:
    """Tokenizer, scheduler and index, where the program has them. `card` knows what `model` may not."""
    if scheme in TOKENIZERS:
        write_tokenizer(model, parts.get(TEXT_ENCODER), folder / TOKENIZERS[scheme])
    if scheme is not Scheme.DIFFUSERS:
        return
    if card is None:
        if (model.folder / "scheduler").is_dir():
            shutil.copytree(model.folder / "scheduler", folder / "scheduler")
        if (model.folder / INDEX).is_file():
            shutil.copy(model.folder / INDEX, folder / INDEX)
        return
    UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=card.defaults.shift
    ).save_pretrained(folder / "scheduler")
    write_json(folder / INDEX, build_index(card, [path.name for path in folder.iterdir()]))


def write_tokenizer(model: Found, text_encoder: Part | None, folder: Path) -> None:
    """A copy of the model's tokenizer; of ComfyUI's, the sentencepiece file is all there is."""
    if model.tokenizer is not None:
        shutil.copytree(model.tokenizer, folder)
    elif text_encoder is not None and text_encoder.scheme is Scheme.COMFYUI:
        folder.mkdir(parents=True)
        (folder / SPIECE).write_bytes(read_vocabulary(text_encoder).numpy().tobytes())


def build_index(card: ModelCard, present: list[str]) -> dict[str, Any]:
    """model_index.json of a card's model; parts that are not there are null."""
    image = {"image_encoder": [None, None], "image_processor": [None, None]} if card.needs_image else {}
    parts = {name: list(pair) if name in present else [None, None] for name, pair in CLASSES.items()}
    return {
        "_class_name": "WanImageToVideoPipeline" if card.needs_image else "WanPipeline",
        "_diffusers_version": diffusers.__version__,
        "boundary_ratio": card.boundary,
        "expand_timesteps": card.task is ModelTask.TI2V,
        **image,
        **parts,
    }
