"""Which parts of a model lie in a folder, in the layout of each program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wan_core.weights.models import save_single, save_transformer
from wan_core.weights.layout import HIGH, LOW, find_model
from wan_core.weights.schemes import Scheme


def save_diffusers(folder: Path, name: str) -> Path:
    path = folder / {HIGH: "transformer", LOW: "transformer_2"}[name]
    save_transformer(path)
    return path


def save_wan(folder: Path, name: str) -> Path:
    path = folder / {HIGH: "high_noise_model", LOW: "low_noise_model"}[name]
    save_transformer(path, scheme=Scheme.WAN)
    return path


def save_comfyui(folder: Path, name: str) -> Path:
    path = folder / "diffusion_models" / f"wan2.2_{'high' if name == HIGH else 'low'}_noise_14B.safetensors"
    save_single(path)
    return path


SAVE = {Scheme.DIFFUSERS: save_diffusers, Scheme.WAN: save_wan, Scheme.COMFYUI: save_comfyui}


@pytest.mark.parametrize("there", [(HIGH, LOW), (HIGH,), (LOW,)], ids=" and ".join)
@pytest.mark.parametrize("scheme", Scheme)
def test_each_expert_that_is_there_is_found(tmp_path: Path, scheme: Scheme, there: tuple[str, ...]) -> None:
    saved = {name: SAVE[scheme](tmp_path, name) for name in there}
    model = find_model(tmp_path)
    assert model is not None
    assert (model.scheme, model.parts) == (scheme, saved)


def test_an_only_transformer_of_wan_lies_in_the_root(tmp_path: Path) -> None:
    save_transformer(tmp_path / "m", scheme=Scheme.WAN)
    (tmp_path / "m" / "Wan2.2_VAE.pth").write_bytes(b"\x80")
    model = find_model(tmp_path / "m")
    assert model is not None
    assert (model.parts[HIGH], model.two_experts) == (tmp_path / "m", False)


def test_an_only_transformer_of_comfyui_is_of_any_name(tmp_path: Path) -> None:
    save_single(tmp_path / "diffusion_models" / "wan2.2_ti2v_5B_fp16.safetensors")
    model = find_model(tmp_path)
    assert model is not None
    assert LOW not in model.parts
    assert not model.two_experts
