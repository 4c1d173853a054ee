"""The stages of training, each a function of the work folder: load what came before, make what is missing.

One thread in every operation: threads that meet inside each of thousands of small operations gain little, and
lose much on shared cores. The base model cuts its batch in two; the experts train beside the image-to-video
model (train.py).
"""

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import nn

from bench.wan_tiny import train_dit, train_vae
from bench.wan_tiny.export import Parts, export
from bench.wan_tiny.latents import encode_clips
from bench.wan_tiny.text import build_text_encoder, build_tokenizer
from bench.wan_tiny.work import State, run_stage


def use_threads(count: int) -> None:
    torch.set_num_threads(count)
    torch.set_flush_denormal(True)


def make_vae(work: Path) -> AutoencoderKLWan:
    """Trained stage by stage, then rounded to bfloat16 as it will be stored, so that latents match."""
    torch.manual_seed(0)
    vae = train_vae.build_vae()
    for seed, stage in enumerate(train_vae.STAGES):

        def make(seed: int = seed, stage: train_vae.Stage = stage) -> State:
            train_vae.train_stage(vae, stage, seed)
            return vae.state_dict()

        vae.load_state_dict(run_stage(work, f"vae_{stage.name}", make))
    round_weights(vae)
    run_stage(work, "vae_psnr", lambda: measure_vae(vae))
    return vae


def measure_vae(vae: AutoencoderKLWan) -> State:
    mean, low = train_vae.measure_psnr(vae, seed=1_000, num_clips=48)
    print(f"vae: PSNR {mean:.1f} dB mean, {low:.1f} dB lowest over 48 fresh clips", flush=True)
    return {"mean": torch.tensor([mean]), "low": torch.tensor([low])}


def make_latents(work: Path) -> State:
    def make() -> State:
        use_threads(1)
        return encode_clips(make_vae(work), seed=10)

    return run_stage(work, "latents", make)


def tune(
    work: Path, model: WanTransformer3DModel, stage: train_dit.Stage, seed: int, parts: int
) -> WanTransformer3DModel:
    """Train the model, or load what an earlier run stored; returned with diffusers' own attention."""

    def make() -> State:
        data, tokenizer = make_latents(work), build_tokenizer()
        text_models = tokenizer, build_text_encoder(tokenizer)
        use_threads(1)
        train_dit.train_stage(model, stage, data, text_models, seed, parts)
        return model.state_dict()

    trained = WanTransformer3DModel.from_config(model.config)
    trained.load_state_dict(run_stage(work, stage.name, make))
    return trained


def make_base(work: Path) -> WanTransformer3DModel:
    torch.manual_seed(20)
    return tune(work, train_dit.build_transformer(16), train_dit.BASE, seed=20, parts=2)


def make_i2v(work: Path) -> WanTransformer3DModel:
    return tune(work, train_dit.widen_input(make_base(work)), train_dit.I2V, seed=21, parts=1)


def make_experts(work: Path) -> tuple[WanTransformer3DModel, WanTransformer3DModel]:
    low = tune(work, make_base(work), train_dit.LOW, seed=22, parts=1)
    high = tune(work, make_base(work), train_dit.HIGH, seed=23, parts=1)
    return high, low


def export_all(work: Path, out: Path) -> None:
    tokenizer = build_tokenizer()
    vae, data = make_vae(work), make_latents(work)
    vae.register_to_config(latents_mean=data["mean"].tolist(), latents_std=data["std"].tolist())
    high, low = make_experts(work)
    export(Parts(tokenizer, build_text_encoder(tokenizer), vae, high, low, make_i2v(work)), out)


def round_weights(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()
