"""Rates of a step, and the kinds of kernels."""

from __future__ import annotations

import pytest
import torch

from bench.transformer.clock import Timing
from bench.transformer.speed import kind_of, peak_flops, rates
from bench.transformer.workloads import A14B_480P, WORKLOADS


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("nvjet_hsh_256x128_64x4_1x2_h_bz_coopA_bias_TNT", "gemm"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_cublas", "gemm"),
        ("void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_bf16>", "gemm"),
        ("triton_tem_fused_addmm_gelu_1", "gemm"),
        ("aten::addmm", "gemm"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7x64x128x128", "attention"),
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<128, 128, 64, 4>>", "attention"),
        ("void cutlass::device_kernel<flash::FlashAttnFwdSm90<flash::CollectiveMainloop>>", "attention"),
        ("fmha_cutlassF_bf16_aligned_64x128_rf_sm80", "attention"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("triton_red_fused__scaled_dot_product_cudnn_attention_addmm_native_layer_norm_0", "elementwise"),
        ("triton_poi_fused_gelu_mm_3", "elementwise"),
        ("modulated_norm_kernel", "elementwise"),
        ("gated_residual_kernel", "elementwise"),
        ("qk_norm_rope_kernel", "elementwise"),
        (
            "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>>",
            "elementwise",
        ),
        ("Memcpy DtoD (Device -> Device)", "elementwise"),
        ("something else", "other"),
    ],
)
def test_kernels_are_told_apart_by_name(kernel: str, kind: str) -> None:
    assert kind_of(kernel) == kind


def test_rates_follow_from_the_median_step() -> None:
    workload = WORKLOADS[A14B_480P]
    found = rates(workload, Timing((5.0, 4.0, 6.0)), peak=989.5e12)
    assert found["s_a_step"] == 5.0
    assert found["s_a_step_spread"] == [4.0, 6.0]
    assert found["ms_a_forward"] == 2500
    assert found["tokens_a_s"] == pytest.approx(2 * workload.tokens / 5)
    assert found["tflops"] == pytest.approx(671, rel=0.01)
    assert found["share_of_peak"] == pytest.approx(0.678, rel=0.01)


def test_a_device_whose_peak_is_unknown_has_no_share_of_it() -> None:
    assert peak_flops(torch.device("cpu")) is None
    assert rates(WORKLOADS[A14B_480P], Timing((5.0,)), peak=None)["share_of_peak"] is None
