"""How a program names the tensors of a model, and which program named those at hand."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum

from wan_core.errors import IntegrityError

ALTERNATIVES = re.compile(r"\{([^}]*)\}")


class Scheme(StrEnum):
    """diffusers and transformers; Wan's own repositories; ComfyUI's single files."""

    DIFFUSERS = "diffusers"
    WAN = "wan"
    COMFYUI = "comfyui"


def spell(pattern: str, index: int | None = None) -> tuple[str, ...]:
    """The names behind a pattern: `*` is the index, `{q,k}` are several names.

    `spell("blocks.*.to_{q,k}", 3)` is `("blocks.3.to_q", "blocks.3.to_k")`.
    """
    name = pattern if index is None else pattern.replace("*", str(index))
    several = ALTERNATIVES.search(name)
    if several is None:
        return (name,)
    head, tail = name[: several.start()], name[several.end() :]
    return tuple(head + choice + tail for choice in several[1].split(","))


def detect_scheme(keys: Collection[str], known: Mapping[Scheme, Collection[str]], what: str) -> Scheme:
    """The scheme of `keys`, of which some must be names that only this scheme has.

    `known` are the names of a kind of model in each scheme; of schemes that share all names the first is
    meant. Raises IntegrityError if keys are of no scheme or of several.
    """
    marks = {
        scheme: set(names).difference(*(other for other in known.values() if set(other) != set(names)))
        for scheme, names in known.items()
    }
    found = {scheme: sorted(own & set(keys)) for scheme, own in marks.items() if own & set(keys)}
    if not found:
        first = f"the first is {min(keys)}" if keys else "there are none"
        raise IntegrityError(f"{what}: no scheme has these names; {first}")
    first, *others = found
    for other in others:
        if found[other] != found[first]:
            raise IntegrityError(
                f"{what}: names of several schemes are mixed: "
                f"{found[first][0]} is {first}'s, {found[other][0]} is {other}'s"
            )
    return first
