"""Both transformers of a model by one call, in the layout of each program; each may be absent."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.wan_core.weights.models import save_single, save_transformer
from wan_core.errors import IntegrityError, ModelNotFound
from wan_core.weights.experts import load_experts
from wan_core.weights.layout import HIGH, LOW, find_model
from wan_core.weights.schemes import Scheme

HIGH_SEED, LOW_SEED = 1, 2


def save_diffusers(folder: Path, name: str, seed: int) -> None:
    save_transformer(folder / {"high": "transformer", "low": "transformer_2"}[name], seed=seed)


def save_wan(folder: Path, name: str, seed: int) -> None:
    save_transformer(folder / f"{name}_noise_model", scheme=Scheme.WAN, seed=seed)


def save_comfyui(folder: Path, name: str, seed: int) -> None:
    save_single(folder / "diffusion_models" / f"wan2.2_{name}_noise_14B.safetensors", seed=seed)


SAVE = {Scheme.DIFFUSERS: save_diffusers, Scheme.WAN: save_wan, Scheme.COMFYUI: save_comfyui}


@pytest.mark.parametrize("there", [("high", "low"), ("high",), ("low",)], ids=" and ".join)
@pytest.mark.parametrize("scheme", Scheme)
def test_each_expert_that_is_there_is_loaded(tmp_path: Path, scheme: Scheme, there: tuple[str, ...]) -> None:
    for name in there:
        SAVE[scheme](tmp_path, name, {"high": HIGH_SEED, "low": LOW_SEED}[name])
    ticks: list[tuple[int, int]] = []
    experts = load_experts(
        tmp_path, dtype=torch.bfloat16, device="cpu", tick=lambda done, total: ticks.append((done, total))
    )
    assert (experts.high is not None, experts.low is not None) == ("high" in there, "low" in there)
    if experts.high is not None and experts.low is not None:
        assert not torch.equal(experts.high.text_in.weight, experts.low.text_in.weight)
    assert ticks == sorted(ticks)
    assert len({total for _, total in ticks}) == 1
    assert ticks[-1][0] <= ticks[-1][1]


def test_an_only_transformer_of_wan_lies_in_the_root(tmp_path: Path) -> None:
    save_transformer(tmp_path / "m", scheme=Scheme.WAN)
    (tmp_path / "m" / "Wan2.2_VAE.pth").write_bytes(b"\x80")
    model = find_model(tmp_path / "m")
    assert model is not None
    assert (model.parts[HIGH], model.two_experts) == (tmp_path / "m", False)
    assert load_experts(tmp_path / "m", dtype=torch.bfloat16, device="cpu").low is None


def test_an_only_transformer_of_comfyui_is_of_any_name(tmp_path: Path) -> None:
    save_single(tmp_path / "diffusion_models" / "wan2.2_ti2v_5B_fp16.safetensors")
    model = find_model(tmp_path)
    assert model is not None
    assert LOW not in model.parts
    assert not model.two_experts


@pytest.mark.parametrize("name", ["scheduler", "diffusion_models"])
def test_a_folder_without_a_transformer_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ModelNotFound, match="there is no transformer"):
        load_experts(tmp_path, dtype=torch.bfloat16, device="cpu")


def test_an_expert_that_is_not_whole_is_told_by_its_folder(tmp_path: Path) -> None:
    save_diffusers(tmp_path, "high", 1)
    (tmp_path / "transformer_2").mkdir()
    with pytest.raises(IntegrityError, match="transformer_2: there is no"):
        load_experts(tmp_path, dtype=torch.bfloat16, device="cpu")
