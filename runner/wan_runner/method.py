"""How a video is to be made, as the command line and the environment say, read before anything is fetched.

torch is loaded here only where a word has to be looked at that only it can judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wan_core.api.words import nearest, printable
from wan_core.errors import InvalidInput
from wan_core.weights.prepared_folder import FOLDER, read_max_bytes

if TYPE_CHECKING:
    from wan_core.pipeline.recipe import Wishes

VARIABLES = ("WAN_OPS", "WAN_ATTENTION", "WAN_COMPILE", "WAN_CUDA_GRAPHS", "WAN_TF32")
SWITCHES = {"on": True, "off": False}


@dataclass(frozen=True)
class Method:
    """By our transformer, as the `wishes` fix it (None: nothing is fixed), or by stock diffusers.

    `picks` is the folder of what is measured about a GPU, `prepared` that of what was derived from prompts,
    of at most `prepared_max_bytes`.
    """

    wishes: Wishes | None
    picks: Path
    prepared: Path
    prepared_max_bytes: int
    use_reference: bool


def read_method(environment: Mapping[str, str], cache: Path, use_reference: bool) -> Method:
    """Raises InvalidInput, naming the variable, for a word that means nothing, or would have no effect."""
    named = [name for name in VARIABLES if environment.get(name)]
    if use_reference and named:
        raise InvalidInput(
            [f"{name}: has no effect on stock diffusers, which --reference asks for" for name in named],
            advice=f"Unset {', '.join(named)}, or leave --reference out.",
        )
    wishes = read_wishes(environment) if named else None
    return Method(wishes, cache / "picks", cache / FOLDER, read_max_bytes(environment), use_reference)


def read_wishes(environment: Mapping[str, str]) -> Wishes:
    """WAN_OPS (torch, triton), WAN_ATTENTION (a backend); and on or off: WAN_COMPILE, WAN_CUDA_GRAPHS,
    WAN_TF32. Empty or absent: not said. Raises InvalidInput.
    """
    from wan_core.kernels.attention import ALIASES, BACKENDS
    from wan_core.pipeline.recipe import Wishes

    def choice(name: str, *choices: str) -> str | None:
        value = environment.get(name) or None
        if value is not None and value not in choices:
            hint = "".join(f"; did you mean {near}?" for near in nearest(value, choices))
            raise InvalidInput(
                f"{name}: {printable(value)} is not {' or '.join(choices)}{hint}",
                advice=f"Correct {name} in the runner's environment, or unset it.",
            )
        return value

    def switch(name: str) -> bool | None:
        value = choice(name, *SWITCHES)
        return None if value is None else SWITCHES[value]

    return Wishes(
        ops=choice("WAN_OPS", "torch", "triton"),
        attention=choice("WAN_ATTENTION", *BACKENDS, *ALIASES),
        compiled=switch("WAN_COMPILE"),
        recorded=switch("WAN_CUDA_GRAPHS") or False,
        tf32=switch("WAN_TF32") or False,
    )
