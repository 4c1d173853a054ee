"""What people call a GPU -> its card: `4090`, `rtx 4090`, `A100-80`, `h100`, `NVIDIA-L4`.

A name that could mean cards of different memory is refused with those it could mean, never guessed: memory is
what planning is about. What follows the name by a dash may be its memory in GB. Without a form factor the SXM
board is meant.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import product
from types import MappingProxyType

from wan_core.api.words import nearest, shown
from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpu_slices import SLICE
from wan_core.catalog.gpus import GPUS, NOISE, find_gpu
from wan_core.errors import InvalidInput

# What may be left out of a name, besides the memory.
OPTIONAL = frozenset({"rtx", "gtx", "arc", "sxm", "blackwell"})
MEMORY_WORD = re.compile(r"(\d+)gb")
SAID_MEMORY = re.compile(r"(?P<name>.+?)(?:[\s_-]+(?P<gb>\d+)|[\s_-]*(?P<with>\d+)\s*gi?b?)", re.IGNORECASE)
SQUASHED = re.compile("|".join((*sorted(NOISE), "[^a-z0-9]")))
NEAR = 0.1  # how far what people say may be from what the driver reports: 24 of an L4's 22.5
# Of what is refused with its own reason.
REFUSED: Mapping[str, str] = MappingProxyType(
    {r"apple.*|m[1-9](pro|max|ultra)?": "nothing here runs on Apple's GPUs"}
)
SUGGESTED = 3


def read_gpu_name(text: str, path: str) -> GpuCard:
    """The card that `text` means. Raises InvalidInput at `path`, with the nearest names."""
    card = find_gpu_name(text, path)
    if card is None:
        raise InvalidInput(refuse_name(text, path))
    return card


def refuse_name(text: str, path: str) -> str:
    """That no card is meant, in words, with the nearest names."""
    return f"{path}: {shown(text)} is not in the table of GPUs{_hint(_squash(text))}"


def find_gpu_name(text: str, path: str) -> GpuCard | None:
    """The card; None if none is meant. Raises InvalidInput at `path` if several are, or one that cannot."""
    if cut := SLICE.fullmatch(text.strip()):
        return _find_slice(cut["card"], cut["profile"], path)
    squashed = _squash(text)
    for pattern, reason in REFUSED.items():
        if re.fullmatch(pattern, squashed):
            raise InvalidInput(f"{path}: {shown(text)}: {reason}")
    if card := _whole().get(squashed) or _of_memory(text):
        return card
    if could := _unsized().get(squashed):
        names = ", ".join(card.name for card in could)
        raise InvalidInput(f"{path}: {shown(text)} could be {names}: write which")
    return find_gpu(text)


def _find_slice(name: str, profile: str, path: str) -> GpuCard | None:
    card = find_gpu_name(name, path)
    if card is None:
        return None
    if found := find_gpu(f"{card.name} {profile}"):
        return found
    raise InvalidInput(f"{path}: {card.name} has no slice {shown(profile)}")


def _squash(text: str) -> str:
    return SQUASHED.sub("", text.lower())


def _of_memory(text: str) -> GpuCard | None:
    """`H100-80`, `4060 Ti 16GB`: the one card of the name that has about so much memory."""
    match = SAID_MEMORY.fullmatch(text.strip())
    if match is None:
        return None
    name, gb = _squash(match["name"]), int(match["gb"] or match["with"])
    one = _whole().get(name)
    could = _unsized().get(name, ()) if one is None else (one, *_family(one))
    fitting = [card for card in could if abs(card.memory_gib - gb) <= NEAR * gb]
    return fitting[0] if fitting and (len(fitting) == 1 or fitting[0] is one) else None


def _family(card: GpuCard) -> list[GpuCard]:
    """The other forms of a product: H100 PCIe and NVL beside the SXM board."""
    first = card.name.split()[0]
    return [c for c in GPUS if c is not card and c.name.split()[0] == first and first not in ("RTX", "GTX")]


def _hint(squashed: str) -> str:
    spellings = nearest(squashed, _whole(), 3 * SUGGESTED, cutoff=0.5)
    names = dict.fromkeys(_whole()[spelling].name for spelling in spellings)
    close = list(names)[:SUGGESTED]
    return f"; nearest: {', '.join(close)}" if close else ""


def _spellings(name: str) -> Iterator[str]:
    """Every squashed way to write a card's name."""
    ways: list[tuple[str, ...]] = []
    for word in name.lower().split():
        size = MEMORY_WORD.fullmatch(word)
        ways.append((word, size[1]) if size else (word, "") if word in OPTIONAL else (word,))
    for words in product(*ways):
        if spelling := _squash("".join(words)):
            yield spelling


def _index(names: Iterable[tuple[str, GpuCard]]) -> dict[str, tuple[GpuCard, ...]]:
    """Every spelling of the names, and what it could mean."""
    found: dict[str, dict[str, GpuCard]] = defaultdict(dict)
    for name, card in names:
        for spelling in _spellings(name):
            found[spelling][card.name] = card
    return {spelling: tuple(cards.values()) for spelling, cards in found.items()}


@cache
def _whole() -> Mapping[str, GpuCard]:
    """By every spelling that means one card alone."""
    found = _index((card.name, card) for card in GPUS)
    return MappingProxyType({spelling: cards[0] for spelling, cards in found.items() if len(cards) == 1})


@cache
def _unsized() -> Mapping[str, tuple[GpuCard, ...]]:
    """By every spelling without the memory, where a card's name has it."""
    bare = ((" ".join(w for w in c.name.split() if not MEMORY_WORD.fullmatch(w.lower())), c) for c in GPUS)
    return MappingProxyType(_index((name, card) for name, card in bare if name != card.name))
