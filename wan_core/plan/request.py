"""A request with every default filled in: what is planned, and what the runner generates."""

from __future__ import annotations

from wan_core.api.model import Document
from wan_core.api.spec import ImageFit, Quality


class Request(Document):
    """One video to make with one model. Guidance is the pair used above and below the expert boundary."""

    model: str
    prompt: str
    negative_prompt: str
    image: str | None = None
    image_fit: ImageFit = ImageFit.REFUSE
    width: int
    height: int
    frames: int
    fps: int
    steps: int
    guidance_high: float
    guidance_low: float
    shift: float
    seed: int
    quality: Quality = Quality.LOSSLESS
