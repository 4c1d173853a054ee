"""Small models as people have them: in Wan's own folders and in ComfyUI's files, and what goes with them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file, save_file
from transformers import UMT5Config

from tests.wan_core.weights.models import draw, save_single, save_transformer
from wan_core.catalog.models import MODELS
from wan_core.weights.schemes import Scheme
from wan_core.weights.text_encoder import VOCABULARY, name_text_encoder
from wan_runner.tiny import model_files

SIZES = {"dim": 128, "ffn_dim": 64, "heads": 1, "layers": 2}
PAIR = replace(MODELS["t2v-A14B"], id="small", transformer=replace(MODELS["t2v-A14B"].transformer, **SIZES))
ONLY = replace(PAIR, id="only", experts=1, boundary=None)
CARDS = (*MODELS.values(), PAIR)
T5 = UMT5Config(vocab_size=9, d_model=4096, d_kv=4, d_ff=6, num_layers=2, num_heads=3)
NARROW = {"base_dim": 4, "z_dim": 16}


def save_encoders(folder: Path) -> Path:
    """A folder in diffusers layout without transformers, in float32."""
    AutoencoderKLWan(**NARROW).save_pretrained(folder / "vae")
    stored = draw(name_text_encoder(T5).shapes_in(Scheme.DIFFUSERS), torch.float32)
    (folder / "text_encoder").mkdir()
    save_file(stored, folder / "text_encoder" / "model.safetensors")
    T5.save_pretrained(folder / "text_encoder")
    for name, path in model_files("wan-tiny").items():
        if name.startswith("tokenizer/"):
            (folder / "tokenizer").mkdir(exist_ok=True)
            shutil.copy(path, folder / name)
    (folder / "model_index.json").write_text("{}")
    return folder


def save_comfyui_encoder(file: Path) -> None:
    """A text encoder that has its vocabulary with it."""
    stored = draw(name_text_encoder(T5).shapes_in(Scheme.COMFYUI))
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({**stored, VOCABULARY: torch.arange(5, dtype=torch.uint8)}, file)


def save_wan(folder: Path) -> Path:
    """As Wan's own repository: two experts in float32, and pickles beside them."""
    for seed, name in enumerate(("high_noise_model", "low_noise_model")):
        save_transformer(folder / name, scheme=Scheme.WAN, seed=seed)
        widen(folder / name / "diffusion_pytorch_model.safetensors")
    for name in ("Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"):
        (folder / name).write_bytes(b"\x80")
    return folder


def save_comfyui(folder: Path) -> Path:
    """Two experts in bfloat16, and nothing else."""
    for seed, noise in enumerate(("high", "low")):
        save_single(folder / "diffusion_models" / f"x_{noise}_noise.safetensors", seed=seed)
    return folder


def widen(file: Path) -> None:
    """The same numbers, and what bfloat16 cannot hold besides, in float32."""
    save_file({name: tensor.float() * (1 + 2**-12) for name, tensor in load_file(file).items()}, file)
