"""Name the failures of torch. Only what is recognised is translated; the rest escapes as it is, a bug."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from wan_core.errors import (
    DeviceOutOfMemory,
    HostOutOfMemory,
    IncompatibleHardware,
    InsufficientDiskSpace,
    WanError,
)

HOST_MEMORY_WORDS = (
    "DefaultCPUAllocator",  # c10/core/impl/alloc_cpu.cpp
    "std::bad_alloc",
    "Cannot allocate memory",  # strerror(ENOMEM), in safetensors' and the dynamic linker's messages
    "failed to map segment from shared object",  # the dynamic linker under RLIMIT_AS
)
HARDWARE_WORDS = (
    "no kernel image is available",
    "invalid device function",
    "CUDA driver version is insufficient",
)
COMPILER_WORDS = (
    "No working C++ compiler",  # torch/_inductor/cpp_builder.py
    "Failed to find C compiler",  # triton/runtime/build.py
)


@contextmanager
def typed_faults() -> Iterator[None]:
    """Raise our own types for memory and disks that ran out, and for hardware that does not run the code."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError, ImportError) as error:
        fault = name_fault(error)
        if fault is None:
            raise
        raise fault from error


def name_fault(error: BaseException) -> WanError | None:
    """Our type for an exception of torch, Python or the linker; None if it is none of these."""
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if type(error).__name__ == "OutOfMemoryError":  # of torch, which is not imported just to name it
        return DeviceOutOfMemory(first_line)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return InsufficientDiskSpace(f"the disk is full: {first_line}")
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return HostOutOfMemory(f"the host's memory ran out: {first_line}")
    if any(words in str(error) for words in HOST_MEMORY_WORDS):
        return HostOutOfMemory(f"the host's memory ran out: {first_line}")
    if any(words in str(error) for words in HARDWARE_WORDS):
        return IncompatibleHardware(f"this GPU does not run the installed torch: {first_line}")
    if any(words in str(error) for words in COMPILER_WORDS):
        return IncompatibleHardware(
            f"the transformer cannot be compiled here: {first_line}",
            advice="Install gcc and g++, or set WAN_COMPILE=off.",
        )
    return None
