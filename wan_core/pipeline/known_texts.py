"""Texts that were encoded before, here or by another process of this machine: they need no text encoder.

A text is known under all that determines its states: the encoder's and the tokenizer's files by digest, the
device and libraries that computed, and the text itself. Two models with the same encoder share what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import tokenizers
import torch
import transformers
from torch import Tensor, nn

from wan_core.pipeline.techniques import choose_dtypes
from wan_core.plan.techniques import Plan
from wan_core.weights.prepared import Found, Prepared

TEXT_LENGTH = 512  # tokens; text_len of every Wan config (wan/configs/shared_config.py)
PARTS = ("text_encoder", "tokenizer")
ENCODING = 1  # of `wan_core.pipeline.text`; to be raised when it gives other states for the same text


@dataclass(frozen=True)
class Keep:
    """Where texts are kept, the digest of each of the model's files by its path in the model, and for whom:
    nobody can tell by a hit what another party had encoded.
    """

    prepared: Prepared
    digests: Mapping[str, str]
    party: str


@dataclass(frozen=True)
class Text:
    """States [1, 512, E]; tokens as counted before the cut."""

    states: Tensor
    tokens: int


class KnownTexts:
    """Owns the states that were found for one request, and keeps those that are made for it."""

    def __init__(self, prepared: Prepared, source: Mapping[str, Any], texts: Collection[str]) -> None:
        self._prepared, self._source = prepared, source
        found = {text: prepared.find(self._key(text)) for text in texts}
        self._held = {text: value for text, value in found.items() if value is not None}
        self.complete = len(self._held) == len(found)
        if self.complete:
            prepared.spared(max(value.setup_s for value in self._held.values()))

    def get_or_encode(self, text: str, encode: Callable[[], Text], setup_s: Callable[[], float]) -> Text:
        """The states of a text, on the host; `setup_s`: seconds that loading the text encoder took."""
        if text not in self._held:
            self._held[text] = self._prepared.get_or_make(
                self._key(text), lambda: shorten(encode()), setup_s=setup_s()
            )
        return lengthen(self._held[text])

    def _key(self, text: str) -> dict[str, Any]:
        return {**self._source, "text": text}


def find_texts(keep: Keep, plan: Plan, texts: Collection[str]) -> KnownTexts | None:
    """What is known of these texts; None where the files that would encode them have no digests."""
    files = {path: digest for path, digest in keep.digests.items() if path.partition("/")[0] in PARTS}
    if {path.partition("/")[0] for path in files} != set(PARTS):
        return None
    device = torch.device("cpu" if plan.uses("text-encoder-cpu") else plan.device)
    source = {
        "what": "text states",
        "encoding": ENCODING,
        "party": keep.party,
        "length": TEXT_LENGTH,
        "files": files,
        "dtype": str(choose_dtypes(plan).text_encoder),
        "device": describe_device(device),
        "versions": {module.__name__: module.__version__ for module in (torch, transformers, tokenizers)},
    }
    return KnownTexts(keep.prepared, source, texts)


def describe_device(device: torch.device) -> dict[str, Any]:
    """What of a device decides about the last bit: its instructions, how a sum is divided, TF32."""
    if device.type == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        return {"name": "cpu", "capability": capability, "threads": torch.get_num_threads()}
    name = torch.get_device_module(device).get_device_name(device)
    return {"name": name, "tf32": torch.backends.cuda.matmul.allow_tf32}


def shorten(text: Text) -> dict[str, Tensor]:
    """States without the zeros behind the last token: 8 KiB a token of umT5-xxl in bfloat16."""
    states = text.states[:, : text.tokens].to("cpu")
    return {"states": states, "tokens": torch.tensor(text.tokens)}


def lengthen(found: Found) -> Text:
    """The same with the zeros."""
    states = found.tensors["states"]
    behind = TEXT_LENGTH - states.shape[1]
    return Text(nn.functional.pad(states, (0, 0, 0, behind)), int(found.tensors["tokens"]))
