"""Measure the constants of `wan_core.plan.memory` without a GPU: `python -m bench.plan_memory`.

Our transformer, diffusers' VAEs and transformers' text encoder run on fake tensors at true size while every
live storage is counted. The figures are those of the algorithm: what a device's allocator rounds up and its
convolution workspaces are not in them.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import UMT5Config, UMT5EncoderModel

from bench.transformer.contestants import default_dtype, keep_float32
from wan_core.model.config import TransformerConfig
from wan_core.model.rope import Rope
from wan_core.model.transformer import FP32, WanTransformer
from wan_core.weights.vae import WAN_21, WAN_22

TINY_VAE: Mapping[str, Any] = {
    "base_dim": 8, "decoder_base_dim": 16, "num_res_blocks": 1, "is_residual": True,
}  # fmt: skip


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages that came to be inside it and are still alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and id(tensor.untyped_storage()) not in given:
                self.see(tensor.untyped_storage())
        return result

    def see(self, storage: torch.UntypedStorage) -> None:
        if storage in self.known:
            return
        self.known.add(storage)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self.free, size)

    def free(self, size: int) -> None:
        self.live -= size


def peak_bytes(call: Callable[[], Any]) -> int:
    with torch.no_grad(), LiveBytes() as live:
        call()
    return live.peak


def forward_bytes(
    dim: int, heads: int, ffn: int, layers: int, latent: tuple[int, int, int, int], frame_times: bool
) -> tuple[int, int]:
    """Peak activation bytes of one forward in bf16, rotary tables included, and its tokens.

    `latent` is (channels, t, h, w); `frame_times` gives each latent frame a timestep of its own.
    """
    channels, t, h, w = latent
    tokens = t * h * w // 4
    with FakeTensorMode():
        config = TransformerConfig(
            dim=dim, ffn_dim=ffn, heads=heads, layers=layers,
            in_channels=channels, out_channels=channels, text_dim=4096,
        )  # fmt: skip
        with default_dtype(torch.bfloat16):
            model = WanTransformer(config).requires_grad_(False)
        keep_float32(model, FP32)
        hidden = torch.empty(1, *latent, dtype=torch.bfloat16)
        timestep = torch.empty(1, t if frame_times else 1)
        text = model.prepare_text(torch.empty(1, 512, 4096, dtype=torch.bfloat16))
        tables = Rope(*torch.empty(2, tokens, config.head_dim // 2))
        peak = peak_bytes(lambda: model(hidden, timestep, text, tables))
        return peak + sum(table.nbytes for table in tables), tokens


def vae_bytes(
    config: Mapping[str, Any],
    what: str,
    frames: int,
    height: int,
    width: int,
    dtype: torch.dtype,
    tiled: bool,
) -> int:
    """Peak activation bytes of decoding to, or encoding from, a video of this shape."""
    with FakeTensorMode():
        with default_dtype(dtype):
            vae = AutoencoderKLWan(**config).eval()
        if tiled:
            vae.enable_tiling()
        stride = config.get("scale_factor_spatial", 8)
        if what == "encode":
            video = torch.empty(1, 3, frames, height, width, dtype=dtype)
            return peak_bytes(lambda: vae.encode(video, return_dict=False))
        latent = torch.empty(
            1, config.get("z_dim", 16), (frames - 1) // 4 + 1, height // stride, width // stride, dtype=dtype
        )
        return peak_bytes(lambda: vae.decode(latent, return_dict=False))


def text_bytes(dim: int, ffn: int, heads: int, layers: int) -> int:
    """Peak activation bytes of encoding one prompt, padded to 512 tokens, in bf16."""
    config = UMT5Config(
        d_model=dim, d_kv=dim // heads, d_ff=ffn, num_heads=heads, num_layers=layers, vocab_size=512
    )
    with FakeTensorMode():
        with default_dtype(torch.bfloat16):
            encoder = UMT5EncoderModel(config).eval()
        ids = torch.ones(1, 512, dtype=torch.long)
        mask = torch.ones(1, 512, dtype=torch.long)
        return peak_bytes(lambda: encoder(ids, mask))


def print_texts() -> None:
    print("text: dim ffn heads layers -> GiB")
    for dim, ffn, heads, layers in ((4096, 10240, 64, 24), (4096, 10240, 64, 2), (64, 128, 4, 2)):
        print(f"{dim} {ffn} {heads} {layers} -> {text_bytes(dim, ffn, heads, layers) / 2**30:.4f}")
        sys.stdout.flush()


def print_forwards() -> None:
    print("forward: dim layers tokens times -> GiB, bytes per token")
    for dim, heads, ffn, layers, latent, frame_times in (
        (5120, 40, 13824, 40, (16, 21, 60, 104), False),
        (5120, 40, 13824, 2, (16, 21, 90, 160), False),
        (5120, 40, 13824, 2, (36, 21, 90, 160), False),
        (3072, 24, 14336, 2, (48, 31, 44, 80), True),
        (3072, 24, 14336, 2, (48, 31, 44, 80), False),
        (1536, 12, 8960, 2, (16, 21, 60, 104), False),
        (128, 4, 384, 6, (16, 5, 8, 8), False),
    ):
        size, tokens = forward_bytes(dim, heads, ffn, layers, latent, frame_times)
        kind = "per-frame" if frame_times else "one"
        print(f"{dim} {layers} {tokens} {kind} -> {size / 2**30:.3f} {size / tokens:.0f}")
        sys.stdout.flush()


def print_vaes() -> None:
    print("vae: what frames HxW dtype tiled -> GiB, bytes per pixel of a frame")
    large = [(WAN_21, "Wan2.1", 720, 1280), (WAN_22, "Wan2.2", 704, 1280)]
    for config, name, height, width in [*large, (WAN_21, "Wan2.1", 480, 832), (TINY_VAE, "tiny", 64, 64)]:
        for what, frames, dtype, tiled in (
            ("decode", 17, torch.float32, False),
            ("decode", 33, torch.float32, False),
            ("decode", 17, torch.bfloat16, False),
            ("decode", 17, torch.float32, True),
            ("decode", 81, torch.float32, True),
            ("encode", 17, torch.float32, False),
            ("encode", 1, torch.float32, False),
        ):
            size = vae_bytes(config, what, frames, height, width, dtype, tiled)
            each = size / height / width
            kind = f"{str(dtype)[6:]} {'tiled' if tiled else 'whole'}"
            print(f"{name} {what} {frames} {height}x{width} {kind} -> {size / 2**30:.3f} {each:.0f}")
            sys.stdout.flush()


if __name__ == "__main__":
    print_texts()
    print_forwards()
    print_vaes()
