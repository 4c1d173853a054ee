"""Train the video transformers: one text-to-video model, its two experts, and the image-to-video variant.

Flow matching: x_s = (1 - s) x0 + s noise, the model predicts noise - x0 at time 1000 s. s is uniform,
stratified over the batch, then shifted by 3 as in sampling. One prompt in ten is empty, for guidance.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from bench.wan_tiny.attention import TextBias, use_plain_attention
from bench.wan_tiny.clips import TRAINED, draw_prompt
from bench.wan_tiny.optimise import Trainer
from bench.wan_tiny.text import TextModels, encode_prompts
from bench.wan_tiny.work import State

CONFIG = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 4,
    "attention_head_dim": 32,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 64,
    "freq_dim": 64,
    "ffn_dim": 384,
    "num_layers": 6,
    "rope_max_seq_len": 64,
}
I2V_CHANNELS = 16 + 4 + 16
SHIFT = 3.0
BOUNDARY = 0.875
EMPTY_PROMPTS = 0.1
FIRST_FRAME_WEIGHT = 2.0  # of the image-to-video loss, on the latent frame that holds the given picture


@dataclass(frozen=True)
class Stage:
    name: str
    steps: int
    noise: tuple[float, float]  # the range of s, after the shift
    rate: float
    batch: int = 32


BASE = Stage("base", steps=2_400, noise=(0.0, 1.0), rate=4e-3)
HIGH = Stage("high", steps=300, noise=(BOUNDARY, 1.0), rate=1.5e-3)
LOW = Stage("low", steps=1_100, noise=(0.0, BOUNDARY), rate=2e-3)
I2V = Stage("i2v", steps=1_300, noise=(0.0, 1.0), rate=3e-3)


def build_transformer(in_channels: int) -> WanTransformer3DModel:
    transformer = WanTransformer3DModel(**{**CONFIG, "in_channels": in_channels})
    torch.nn.init.zeros_(transformer.proj_out.weight)
    torch.nn.init.zeros_(transformer.proj_out.bias)
    return transformer


def widen_input(base: WanTransformer3DModel) -> WanTransformer3DModel:
    """The image-to-video transformer, started as the text-to-video one: weights of new channels are zero."""
    wide = build_transformer(I2V_CHANNELS)
    state = base.state_dict()
    narrow = state["patch_embedding.weight"]
    state["patch_embedding.weight"] = torch.zeros_like(wide.patch_embedding.weight)
    state["patch_embedding.weight"][:, : narrow.shape[1]] = narrow
    wide.load_state_dict(state)
    return wide


def shifted(u: Tensor) -> Tensor:
    return SHIFT * u / (1.0 + (SHIFT - 1.0) * u)


def unshifted(s: float) -> float:
    return s / (SHIFT - (SHIFT - 1.0) * s)


def draw_noise_levels(stage: Stage, batch: int) -> Tensor:
    """s for each sample [B]: one from each of B equal slices of the stage's range."""
    low, high = unshifted(stage.noise[0]), unshifted(stage.noise[1])
    slices = (torch.arange(batch) + torch.rand(batch)) / batch
    return shifted(low + (high - low) * slices).clamp(1e-3, 1.0)


def draw_prompts(rng: np.random.Generator, labels: list[int]) -> list[str]:
    return ["" if rng.random() < EMPTY_PROMPTS else draw_prompt(rng, TRAINED[label]) for label in labels]


def first_frame_mask(like: Tensor) -> Tensor:
    """The pipeline's four mask channels [B, 4, T, H, W]: ones at the first latent frame."""
    mask = like.new_zeros(like.shape[0], 4, *like.shape[2:])
    mask[:, :, 0] = 1.0
    return mask


@dataclass(frozen=True)
class Batch:
    """One step's random draws, made in one thread so that a seed fixes them. [B, ...] each."""

    clean: Tensor
    given: Tensor  # [B, 0 or 20, T, H, W], concatenated to the noisy latents
    noise: Tensor
    s: Tensor
    text: Tensor
    text_rows: Tensor

    def part(self, index: int, parts: int) -> "Batch":
        return Batch(*(getattr(self, field.name).chunk(parts)[index] for field in fields(self)))


def loss_of(transformer: WanTransformer3DModel, text_bias: TextBias, batch: Batch) -> Tensor:
    text_bias.rows = batch.text_rows
    amount = batch.s.view(-1, 1, 1, 1, 1)
    noisy = (1.0 - amount) * batch.clean + amount * batch.noise
    with torch.autocast("cpu", torch.bfloat16):
        flow = transformer(
            torch.cat((noisy, batch.given), 1), 1_000.0 * batch.s, batch.text, return_dict=False
        )[0]
    error = (flow.float() - (batch.noise - batch.clean)).square().mean(dim=(0, 1, 3, 4))  # [T]
    if batch.given.shape[1]:
        error = torch.cat((FIRST_FRAME_WEIGHT * error[:1], error[1:]))
    return error.mean()


class Draw:
    """Owns one stage's random generator; every call gives the next batch."""

    def __init__(
        self, stage: Stage, data: State, text_models: TextModels, with_image: bool, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.stage, self.data, self.text_models, self.with_image = stage, data, text_models, with_image

    def __call__(self) -> Batch:
        data, size = self.data, self.stage.batch
        chosen = torch.from_numpy(self.rng.integers(len(data["labels"]), size=size))
        clean = data["latents"][chosen]
        given = clean[:, :0]
        if self.with_image:
            given = torch.cat((first_frame_mask(clean), data["conditions"][chosen]), dim=1)
        text, rows = encode_prompts(
            *self.text_models, draw_prompts(self.rng, data["labels"][chosen].tolist())
        )
        return Batch(clean, given, torch.randn_like(clean), draw_noise_levels(self.stage, size), text, rows)


def train_stage(
    transformer: WanTransformer3DModel,
    stage: Stage,
    data: State,
    text_models: TextModels,
    seed: int,
    parts: int,
) -> None:
    """Train in place; at the end the model holds the averaged weights.

    Each batch is cut into `parts`, one thread each: they meet once a step. Threads inside every operation
    would meet a thousand times, and on shared cores that is what costs.
    """
    draw = Draw(stage, data, text_models, transformer.config.in_channels == I2V_CHANNELS, seed)
    trainer = Trainer(transformer, stage.steps, stage.rate, adam_rate=0.5 * stage.rate, ema=0.998, floor=0.0)
    text_bias = TextBias()
    use_plain_attention(transformer, text_bias)
    transformer.train()
    losses = []

    def differentiate(batch: Batch) -> tuple[float, list[Tensor | None]]:
        loss = loss_of(transformer, text_bias, batch) / parts
        return loss.item(), trainer.gradients(loss)

    with ThreadPoolExecutor(parts) as threads:
        for step in range(stage.steps):
            batch = draw()
            results = list(threads.map(differentiate, [batch.part(index, parts) for index in range(parts)]))
            trainer.step(add_up([gradients for _, gradients in results]))
            losses.append(sum(loss for loss, _ in results))
            if step % 50 == 49:
                print(
                    f"dit {stage.name} {step + 1}/{stage.steps} loss {np.mean(losses[-50:]):.4f}", flush=True
                )
    trainer.load_average()


def add_up(parts: list[list[Tensor | None]]) -> list[Tensor | None]:
    """The sum of the parts' gradients, parameter by parameter."""
    return [
        None if tensors[0] is None else sum(tensors[1:], tensors[0]) for tensors in zip(*parts, strict=True)
    ]
