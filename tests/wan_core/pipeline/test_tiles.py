"""Pixels leave the device as they come, and are those that diffusers makes."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from tests.wan_core.pipeline.models import NARROW_VAE, VAE, WIDE_VAE

pytestmark = pytest.mark.slow  # imports diffusers

KINDS: dict[str, dict[str, Any]] = {"plain": NARROW_VAE, "folded and residual": WIDE_VAE}
FILMS = {
    "two rows of three": (160, 112, 2),
    "a column": (48, 96, 3),
    "a row, a still": (192, 64, 1),
    "a tile": (64, 64, 2),
    "narrow ends": (112, 208, 2),
}


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    import torch

    with torch.no_grad():
        yield


def build_vae(kind: str) -> Any:
    """Tiles of 64 pixels every 48."""
    import torch
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    vae = AutoencoderKLWan(**VAE, **KINDS[kind]).eval()
    vae.enable_tiling(64, 64, 48, 48)
    return vae


def draw_latents(vae: Any, width: int, height: int, frames: int) -> Any:
    import torch

    stride = vae.spatial_compression_ratio
    return torch.randn(1, vae.config.z_dim, frames, height // stride, width // stride)


@pytest.mark.parametrize("film", FILMS)
@pytest.mark.parametrize("kind", KINDS)
def test_tiles_are_put_together_to_the_same_bits(kind: str, film: str) -> None:
    import torch

    from wan_core.pipeline.tiles import decode_frames, decode_rows, unfold, wants_tiles

    vae = build_vae(kind)
    latents = draw_latents(vae, *FILMS[film])
    (expected,) = vae.decode(latents, return_dict=False)
    assert wants_tiles(vae, latents) == (film != "a tile")
    by_tiles = wants_tiles(vae, latents)
    found = (decode_rows if by_tiles else decode_frames)(vae, latents)
    assert torch.equal(torch.cat([unfold(vae, part) for part in found], dim=3 if by_tiles else 2), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_frames_are_the_same_bits(kind: str) -> None:
    import torch

    from wan_core.pipeline.tiles import decode_frames, unfold, wants_tiles

    vae = build_vae(kind)
    vae.disable_tiling()
    latents = draw_latents(vae, 160, 112, 3)
    assert not wants_tiles(vae, latents)
    found = torch.cat([unfold(vae, part) for part in decode_frames(vae, latents)], dim=2)
    assert torch.equal(found, vae.decode(latents, return_dict=False)[0])


@pytest.mark.parametrize("tiled", [False, True], ids=["whole", "tiles"])
def test_a_longer_video_needs_no_more_of_the_device(
    tiled: bool, monkeypatch: pytest.MonkeyPatch, request_for: Any
) -> None:
    """Beyond its latents: the VAE lies on a fake GPU, where torch counts every storage."""
    short, long = (decode_peak(frames, tiled, monkeypatch, request_for) for frames in (3, 5))
    one_frame = 4 * 3 * 112 * 64
    assert long - short < one_frame / 4


def decode_peak(frames: int, tiled: bool, monkeypatch: pytest.MonkeyPatch, request_for: Any) -> int:
    """Bytes on the device beyond weights while so many latent frames are decoded."""
    from types import SimpleNamespace

    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from wan_core.pipeline import vae as module

    device = torch.device("cuda", 0)
    monkeypatch.setattr(module, "check_finite", lambda _tensor, _what: None)
    monkeypatch.setattr(module, "_to_uint8", empty_frames)
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device(device):
            vae = build_vae("plain")
        vae.use_tiling = tiled
        residency = SimpleNamespace(bring=lambda _name: None, device_of=lambda _name: device)
        studio: Any = SimpleNamespace(residency=residency, parts=SimpleNamespace(vae=vae))
        request = request_for(width=112, height=64, frames=4 * frames - 3)
        latents = draw_latents(vae, 112, 64, frames).to(device)
        with count_live(device) as bytes_live:
            module.decode(studio, request, latents, lambda _n: None, lambda: None)
    return max(bytes_live)


def count_live(device: Any) -> Any:
    """A mode that lists the bytes alive on the device after each operation inside it."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Live(TorchDispatchMode):
        def __enter__(self) -> list[int]:
            super().__enter__()
            self.known: weakref.WeakSet[Any] = weakref.WeakSet()
            self.history: list[int] = []
            return self.history

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.device == device:
                self.known.add(result.untyped_storage())
            self.history.append(sum(storage.nbytes() for storage in self.known))
            return result

    return Live()


def empty_frames(video: Any) -> Any:
    """Fake numbers cannot be had: their place."""
    import numpy as np

    _, _, frames, height, width = video.shape
    return np.empty((frames, height, width, 3), dtype=np.uint8)
