"""What one forward of our transformer keeps alive, as whole blocks and by slices of tokens: no device.

    python -m bench.planning.slices

Fake tensors at true sizes in bfloat16, two blocks, operations in torch; rotary tables are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from wan_core.catalog.models import MODELS
from wan_core.model.config import TransformerConfig
from wan_core.model.rope import Rope
from wan_core.model.sliced import SlicedTransformer
from wan_core.model.transformer import WanTransformer, stays_fp32
from wan_core.weights.configs import config_of

CPU = torch.device("cpu")
GIB = 2**30
BLOCKS = 2  # what is alive does not grow with their number
# Model, frames and sides of the latents, timesteps: one, or one for each frame where an image is the first.
CASES: Mapping[str, tuple[str, tuple[int, int, int], int]] = {
    "A14B, 1280x720x81": ("t2v-A14B", (21, 90, 160), 1),
    "A14B, 832x480x81": ("t2v-A14B", (21, 60, 104), 1),
    "ti2v-5B from an image, 1280x704x121": ("ti2v-5B", (31, 44, 80), 31),
    "1.3B, 832x480x81": ("t2v-1.3B", (21, 60, 104), 1),
}


@torch.no_grad()
def measure(kind: type[WanTransformer], config: TransformerConfig, size: tuple[int, ...], times: int) -> int:
    """Bytes at the peak of one forward, beside weights, latents and text. `size`: samples, then latents."""
    samples, frames, height, width = size
    with FakeTensorMode():
        model = kind(config)
        for name, parameter in model.named_parameters():
            parameter.data = parameter.data.to(torch.float32 if stays_fp32(name) else torch.bfloat16)
        latents = torch.empty(samples, config.in_channels, frames, height, width, dtype=torch.bfloat16)
        text = model.prepare_text(torch.empty(samples, 512, config.text_dim, dtype=torch.bfloat16))
        rope = Rope(*torch.empty(2, frames * height * width // 4, config.head_dim // 2))
        tracker = MemTracker()
        tracker.track_external(model, latents, text, rope.cos, rope.sin)
        before = tracker.get_tracker_snapshot("current")[CPU]["Total"]
        with tracker:
            model(latents, torch.empty(samples, times), text, rope)
        return int(tracker.get_tracker_snapshot("peak")[CPU]["Total"] - before)


def main() -> None:
    print("| model and shape | whole blocks, GiB | by slices, GiB | two samples by slices, GiB |")
    print("| --- | --- | --- | --- |")
    for name, (model, size, times) in CASES.items():
        config = replace(config_of(MODELS[model]), layers=BLOCKS)
        kinds = ((WanTransformer, 1), (SlicedTransformer, 1), (SlicedTransformer, 2))
        found = [measure(kind, config, (samples, *size), times) for kind, samples in kinds]
        print(f"| {name} | " + " | ".join(f"{size / GIB:.2f}" for size in found) + " |", flush=True)


if __name__ == "__main__":
    main()
