"""Measure wan-tiny: does a clip show the colour, shape and motion that its prompt asks for?

Prompts, seeds and first frames follow from the numbers below, fixed before any weights were measured.
Combinations held out of training are reported apart.
`python -m bench.wan_tiny.quality --weights DIR --json PATH`.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline
from PIL import Image

from bench.wan_tiny.assemble import assemble
from bench.wan_tiny.clips import (
    HELD_OUT,
    NUM_FRAMES,
    SIZE,
    TRAINED,
    Combination,
    draw_prompt,
    draw_scene,
    render,
)
from bench.wan_tiny.judge import Verdict, read_clip
from wan_core.catalog.models import MODELS

BATCH = 12
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Sampling:
    """How a model samples."""

    steps: int
    guidance: float
    guidance_2: float | None  # of the low-noise expert; None for a model with one


def default_sampling(model: str) -> Sampling:
    """What the catalogue gives as the model's defaults."""
    card = MODELS[model]
    high, low = card.defaults.guidance
    return Sampling(card.defaults.steps, guidance=high, guidance_2=low if card.experts == 2 else None)


T2V_SAMPLING = default_sampling("wan-tiny")
I2V_SAMPLING = default_sampling("wan-tiny-i2v")


@dataclass(frozen=True)
class Case:
    combination: Combination
    prompt: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    case: Case
    verdict: Verdict
    frames: np.ndarray  # [T, H, W, 3] in 0..1
    first_frame_psnr: float | None = None


def fix_cases(combinations: list[Combination], count: int, seed: int) -> list[Case]:
    """`count` cases that go round a shuffled list of combinations."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(combinations))
    chosen = [combinations[order[index % len(order)]] for index in range(count)]
    return [Case(item, draw_prompt(rng, item), 1_000 * seed + index) for index, item in enumerate(chosen)]


def held_out() -> list[Combination]:
    return sorted(HELD_OUT, key=lambda item: item.prompt)


T2V_TRAINED = fix_cases(list(TRAINED), 120, seed=101)
T2V_HELD_OUT = fix_cases(held_out(), 36, seed=102)
I2V_TRAINED = fix_cases(list(TRAINED), 60, seed=103)
I2V_HELD_OUT = fix_cases(held_out(), 24, seed=104)


def load_pipeline(weights: Path, variant: str, dtype: torch.dtype) -> WanPipeline | WanImageToVideoPipeline:
    """The assembled folder as anyone would load it."""
    kind = WanPipeline if variant == "t2v" else WanImageToVideoPipeline
    with tempfile.TemporaryDirectory() as folder:
        pipeline = kind.from_pretrained(assemble(weights, variant, Path(folder) / variant), dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def batches(cases: list[Case]) -> Iterator[list[Case]]:
    for start in range(0, len(cases), BATCH):
        yield cases[start : start + BATCH]


def call_arguments(cases: list[Case], sampling: Sampling) -> dict[str, object]:
    return {
        "prompt": [case.prompt for case in cases],
        "generator": [torch.Generator().manual_seed(case.seed) for case in cases],
        "num_inference_steps": sampling.steps,
        "guidance_scale": sampling.guidance,
        "guidance_scale_2": sampling.guidance_2,
        "height": SIZE,
        "width": SIZE,
        "num_frames": NUM_FRAMES,
        "output_type": "np",
    }


def run_t2v(pipeline: WanPipeline, cases: list[Case], sampling: Sampling) -> list[Outcome]:
    outcomes = []
    for batch in batches(cases):
        clips = pipeline(**call_arguments(batch, sampling)).frames
        outcomes += [Outcome(case, read_clip(clip), clip) for case, clip in zip(batch, clips, strict=True)]
    return outcomes


def run_i2v(pipeline: WanImageToVideoPipeline, cases: list[Case], sampling: Sampling) -> list[Outcome]:
    return [run_i2v_case(pipeline, case, sampling) for case in cases]


def run_i2v_case(pipeline: WanImageToVideoPipeline, case: Case, sampling: Sampling) -> Outcome:
    """The first frame is that of a fresh scene of the case's combination."""
    scene = draw_scene(np.random.default_rng(case.seed), case.combination)
    picture = np.round(render(scene)[0] * 255.0).astype(np.uint8)
    arguments = {**call_arguments([case], sampling), "image": Image.fromarray(picture), "prompt": case.prompt}
    clip = pipeline(**{**arguments, "generator": arguments["generator"][0]}).frames[0]
    error = float(np.square(clip[0] - picture / 255.0).mean())
    return Outcome(case, read_clip(clip), clip, first_frame_psnr=-10.0 * np.log10(error))


def is_right(outcome: Outcome, part: str) -> bool:
    return getattr(outcome.verdict, part) == getattr(outcome.case.combination, part)


def summarise(outcomes: list[Outcome]) -> dict[str, object]:
    """Percent right, the lowest and mean first-frame PSNR where there is one, and every miss in full."""
    parts = ("colour", "shape", "motion")
    summary: dict[str, object] = {"cases": len(outcomes)}
    for part in parts:
        summary[part] = round(100.0 * float(np.mean([is_right(outcome, part) for outcome in outcomes])), 2)
    psnrs = [outcome.first_frame_psnr for outcome in outcomes if outcome.first_frame_psnr is not None]
    if psnrs:
        mean, lowest = float(np.mean(psnrs)), float(min(psnrs))
        summary["first_frame_psnr_db"] = {"mean": round(mean, 2), "lowest": round(lowest, 2)}
    misses = [outcome for outcome in outcomes if not all(is_right(outcome, part) for part in parts)]
    summary["misses"] = [{**asdict(outcome.case), "read": asdict(outcome.verdict)} for outcome in misses]
    return summary


def save_sheet(outcomes: list[Outcome], path: Path) -> None:
    """One row a case: frames 0, 4, 8, 12, 16; bands of ten cases, the last one filled up with black."""
    rows = [np.concatenate(outcome.frames[::4], axis=1) for outcome in outcomes]
    rows += [np.zeros_like(rows[0])] * (-len(rows) % 10)
    bands = [np.concatenate(rows[start : start + 10], axis=0) for start in range(0, len(rows), 10)]
    sheet = (np.concatenate(bands, axis=1) * 255.0).round().astype(np.uint8)
    Image.fromarray(sheet).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True, help="the folder with shared, t2v and i2v")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--sheets", type=Path, help="a folder for contact sheets")
    arguments = parser.parse_args()
    started = time.monotonic()
    results = measure(arguments.weights, DTYPES[arguments.dtype], arguments.sheets)
    seconds = round(time.monotonic() - started, 1)
    report = {**describe(arguments.dtype), "seconds": seconds, "results": results}
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    print_table(results)


def describe(dtype: str) -> dict[str, object]:
    return {
        "dtype": dtype,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "machine": platform.machine(),
        "t2v_sampling": asdict(T2V_SAMPLING),
        "i2v_sampling": asdict(I2V_SAMPLING),
    }


def measure(weights: Path, dtype: torch.dtype, sheets: Path | None) -> dict[str, dict[str, object]]:
    t2v, i2v = (load_pipeline(weights, variant, dtype) for variant in ("t2v", "i2v"))
    outcomes = {
        "t2v, trained combinations": run_t2v(t2v, T2V_TRAINED, T2V_SAMPLING),
        "t2v, held-out combinations": run_t2v(t2v, T2V_HELD_OUT, T2V_SAMPLING),
        "i2v, trained combinations": run_i2v(i2v, I2V_TRAINED, I2V_SAMPLING),
        "i2v, held-out combinations": run_i2v(i2v, I2V_HELD_OUT, I2V_SAMPLING),
    }
    if sheets is not None:
        sheets.mkdir(parents=True, exist_ok=True)
        for name, items in outcomes.items():
            save_sheet(items, sheets / f"{name.replace(', ', '-').replace(' ', '-')}.png")
    return {name: summarise(items) for name, items in outcomes.items()}


def print_table(results: dict[str, dict[str, object]]) -> None:
    print("| set | cases | colour % | shape % | motion % | first frame PSNR, dB (mean / lowest) |")
    print("|---|---|---|---|---|---|")
    for name, summary in results.items():
        psnr = summary.get("first_frame_psnr_db")
        shown = f"{psnr['mean']:.1f} / {psnr['lowest']:.1f}" if isinstance(psnr, dict) else "-"
        scores = " | ".join(str(summary[key]) for key in ("cases", "colour", "shape", "motion"))
        print(f"| {name} | {scores} | {shown} |")


if __name__ == "__main__":
    main()
