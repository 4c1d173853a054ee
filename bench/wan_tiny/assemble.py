"""Put a whole diffusers folder together from the stored parts, by symbolic links. Reads no weight."""

from pathlib import Path

SHARED = ("text_encoder", "tokenizer", "vae")


def assemble(weights: Path, variant: str, folder: Path) -> Path:
    """`variant` is t2v or i2v; `folder` is made, and loads with `from_pretrained`."""
    folder.mkdir(parents=True)
    sources = [*(weights / variant).iterdir(), *(weights / "shared" / part for part in SHARED)]
    for source in sources:
        (folder / source.name).symlink_to(source.resolve())
    return folder
