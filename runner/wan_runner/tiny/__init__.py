"""The demo models that ship with the package: where their files lie. No torch, no boto3.

`wan-tiny` and `wan-tiny-i2v` share text encoder, tokenizer and VAE; bench/wan_tiny made all their weights.
"""

from __future__ import annotations

from pathlib import Path

from wan_core.errors import ModelNotFound

SOURCE = "trained from scratch by bench/wan_tiny on synthetic clips"
LICENSE = "Apache-2.0"
TINY_MODELS = ("wan-tiny", "wan-tiny-i2v")

_WEIGHTS = Path(__file__).parent / "weights"
_FOLDERS = {"wan-tiny": ("shared", "t2v"), "wan-tiny-i2v": ("shared", "i2v")}


def model_files(model: str, weights: Path = _WEIGHTS) -> dict[str, Path]:
    """The files of a tiny model by their paths in diffusers layout. Raises ModelNotFound."""
    if model not in _FOLDERS:
        raise ModelNotFound(f"{model!r} does not ship with this package; {' and '.join(TINY_MODELS)} do")
    files: dict[str, Path] = {}
    for folder in (weights / name for name in _FOLDERS[model]):
        files |= {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    if "model_index.json" not in files:
        raise ModelNotFound(
            f"the files of {model} are missing from {weights}", advice="Install the package again."
        )
    return files
