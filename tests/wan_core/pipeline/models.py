"""Models of the real classes with random weights, as folders in diffusers layout: t2v of two experts, i2v,
ti2v.

torch is imported inside, so that collecting the tests stays fast.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VAE = {
    "base_dim": 8,
    "num_res_blocks": 1,
    "dim_mult": [1, 1, 1, 1],
    "temperal_downsample": [False, True, True],
}
WIDE_VAE = {  # as ti2v-5B: 2x2 pixels folded into channels, so 16 pixels a latent cell
    "z_dim": 8,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "is_residual": True,
    "decoder_base_dim": 8,
    "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 8,
    "latents_std": [1.0] * 8,
}
NARROW_VAE = {"z_dim": 4, "latents_mean": [0.5, 0.0, -0.5, 0.0], "latents_std": [2.0, 1.0, 1.0, 0.5]}


def save_model(folder: Path, *, experts: int, in_channels: int, vae: dict[str, Any], expand: bool) -> Path:
    """Write a model folder; the seed is fixed, so that two folders of one kind are equal."""
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    names = ["transformer", "transformer_2"][:experts]
    for name in names:
        transformer = WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=in_channels,
            out_channels=vae["z_dim"],
            text_dim=16,
            freq_dim=16,
            ffn_dim=32,
            num_layers=2,
            rope_max_seq_len=32,
        )
        torch.nn.init.normal_(transformer.proj_out.weight, std=0.2)  # the class starts it at zero: no effect
        transformer.to(torch.bfloat16).save_pretrained(folder / name)
    AutoencoderKLWan(**VAE, **vae).to(torch.bfloat16).save_pretrained(folder / "vae")
    config = UMT5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    UMT5EncoderModel(config).to(torch.bfloat16).save_pretrained(folder / "text_encoder")
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True).save_pretrained(
        folder / "scheduler"
    )
    save_tokenizer(folder / "tokenizer")
    index = {"boundary_ratio": 0.875 if experts == 2 else None, "expand_timesteps": expand}
    parts = {name: ["diffusers", "WanTransformer3DModel"] for name in names}
    (folder / "model_index.json").write_text(json.dumps({**index, **parts}))
    return folder


def save_tokenizer(folder: Path) -> None:
    from transformers import T5Tokenizer

    words = ["<pad>", "</s>", "<unk>", "▁", "▁a", "▁red", "▁circle", "▁blue", "▁square"]
    T5Tokenizer(vocab=[(word, -float(i)) for i, word in enumerate(words)], extra_ids=0).save_pretrained(
        folder
    )


KINDS = {
    "t2v": {"experts": 2, "in_channels": 4, "vae": NARROW_VAE, "expand": False},
    "i2v": {"experts": 1, "in_channels": 12, "vae": NARROW_VAE, "expand": False},
    "ti2v": {"experts": 1, "in_channels": 8, "vae": WIDE_VAE, "expand": True},
}
