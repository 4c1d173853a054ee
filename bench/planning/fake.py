"""A GPU that is not there: fake tensors at true sizes, every live storage counted.

Nothing of `wan_core.pipeline`, our transformer, diffusers' VAE or transformers' umT5 is replaced but what
only a GPU or real numbers could give. Blocks attend by torch's flash operator (in float32 the
memory-efficient one), VAE and text encoder by what such kernels leave: the output and a sum a query; copies
happen at once; what is read back is zero. Bytes are those of torch's MemTracker, which rounds each CUDA
tensor up to 512. Not in them: fragmentation, workspaces, a compiler's fusion, the context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn import functional as F
from transformers import PreTrainedModel

from wan_core.pipeline import placement
from wan_core.weights.carrier import PlainCarrier


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Inside, tensors are fake, and `cuda` is a device like others."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), ExitStack() as stack:
        for target, name, stand_in in STAND_INS:
            stack.enter_context(patch.object(target, name, stand_in, create=True))
        yield


def count(call: Callable[[], Any], held: Iterable[nn.Module], tensors: Iterable[Tensor]) -> dict[str, int]:
    """Peak bytes by kind of device while `call` runs: what it makes, modules and tensors that are there."""
    tracker = PeakOnly()
    tracker.track_external(*held, *tensors)
    with tracker:
        Root(call)()
    peak = tracker.get_tracker_snapshot("peak")
    return {device.type: int(found["Total"]) for device, found in peak.items()}


class PeakOnly(MemTracker):
    """Without the peak of each module, which nobody asks for here and takes most of the time."""

    def _update_peak_stats(self, peak_state: Any) -> None:
        for device, found in self._curr_mem_snap.items():
            if self._peak_mem.get(device, 0) < found["Total"]:
                self._peak_mem[device] = found["Total"]
                self._peak_mem_snap[device] = dict(found)


class Root(nn.Module):
    """The module under which a phase runs: MemTracker counts a root module once only."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self.call = call

    def forward(self) -> Any:
        return self.call()


def attention(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> Tensor:
    """What a memory-efficient kernel leaves: the output and float32 sums of each query. [B, H, L, d]"""
    sums = q.new_empty(q.shape[:-1], dtype=torch.float32)
    out = q.new_empty((*q.shape[:-1], v.shape[-1]))
    del sums
    return out


class NoStream:
    """A CUDA stream on which nothing is ever under way."""

    def record_event(self) -> NoStream:
        return self

    def synchronize(self) -> None: ...


def _set_data(tensor: Tensor, value: Tensor) -> None:
    """A fake tensor's device is written beside it: what is pointed elsewhere lies elsewhere."""
    torch.Tensor.data.__set__(tensor, value)  # type: ignore[attr-defined]
    tensor.fake_device = value.device  # type: ignore[attr-defined]


def _as_it_is(module: nn.Module, *_: Any, **__: Any) -> nn.Module:
    """Built where it is to lie: fake parameters cannot be moved while anything knows of them."""
    return module


STAND_INS: tuple[tuple[Any, str, Any], ...] = (
    (F, "scaled_dot_product_attention", attention),
    (placement, "build_carrier", lambda _device: PlainCarrier()),
    (nn.Module, "to", _as_it_is),
    (PreTrainedModel, "to", _as_it_is),
    (ModelMixin, "to", _as_it_is),
    (torch.cuda, "current_stream", lambda _device=None: NoStream()),
    (torch.cuda, "empty_cache", lambda: None),
    (FakeTensor, "data", property(torch.Tensor.data.__get__, _set_data)),  # type: ignore[attr-defined]
    (FakeTensor, "__int__", lambda _tensor: 0),
    (FakeTensor, "numpy", lambda tensor: np.empty(tensor.shape, dtype=np.uint8)),
)
