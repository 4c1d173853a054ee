"""The GPUs of this machine as NVML shows them, and those of them that CUDA_VISIBLE_DEVICES leaves to us.

Reads, and changes nothing. Of a card that is cut (MIG) its slices count, as CUDA opens them: without a name
the first slice of each card. Indices are NVML's; they are CUDA's where GPUs are equal or CUDA_DEVICE_ORDER is
PCI_BUS_ID. Not read: AMD's and Intel's GPUs, which have other libraries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wan_core.plan.inventory import Gpu

GIB = 1 << 30


@dataclass(frozen=True)
class Seen:
    """A GPU, or a slice of one. `gpu` is None where the driver tells no memory: it is the host's.

    `slices` is None where the card is not cut.
    """

    uuid: str
    product: str
    gpu: Gpu | None
    compute_capability: tuple[int, int]
    slices: tuple[Seen, ...] | None = None


def read_seen() -> tuple[tuple[Seen, ...], str]:
    """Every GPU, in NVML's order; and in words, where NVML does not answer, why."""
    try:
        import pynvml  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return (), "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), f"NVML says: {error}"
    try:
        count = pynvml.nvmlDeviceGetCount()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        return tuple(_read_card(pynvml, handle) for handle in handles), ""
    except pynvml.NVMLError as error:  # one card that is lost: of the others CUDA's numbers are not known
        return (), f"NVML says: {error}"
    finally:
        pynvml.nvmlShutdown()


def choose_visible(seen: Sequence[Seen], visible: str | None) -> tuple[Seen, ...]:
    """Those that CUDA_VISIBLE_DEVICES names, in its order; unset, all of them.

    Indices, and starts of UUIDs (`GPU-…`, `MIG-…`). As CUDA reads it, the list ends at the first name of
    nothing.
    """
    if visible is None:
        return tuple(opened for card in seen if (opened := _opened(card)) is not None)
    found: list[Seen] = []
    for name in visible.split(","):
        named = _named(seen, name.strip())
        if named is None or named in found:
            break
        found.append(named)
    return tuple(found)


def _opened(card: Seen) -> Seen | None:
    """What CUDA opens of a card: all of it, or the first slice; nothing of a card that is cut into none."""
    if card.slices is None:
        return card
    return card.slices[0] if card.slices else None


def _named(seen: Sequence[Seen], name: str) -> Seen | None:
    if name.isascii() and name.isdigit():
        return _opened(seen[int(name)]) if len(name) < 9 and int(name) < len(seen) else None
    if name.startswith("MIG-"):
        slices = [part for card in seen for part in card.slices or ()]
        return next((part for part in slices if part.uuid.startswith(name)), None)
    if name.startswith("GPU-"):
        return next((_opened(card) for card in seen if card.uuid.startswith(name)), None)
    return None


def _read_card(nvml: Any, handle: Any) -> Seen:
    capability = tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle))
    whole = _read_one(nvml, handle, capability)
    if not _is_cut(nvml, handle):
        return whole
    slices = tuple(_read_one(nvml, part, capability) for part in _read_slices(nvml, handle))
    return Seen(whole.uuid, whole.product, whole.gpu, whole.compute_capability, slices)


def _is_cut(nvml: Any, handle: Any) -> bool:
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError_NotSupported:
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _read_slices(nvml: Any, handle: Any) -> Iterator[Any]:
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except nvml.NVMLError_NotFound:
            continue


def _read_one(nvml: Any, handle: Any, capability: tuple[int, int]) -> Seen:
    product = nvml.nvmlDeviceGetName(handle)
    uuid = nvml.nvmlDeviceGetUUID(handle)
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError_NotSupported:
        return Seen(uuid, product, None, capability)
    gpu = Gpu(
        product=product,
        memory_gib=memory.total / GIB,
        free_gib=memory.free / GIB,
        compute_capability=capability,
    )
    return Seen(uuid, product, gpu, capability)
