"""What one model lacks beside another, by their figures. Which makes the better video was not measured."""

from __future__ import annotations

from collections.abc import Iterator

from wan_core.catalog.architecture import Card, ModelCard, ModelTask, OtherCard

DENOISERS = ("unet", "motion_adapter")  # parts of other architectures that compute a step
SIGNIFICANT = 0.95  # what is nearly as long or as large is told of as the same
UNMEASURED = "which looks better was not measured"


def what_is_lost(card: Card, other: Card) -> str:
    """What `other` lacks that `card` has, as one line; it ends with what nobody here has measured."""
    return "; ".join([*_losses(card, other), UNMEASURED])


def denoiser_parameters(card: Card) -> int:
    """Parameters of what computes the steps: of all experts, or of the U-Net with what is put into it."""
    if isinstance(card, OtherCard):
        return sum(part.parameters for part in card.parts if part.name in DENOISERS)
    assert isinstance(card, ModelCard)
    return card.experts * card.transformer.parameters


def _losses(card: Card, other: Card) -> Iterator[str]:
    if card.task is ModelTask.S2V and other.task is not card.task:
        yield "it hears no speech"
    if card.task is ModelTask.ANIMATE and other.task is not card.task:
        yield "it follows no driving video"
    if other.needs_image and not card.needs_image:
        yield "it needs an image"
    if card.takes_image and not other.takes_image:
        yield "it takes no image"
    if card.takes_prompt and not other.takes_prompt:
        yield "it reads no prompt"
    mine, its = denoiser_parameters(card), denoiser_parameters(other)
    if its < mine:
        yield f"{_billions(its)} parameters instead of {_billions(mine)}"
    if other.experts < card.experts:
        yield "one expert for all noise instead of two"
    yield from _coarser(card, other)
    yield from _smaller(card, other)
    yield from _shorter(card, other)


def _coarser(card: Card, other: Card) -> Iterator[str]:
    """Latents of one side of a token: only of the same architecture can they be compared."""
    both = isinstance(card, ModelCard) and isinstance(other, ModelCard)
    if both and other.stride > card.stride:
        yield f"a token for {other.stride}x{other.stride} pixels instead of {card.stride}x{card.stride}"


def _smaller(card: Card, other: Card) -> Iterator[str]:
    mine, its = (max(one.sizes.trained, key=lambda size: size[0] * size[1]) for one in (card, other))
    if its[0] * its[1] < SIGNIFICANT * mine[0] * mine[1]:
        yield f"taught up to {its[0]}x{its[1]} instead of {mine[0]}x{mine[1]}"


def _shorter(card: Card, other: Card) -> Iterator[str]:
    mine, its = (max(one.frame_rule.trained) / one.defaults.fps for one in (card, other))
    if its < SIGNIFICANT * mine:
        yield f"taught with {its:.1f} s instead of {mine:.1f} s"
    if other.defaults.fps < card.defaults.fps:
        yield f"{other.defaults.fps} frames a second instead of {card.defaults.fps}"


def _billions(count: int) -> str:
    return f"{count / 1e9:.1f} B" if count >= 1e8 else f"{count / 1e6:.1f} M"
