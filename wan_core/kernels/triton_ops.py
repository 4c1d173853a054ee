"""The operations of a block in Triton, beside their references in `ops`: same contract, same results.

`gated_residual`, `qk_norm_rope` and `gelu` write into their first argument. None but `gelu` has a derivative:
those in place refuse what wants gradients, the others its backward pass. Operators are opaque, with fake
versions, so `torch.compile(fullgraph=True)`, `torch.export` and fake tensors accept them; kernels run on
torch's current device. `TRITON` is None where Triton is not installed (macOS, CPU wheels). Held against the
references in Triton's interpreter; no time has been measured on a GPU, so nothing picks them by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wan_core.kernels.ops import TORCH, Heads, Ops

try:
    import triton

    from wan_core.kernels import triton_kernels as kernels
except ImportError as error:
    MISSING = f"Triton cannot be imported: {error}"
else:
    MISSING = ""


class OpsUnavailable(ValueError):
    """There is no such bundle of operations, or it does not run here."""


def find_ops(name: str, device: torch.device) -> Ops:
    """`torch` or `triton`. Raises OpsUnavailable with the reason."""
    if name == TORCH.name:
        return TORCH
    if name != "triton":
        raise OpsUnavailable(f"there are no operations {name!r}; there are torch and triton")
    if TRITON is None:
        raise OpsUnavailable(MISSING)
    if device.type == "cpu" and not triton.knobs.runtime.interpret:
        raise OpsUnavailable("Triton does not compile for cpu")
    return TRITON


@torch.library.custom_op("wan::modulated_norm", mutates_args=())
def modulated_norm(x_BLD: Tensor, scale_BND: Tensor, shift_BND: Tensor, eps: float) -> Tensor:
    """LayerNorm without weights, times 1 + scale, plus shift: [B, L, D]."""
    (b, length, dim), strides = x_BLD.shape, (*_group_strides(scale_BND), *_group_strides(shift_BND))
    x_BLD, group = x_BLD.contiguous(), _group_tokens(length, scale_BND)
    out = torch.empty_like(x_BLD)
    kernels.modulated_norm_kernel[(b * length,)](
        x_BLD, scale_BND, shift_BND, out, length, group, dim, eps, *strides, **_launch(dim)
    )
    return out


@modulated_norm.register_fake
def _(x_BLD: Tensor, scale_BND: Tensor, shift_BND: Tensor, eps: float) -> Tensor:
    return x_BLD.new_empty(x_BLD.shape)


@torch.library.custom_op("wan::add_gated", mutates_args=("x_BLD",))
def add_gated(x_BLD: Tensor, y_BLD: Tensor, gate_BND: Tensor) -> None:
    """x = x + gate * y."""
    b, length, dim = x_BLD.shape
    group = _group_tokens(length, gate_BND)
    _check_rows(x_BLD)
    kernels.gated_residual_kernel[(b * length,)](
        x_BLD, y_BLD.contiguous(), gate_BND, length, group, dim, *_group_strides(gate_BND), **_launch(dim)
    )


@add_gated.register_fake
def _(x_BLD: Tensor, y_BLD: Tensor, gate_BND: Tensor) -> None:
    return None


@torch.library.custom_op("wan::norm_and_rotate", mutates_args=("qkv_BLE",))
def norm_and_rotate(
    qkv_BLE: Tensor, weight_q_D: Tensor, weight_k_D: Tensor, cos: Tensor, sin: Tensor, eps: float
) -> None:
    """RMSNorm of q and of k, then their rotation, where they are."""
    (b, length, _), dim = qkv_BLE.shape, weight_q_D.shape[0]
    _check_rows(qkv_BLE)
    kernels.qk_norm_rope_kernel[(b * length,)](
        qkv_BLE, weight_q_D, weight_k_D, cos, sin, length, dim, cos.shape[1], eps, **_launch(dim)
    )


@norm_and_rotate.register_fake
def _(qkv_BLE: Tensor, weight_q_D: Tensor, weight_k_D: Tensor, cos: Tensor, sin: Tensor, eps: float) -> None:
    return None


@torch.library.custom_op("wan::rms_norm", mutates_args=())
def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, over the last dimension."""
    x, dim = x.contiguous(), weight_D.shape[0]
    out = torch.empty_like(x)
    kernels.rms_norm_kernel[(x.numel() // dim,)](x, weight_D, out, dim, eps, **_launch(dim))
    return out


@rms_norm.register_fake
def _(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    return x.new_empty(x.shape)


def gelu(x: Tensor) -> Tensor:
    """PyTorch's own kernel, where the argument is."""
    return torch.ops.aten.gelu_(x, approximate="tanh")


def gated_residual(x_BLD: Tensor, y_BLD: Tensor, gate_BND: Tensor) -> Tensor:
    """x + gate * y: [B, L, D]. It is x that comes back. Raises RuntimeError if a gradient is wanted."""
    _check_no_gradient(x_BLD, y_BLD, gate_BND)
    add_gated(x_BLD, y_BLD, gate_BND)
    return x_BLD


def qk_norm_rope(
    qkv_BLE: Tensor, weight_q_D: Tensor, weight_k_D: Tensor, cos: Tensor, sin: Tensor, heads: int, eps: float
) -> Heads:
    """RMSNorm over all channels of q and of k, then their rotation. What comes back are views of qkv.

    Raises RuntimeError if a gradient is wanted.
    """
    _check_no_gradient(qkv_BLE, weight_q_D, weight_k_D)
    norm_and_rotate(qkv_BLE, weight_q_D, weight_k_D, cos, sin, eps)
    q, k, v = qkv_BLE.unflatten(-1, (3, heads, -1)).unbind(2)
    return q, k, v


def _launch(dim: int) -> dict[str, int]:
    """A row at a time in registers; a warp for each 1,024 channels, between 1 and 8."""
    block = triton.next_power_of_2(dim)
    return {"BLOCK": block, "num_warps": min(8, max(1, block // 1024))}


def _group_tokens(length: int, modulation_BND: Tensor) -> int:
    groups = modulation_BND.shape[1]
    if length % groups:
        raise ValueError(f"{length} tokens are not {groups} groups of the same size")
    return length // groups


def _group_strides(modulation_BND: Tensor) -> tuple[int, int]:
    """Of samples and groups; channels must lie side by side."""
    if modulation_BND.stride(2) != 1:
        raise ValueError(f"channels of a modulation lie {modulation_BND.stride(2)} apart, not side by side")
    return modulation_BND.stride(0), modulation_BND.stride(1)


def _check_no_gradient(*tensors: Tensor) -> None:
    """Autograd does not see what is written in place: it would go on with gradients that lack this."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        raise RuntimeError(
            "Triton's operations write in place and have no gradient: compute within torch.no_grad(), "
            "or with the operations of torch"
        )


def _check_rows(x: Tensor) -> None:
    if not x.is_contiguous():
        raise ValueError(f"{list(x.shape)} is written in place but lies by strides {list(x.stride())}")


TRITON = None if MISSING else Ops("triton", modulated_norm, gated_residual, qk_norm_rope, rms_norm, gelu)
