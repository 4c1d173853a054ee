"""Write the weights in diffusers layout, each part once: bf16 safetensors, mode 0644, no local paths.

`shared/` holds what both models use, `t2v/` and `i2v/` the rest. assemble.py puts a whole folder together.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import T5Tokenizer, UMT5EncoderModel

from bench.wan_tiny.assemble import SHARED
from bench.wan_tiny.train_dit import BOUNDARY, SHIFT


@dataclass(frozen=True)
class Parts:
    tokenizer: T5Tokenizer
    text_encoder: UMT5EncoderModel
    vae: AutoencoderKLWan
    high: WanTransformer3DModel
    low: WanTransformer3DModel
    i2v: WanTransformer3DModel


def build_scheduler() -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT, num_train_timesteps=1_000
    )


def export(parts: Parts, out: Path) -> None:
    """Replace what is under `out`'s shared, t2v and i2v."""
    common = {
        "tokenizer": parts.tokenizer,
        "text_encoder": parts.text_encoder,
        "vae": parts.vae,
        "scheduler": build_scheduler(),
    }
    for model in (parts.text_encoder, parts.vae, parts.high, parts.low, parts.i2v):
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.to(torch.bfloat16) if tensor.is_floating_point() else tensor.data
    t2v = WanPipeline(**common, transformer=parts.high, transformer_2=parts.low, boundary_ratio=BOUNDARY)
    i2v = WanImageToVideoPipeline(**common, transformer=parts.i2v)
    for folder in ("shared", "t2v", "i2v"):
        shutil.rmtree(out / folder, ignore_errors=True)
    t2v.save_pretrained(out / "t2v")
    i2v.save_pretrained(out / "i2v")
    (out / "shared").mkdir()
    for part in SHARED:
        shutil.rmtree(out / "i2v" / part)
        (out / "t2v" / part).rename(out / "shared" / part)
    for path in sorted(out.glob("*/**/*")):
        tidy(path)


def tidy(path: Path) -> None:
    """Readable by everyone; configs without the folder they were saved from."""
    path.chmod(0o755 if path.is_dir() else 0o644)
    if path.suffix == ".json" and path.stat().st_size < 100_000:
        document = json.loads(path.read_text())
        if document.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(document, indent=2) + "\n")
