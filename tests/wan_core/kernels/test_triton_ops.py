from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode

from wan_core.kernels import triton_ops
from wan_core.kernels.ops import TORCH
from wan_core.kernels.triton_ops import OpsUnavailable, find_ops

CHECKS = Path(__file__).with_name("check_triton_ops.py")
HERE = Path(__file__).parents[3]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_triton = pytest.mark.skipif(bool(triton_ops.MISSING), reason=triton_ops.MISSING)

HALF, FLOAT, INT = "*bf16", "*fp32", "i32"
SIGNATURES = {
    "modulated_norm_kernel": [HALF, FLOAT, FLOAT, HALF, INT, INT, INT, "fp32", INT, INT, INT, INT],
    "gated_residual_kernel": [HALF, HALF, FLOAT, INT, INT, INT, INT, INT],
    "rms_norm_kernel": [HALF, FLOAT, HALF, INT, "fp32"],
    "qk_norm_rope_kernel": [HALF, FLOAT, FLOAT, FLOAT, FLOAT, INT, INT, INT, "fp32"],
}


def test_torchs_operations_are_found_anywhere() -> None:
    assert find_ops("torch", CPU) is TORCH


def test_unknown_operations_are_refused() -> None:
    with pytest.raises(OpsUnavailable, match="no operations 'cuda'; there are torch and triton"):
        find_ops("cuda", CPU)


@needs_triton
def test_triton_is_found_for_a_gpu_and_refused_for_a_cpu() -> None:
    assert find_ops("triton", CUDA) is triton_ops.TRITON
    with pytest.raises(OpsUnavailable, match="Triton does not compile for cpu"):
        find_ops("triton", CPU)


def test_without_triton_the_module_is_imported_and_says_so() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch\n"
        "from wan_core.kernels import triton_ops\n"
        "assert triton_ops.TRITON is None\n"
        "try: triton_ops.find_ops('triton', torch.device('cuda'))\n"
        "except triton_ops.OpsUnavailable as error: print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE)
    assert "Triton cannot be imported" in ran.stdout, ran.stderr


@needs_triton
def test_fake_tensors_of_a_gpu_pass_through_every_operation() -> None:
    ops = find_ops("triton", CUDA)
    with FakeTensorMode(), torch.device("cuda"):
        x, qkv = (torch.empty(2, 6, width, dtype=torch.bfloat16) for width in (256, 768))
        scale, shift = torch.empty(2, 3, 6, 256).unbind(2)[:2]
        weight, table = torch.empty(256), torch.empty(6, 32)
        found = [
            ops.modulated_norm(x, scale, shift, 1e-6),
            ops.gated_residual(x, x.clone(), scale),
            ops.rms_norm(x, weight, 1e-6),
            ops.gelu(x),
            *ops.qk_norm_rope(qkv, weight, weight, table, table, 4, 1e-6),
        ]
    assert [tuple(y.shape) for y in found] == [(2, 6, 256)] * 4 + [(2, 6, 4, 64)] * 3
    assert {y.dtype for y in found} == {torch.bfloat16}


@needs_triton
@pytest.mark.parametrize("architecture", [80, 90, 120], ids="sm_{}".format)
@pytest.mark.parametrize("name", SIGNATURES)
def test_a_kernel_compiles_for_a_gpu_that_is_not_there(name: str, architecture: int) -> None:
    """Rows of 5,120 channels; a result is rounded to the nearest bfloat16."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from wan_core.kernels import triton_kernels

    kernel = getattr(triton_kernels, name)
    signature = dict(zip(kernel.arg_names, [*SIGNATURES[name], "constexpr"], strict=True))
    source = ASTSource(kernel, signature, constexprs={(len(signature) - 1,): 8192})
    made = triton.compile(source, GPUTarget("cuda", architecture, 32), {"num_warps": 8})
    assert f".target sm_{architecture}" in made.asm["ptx"]
    assert "cvt.rn.bf16" in made.asm["ptx"]


@needs_triton
@pytest.mark.slow
def test_in_tritons_interpreter_every_operation_is_its_reference() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CHECKS)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
