from __future__ import annotations

import errno

import pytest

from wan_core.errors import (
    DeviceOutOfMemory,
    HostOutOfMemory,
    IncompatibleHardware,
    InsufficientDiskSpace,
    Interrupted,
    WanError,
)
from wan_core.pipeline.faults import name_fault, typed_faults


class OutOfMemoryError(RuntimeError):
    """Named as torch's own."""


CASES: dict[str, tuple[BaseException, type[WanError] | None]] = {
    "GPU memory": (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), DeviceOutOfMemory),
    "Python's memory": (MemoryError(), HostOutOfMemory),
    "torch's CPU allocator": (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        HostOutOfMemory,
    ),
    "C++ new": (RuntimeError("std::bad_alloc"), HostOutOfMemory),
    "mmap": (OSError(errno.ENOMEM, "Cannot allocate memory"), HostOutOfMemory),
    "the dynamic linker": (
        ImportError("libtorch_cuda.so: failed to map segment from shared object"),
        HostOutOfMemory,
    ),
    "an old GPU": (
        RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore"),
        IncompatibleHardware,
    ),
    "no compiler of C++": (
        RuntimeError("InvalidCxxCompiler: No working C++ compiler found in ...cxx: (None, 'g++')"),
        IncompatibleHardware,
    ),
    "no compiler of C": (RuntimeError("Failed to find C compiler. Please specify"), IncompatibleHardware),
    "a shape error": (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
    "a missing module": (ImportError("No module named 'torch'"), None),
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), InsufficientDiskSpace),
    "an assertion of the GPU": (RuntimeError("CUDA error: device-side assert triggered"), None),
}


@pytest.mark.parametrize("name", CASES)
def test_a_failure_is_named_only_if_it_is_known(name: str) -> None:
    error, expected = CASES[name]
    named = name_fault(error)
    assert type(named) is (expected or type(None))
    with pytest.raises(expected or type(error)), typed_faults():
        raise error


def test_our_own_errors_pass_through() -> None:
    with pytest.raises(Interrupted), typed_faults():
        raise Interrupted("told to stop")


@pytest.mark.slow
def test_the_name_of_torchs_own_type() -> None:
    import torch

    assert type(name_fault(torch.OutOfMemoryError("CUDA out of memory."))) is DeviceOutOfMemory
