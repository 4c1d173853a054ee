"""Make wan-tiny and wan-tiny-i2v from nothing: `python -m bench.wan_tiny.train --out DIR --work DIR`.

The stages run in order, each seeded and counted in steps; a stage whose result lies in the work folder is not
run again. Results are reproducible up to the order of floating-point sums (threads, processor, versions).
"""

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor, nn

from bench.wan_tiny import train_dit, train_vae
from bench.wan_tiny.export import Parts, export
from bench.wan_tiny.latents import encode_clips
from bench.wan_tiny.text import build_text_encoder, build_tokenizer
from bench.wan_tiny.work import State, run_stage

NUM_THREADS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where the weights go")
    parser.add_argument("--work", type=Path, required=True, help="where stages keep their results")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(NUM_THREADS)
    torch.set_flush_denormal(True)
    export(make_parts(arguments.work), arguments.out)


def make_parts(work: Path) -> Parts:
    tokenizer = build_tokenizer()
    text_encoder = build_text_encoder(tokenizer)
    vae = make_vae(work)
    data = run_stage(work, "latents", lambda: encode_clips(vae, seed=10))
    vae.register_to_config(latents_mean=data["mean"].tolist(), latents_std=data["std"].tolist())

    def tune(model: WanTransformer3DModel, stage: train_dit.Stage, seed: int) -> WanTransformer3DModel:
        def make() -> State:
            train_dit.train_stage(model, stage, data, (tokenizer, text_encoder), seed)
            return model.state_dict()

        model.load_state_dict(run_stage(work, stage.name, make))
        return fresh_copy(model)

    torch.manual_seed(20)
    base = tune(train_dit.build_transformer(16), train_dit.BASE, seed=20)
    i2v = tune(train_dit.widen_input(base), train_dit.I2V, seed=21)
    low = tune(fresh_copy(base), train_dit.LOW, seed=22)
    high = tune(fresh_copy(base), train_dit.HIGH, seed=23)
    return Parts(tokenizer, text_encoder, vae, high, low, i2v)


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


def round_weights(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()


def fresh_copy(model: WanTransformer3DModel) -> WanTransformer3DModel:
    """The same weights with diffusers' own attention."""
    copy = WanTransformer3DModel.from_config(model.config)
    state: dict[str, Tensor] = model.state_dict()
    copy.load_state_dict(state)
    return copy


if __name__ == "__main__":
    main()
