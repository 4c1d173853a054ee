from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wan_core.errors import IntegrityError, Interrupted, ModelNotFound, TrustRemoteCode, WanError

pytestmark = pytest.mark.slow  # imports diffusers

PARTS = ["text_encoder", "transformer", "transformer_2", "vae"]


def load(
    folder: Path, tick: Callable[[int, int], None] = lambda _done, _total: None, ahead_bytes: int = 0
) -> Any:
    import torch

    from wan_core.pipeline.load import Dtypes, load_parts
    from wan_core.weights.transformer import load_transformer

    dtypes = Dtypes(transformer=torch.bfloat16, text_encoder=torch.bfloat16, vae=torch.float32)
    return load_parts(
        folder,
        dtypes,
        lambda _name: "cpu",
        tick,
        lambda path, dtype, device, tick: load_transformer(path, dtype=dtype, device=device, tick=tick),
        ahead_bytes=ahead_bytes,
    )


@pytest.fixture
def folder(model_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(model_folder("t2v"), tmp_path / "model"))


@pytest.mark.parametrize("name", ["text_encoder", "vae"])
def test_every_weight_is_the_stored_one(name: str, folder: Path) -> None:
    from safetensors.torch import load_file

    (file,) = (folder / name).glob("*.safetensors")
    stored, held = load_file(file), load(folder).modules()[name].state_dict()
    assert all((held[key].float() == tensor.float()).all() for key, tensor in stored.items())


def test_the_embedding_table_of_two_names_is_one_tensor(folder: Path) -> None:
    encoder = load(folder).text_encoder
    assert encoder.shared.weight is encoder.encoder.embed_tokens.weight


def test_the_transformers_dtype_is_the_one_asked_for(folder: Path) -> None:
    import torch

    parts = load(folder)
    for expert in (parts.transformer, parts.transformer_2):
        dtypes = {name: parameter.dtype for name, parameter in expert.named_parameters()}
        assert dtypes["blocks.0.ffn_in.weight"] == torch.bfloat16
        assert dtypes["blocks.0.modulation"] == torch.float32


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this kernel cannot be asked")
def test_what_comes_next_is_asked_of_the_disk_in_the_order_of_loading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    every = threading.Event()

    def ask(descriptor: int, *_: int) -> None:
        asked.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).parent.name)
        if asked[-1] == PARTS[-1]:
            every.set()

    monkeypatch.setattr(os, "posix_fadvise", ask)
    load(folder, lambda _done, _total: assert_soon(every), ahead_bytes=2**30)
    assert list(dict.fromkeys(asked)) == PARTS


def assert_soon(event: threading.Event) -> None:
    assert event.wait(timeout=60)


def test_shards_are_read_as_one(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = sorted(load_file(file).items())
    save_file(dict(tensors[:10]), folder / "transformer" / "part-1.safetensors")
    save_file(dict(tensors[10:]), folder / "transformer" / "part-2.safetensors")
    file.unlink()
    assert load(folder).transformer is not None


def rewrite(folder: Path, part: str, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    (file,) = (folder / part).glob("*.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def edit(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def pickle_only(folder: Path) -> None:
    (file,) = (folder / "vae").glob("*.safetensors")
    file.rename(file.with_suffix(".bin"))


BROKEN: dict[str, tuple[Callable[[Path], Any], type[WanError], str]] = {
    "a weight is missing": (
        lambda f: rewrite(f, "transformer", lambda t: t.pop("proj_out.bias")),
        IntegrityError,
        "proj_out.bias",
    ),
    "a weight too many": (
        lambda f: rewrite(f, "vae", lambda t: t.update(lora=t["quant_conv.bias"].clone())),
        IntegrityError,
        r"vae: lora \[8\] is not of this model",
    ),
    "a weight of another shape": (
        lambda f: rewrite(f, "vae", lambda t: t.update({"quant_conv.bias": t["quant_conv.bias"][:2]})),
        IntegrityError,
        r"quant_conv.bias is \[2\], not \[8\]",
    ),
    "a weight twice": (
        lambda f: shutil.copy(
            f / "vae" / "diffusion_pytorch_model.safetensors",
            f / "vae" / "diffusion_pytorch_model-2.safetensors",
        ),
        IntegrityError,
        "stored twice",
    ),
    "not safetensors": (
        lambda f: (f / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x80\x04pickle..."),
        IntegrityError,
        "vae/diffusion_pytorch_model.safetensors",
    ),
    "a pickle": (pickle_only, TrustRemoteCode, "pickle"),
    "another class": (
        lambda f: edit(f / "transformer" / "config.json", _class_name="FluxTransformer2DModel"),
        IntegrityError,
        "^transformer/config.json: is for FluxTransformer2DModel, not WanTransformer3DModel",
    ),
    "a CLIP image encoder wanted": (
        lambda f: edit(f / "transformer" / "config.json", image_dim=1280),
        IntegrityError,
        "CLIP",
    ),
    "no index": (
        lambda f: (f / "model_index.json").unlink(),
        IntegrityError,
        "model_index.json is not there",
    ),
    "a config that is not JSON": (
        lambda f: (f / "vae" / "config.json").write_text("{"),
        IntegrityError,
        "vae/config.json is not JSON",
    ),
    "a boundary without a second expert": (
        lambda f: edit(f / "model_index.json", transformer_2=[None, None]),
        IntegrityError,
        "transformer_2 is absent, but boundary_ratio is 0.875",
    ),
    "a boundary that is no number": (
        lambda f: edit(f / "model_index.json", boundary_ratio="0.9"),
        IntegrityError,
        'model_index.json: boundary_ratio is "0.9", not a number from 0 to 1',
    ),
    "a word for a flag": (
        lambda f: edit(f / "model_index.json", expand_timesteps="false"),
        IntegrityError,
        'expand_timesteps is "false", not true or false',
    ),
    "a VAE that cannot be": (
        lambda f: edit(f / "vae" / "config.json", num_res_blocks=10**9),
        IntegrityError,
        "vae/config.json: num_res_blocks is 1000000000, not a whole number",
    ),
    "a text encoder that cannot be": (
        lambda f: edit(f / "text_encoder" / "config.json", num_heads=0),
        IntegrityError,
        "text_encoder/config.json: num_heads is 0",
    ),
    "a tokenizer that is not there": (
        lambda f: shutil.rmtree(f / "tokenizer"),
        ModelNotFound,
        "tokenizer: is not there",
    ),
    "a tokenizer that is none": (
        lambda f: (f / "tokenizer" / "tokenizer.json").write_text("{"),
        IntegrityError,
        "tokenizer: ",
    ),
    "quantised weights": (
        lambda f: rewrite(f, "vae", lambda t: t.update({"quant_conv.bias": t["quant_conv.bias"].byte()})),
        IntegrityError,
        "quant_conv.bias is U8, not one of F64",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_named(name: str, folder: Path) -> None:
    damage, error, message = BROKEN[name]
    damage(folder)
    with pytest.raises(error, match=message):
        load(folder)


@pytest.mark.parametrize("name", ["a weight is missing", "another class", "a CLIP image encoder wanted"])
def test_a_broken_folder_is_named_where_diffusers_is_to_load_it_too(name: str, folder: Path) -> None:
    import torch

    from wan_core.pipeline.reference import load_stock

    damage, error, message = BROKEN[name]
    damage(folder)
    with pytest.raises(error, match=message):
        load_stock(folder / "transformer", torch.bfloat16, "cpu", lambda _done, _total: None)


def test_loading_reports_bytes_and_can_be_stopped(folder: Path) -> None:
    reports: list[tuple[int, int]] = []

    def stop_half_way(done: int, total: int) -> None:
        reports.append((done, total))
        if done > total / 2:
            raise Interrupted("told to stop")

    with pytest.raises(Interrupted):
        load(folder, stop_half_way)
    assert reports == sorted(reports)
    assert reports[-1][0] < reports[-1][1]
