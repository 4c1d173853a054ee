"""Build the parts of a pipeline from a folder in diffusers layout.

Nothing is downloaded, no code of a checkpoint runs, nothing but safetensors is opened. Modules are built
without memory for their weights, then each tensor is read, cast and placed once: the peak is the model plus
one tensor. Every weight must be in the files exactly once and with the shape that the config says. Not
covered: quantised checkpoints, LoRA, single-file checkpoints, CLIP image encoders (Wan 2.1 image-to-video).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

from wan_core.errors import IntegrityError, TrustRemoteCode

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

Tick = Callable[[int, int], None]
"""Called after each tensor with bytes read and bytes in all; may raise Interrupted."""


@dataclass(frozen=True)
class Dtypes:
    """In what each part computes. `kept_fp32` of a transformer (norms, time embedding) stays fp32 besides."""

    transformer: torch.dtype
    text_encoder: torch.dtype
    vae: torch.dtype


@dataclass(frozen=True)
class Index:
    """What model_index.json says beyond class names."""

    two_experts: bool
    boundary_ratio: float | None
    expand_timesteps: bool


@dataclass(frozen=True)
class Parts:
    """A loaded model. `transformer_2` is the low-noise expert where there are two."""

    index: Index
    tokenizer: T5Tokenizer
    text_encoder: UMT5EncoderModel
    vae: AutoencoderKLWan
    transformer: WanTransformer3DModel
    transformer_2: WanTransformer3DModel | None
    scheduler_config: dict[str, Any]

    def modules(self) -> dict[str, nn.Module]:
        """The parts that hold weights, by their diffusers name, in the order of use."""
        found = {"text_encoder": self.text_encoder, "transformer": self.transformer, "vae": self.vae}
        return found if self.transformer_2 is None else {**found, "transformer_2": self.transformer_2}


def load_parts(folder: Path, dtypes: Dtypes, place: Callable[[str], str], tick: Tick) -> Parts:
    """Load every part; `place` names the torch device on which the weights of a part are to lie.

    Raises IntegrityError where files are not what they should be, TrustRemoteCode where only pickles are
    there.
    """
    index = read_index(folder)
    names = ["text_encoder", "transformer", *(["transformer_2"] if index.two_experts else []), "vae"]
    reader = _Reader(total=sum(f.stat().st_size for n in names for f in _weight_files(folder / n)), tick=tick)
    loaded = {name: _load_module(folder / name, name, dtypes, place(name), reader) for name in names}
    return Parts(
        index=index,
        tokenizer=T5Tokenizer.from_pretrained(
            folder / "tokenizer", local_files_only=True, trust_remote_code=False
        ),
        text_encoder=loaded["text_encoder"],
        vae=loaded["vae"],
        transformer=loaded["transformer"],
        transformer_2=loaded.get("transformer_2"),
        scheduler_config=_read_config(folder / "scheduler", "scheduler_config.json", UniPCMultistepScheduler),
    )


def read_index(folder: Path) -> Index:
    """Read model_index.json; IntegrityError if it is absent, broken or contradicts itself."""
    data = _read_json(folder / "model_index.json")
    low_noise = data.get("transformer_2")
    two_experts = isinstance(low_noise, list) and low_noise[:1] != [None]
    boundary = data.get("boundary_ratio")
    if two_experts != (boundary is not None):
        low = "present" if two_experts else "absent"
        raise IntegrityError(f"model_index.json: transformer_2 is {low}, but boundary_ratio is {boundary}")
    return Index(two_experts, boundary, bool(data.get("expand_timesteps", False)))


@dataclass
class _Reader:
    """Counts what has been read, for progress and for cancelling."""

    total: int
    tick: Tick
    done: int = 0

    def add(self, tensor: torch.Tensor) -> None:
        self.done += tensor.nbytes
        self.tick(min(self.done, self.total), self.total)


def _load_module(folder: Path, name: str, dtypes: Dtypes, device: str, reader: _Reader) -> Any:
    kind = "transformer" if name == "transformer_2" else name
    module = _BUILDERS[kind](folder)
    dtype_of = _dtype_rule(module, getattr(dtypes, kind))
    _fill(module, folder, lambda key, tensor: tensor.to(device=device, dtype=dtype_of(key)), reader)
    return module.to(device).eval().requires_grad_(False)


def _build_transformer(folder: Path) -> nn.Module:
    config = _read_config(folder, "config.json", WanTransformer3DModel)
    if config.get("image_dim") is not None:
        raise IntegrityError(
            f"{folder.name}: needs CLIP image embeddings, which no model of the catalogue does"
        )
    with torch.device("meta"):
        model = WanTransformer3DModel.from_config(config)
    rope = model.rope  # its tables are computed, not stored: build them where there is memory
    model.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len)
    return model


def _build_vae(folder: Path) -> nn.Module:
    config = _read_config(folder, "config.json", AutoencoderKLWan)
    with torch.device("meta"):
        return AutoencoderKLWan.from_config(config)


def _build_text_encoder(folder: Path) -> nn.Module:
    config = UMT5Config.from_dict(_read_json(folder / "config.json"))
    with torch.device("meta"):
        return UMT5EncoderModel(config)


_BUILDERS = {"transformer": _build_transformer, "vae": _build_vae, "text_encoder": _build_text_encoder}


def _dtype_rule(module: nn.Module, dtype: torch.dtype) -> Callable[[str], torch.dtype]:
    """diffusers keeps some parts of a transformer in fp32 (`_keep_in_fp32_modules`): a match of a path's
    element.
    """
    kept = set(module._keep_in_fp32_modules or ()) if isinstance(module, WanTransformer3DModel) else set()
    return lambda key: torch.float32 if kept & set(key.split(".")) else dtype


def _fill(
    module: nn.Module, folder: Path, convert: Callable[[str, torch.Tensor], torch.Tensor], reader: _Reader
) -> None:
    shapes = {key: tensor.shape for key, tensor in module.state_dict().items()}
    missing = set(shapes)
    for key, tensor in _stored_tensors(folder):
        if key not in missing:
            raise IntegrityError(
                f"{folder.name}: {key} is {'stored twice' if key in shapes else 'not of this model'}"
            )
        if tensor.shape != shapes[key]:
            raise IntegrityError(f"{folder.name}: {key} is {list(tensor.shape)}, not {list(shapes[key])}")
        reader.add(tensor)
        _assign(module, key, convert(key, tensor))
        missing.discard(key)
    missing -= _tie_embeddings(module, missing)
    if missing:
        raise IntegrityError(
            f"{folder.name}: {len(missing)} weights are not in the files, among them {min(missing)}"
        )


def _tie_embeddings(module: nn.Module, missing: set[str]) -> set[str]:
    """A umT5 encoder names its embedding table twice; checkpoints may store either name."""
    names = {"shared.weight", "encoder.embed_tokens.weight"}
    if not isinstance(module, UMT5EncoderModel) or names <= missing:
        return set()
    stored = min(names - missing)
    for name in names:
        _assign(module, name, module.get_parameter(stored))
    return names


def _assign(module: nn.Module, key: str, tensor: torch.Tensor) -> None:
    owner, _, leaf = key.rpartition(".")
    target = module.get_submodule(owner)
    if leaf in target._parameters:
        target._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        target._buffers[leaf] = tensor


def _stored_tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for file in _weight_files(folder):
        try:
            with safe_open(file, framework="pt", device="cpu") as opened:
                for key in opened.keys():  # noqa: SIM118 - safe_open is not a mapping
                    yield key, opened.get_tensor(key)
        except SafetensorError as error:
            raise IntegrityError(f"{folder.name}/{file.name}: {error}") from error


def _weight_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return files
    pickles = sorted(f.name for f in folder.glob("*") if f.suffix in PICKLES)
    if pickles:
        raise TrustRemoteCode(
            f"{folder.name}: weights are pickled ({pickles[0]}), and pickles never run here"
        )
    raise IntegrityError(f"{folder.name}: there is no .safetensors file")


def _read_config(folder: Path, name: str, cls: type) -> dict[str, Any]:
    config = _read_json(folder / name)
    if config.get("_class_name") != cls.__name__:
        raise IntegrityError(f"{folder.name}/{name}: is for {config.get('_class_name')}, not {cls.__name__}")
    return config


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise IntegrityError(f"{path.parent.name}/{path.name} is not there") from error
    except ValueError as error:
        raise IntegrityError(f"{path.parent.name}/{path.name} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise IntegrityError(f"{path.parent.name}/{path.name} is not a JSON object")
    return data
