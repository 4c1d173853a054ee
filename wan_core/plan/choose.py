"""Which rung next: the best for a device that is really there, and the weaker ones after a failure.

A failure says something about plans only if another plan could avoid it (`errors.TABLE`). One that may be
tried again as it is says nothing, and whoever retries bounds that; any other ends the matter. Each failure
that speaks about plans excludes at least the failed plan where it failed, so a chain of failures ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wan_core.api.model import Document
from wan_core.errors import TABLE, Category, DeviceOutOfMemory, HostOutOfMemory, IncompatibleHardware
from wan_core.plan.inventory import Device
from wan_core.plan.memory import MemoryEstimate
from wan_core.plan.places import CPU
from wan_core.plan.product_names import product_key
from wan_core.plan.rungs import Ladder, Rung
from wan_core.plan.techniques import suits


class Exclusion(Document):
    """A plan that is not to be tried again: anywhere, or on one GPU product."""

    plan: str
    product: str | None = None

    def covers(self, plan: str, product: str | None) -> bool:
        """Whether it forbids `plan` on `product`; None asks for everywhere at once."""
        if self.plan != plan:
            return False
        if self.product is None:
            return True
        return product is not None and product_key(self.product) == product_key(product)


@dataclass(frozen=True)
class Failure:
    """How an attempt failed. `product` is the GPU's, None if unknown or a CPU."""

    plan: str
    category: Category
    product: str | None = None


@dataclass(frozen=True)
class Binding:
    """The rung taken, and why each better one was not: `label: why`."""

    rung: Rung
    refused: tuple[str, ...]


def bind(
    rungs: Sequence[Rung], device: Device, excluded: Sequence[Exclusion] = (), only: Sequence[str] = ()
) -> Binding:
    """The best of `rungs` for what is free on `device`; with `only` no device but GPUs of these products.

    The memory of the rung that is bound is what it needs on this product, by what was measured there if
    anything was.

    Raises DeviceOutOfMemory or HostOutOfMemory where a plan for this device wants more than is free, and
    IncompatibleHardware where none is for it; each names every refusal with its numbers.
    """
    refused: list[str] = []
    for rung in rungs:
        why = why_not(rung, device, excluded, only)
        if not why:
            return Binding(_as_on(rung, device), tuple(refused))
        refused.append(f"{rung.plan.label}: {why}")
    raise _misfit(rungs, device, excluded, only)(f"no plan fits {device.product}: {'; '.join(refused)}")


def why_not(rung: Rung, device: Device, excluded: Sequence[Exclusion] = (), only: Sequence[str] = ()) -> str:
    """Why `rung` cannot run on `device` now; empty if it can."""
    if reason := _unsuited(rung, device, excluded, only):
        return reason
    need = _need(rung, device)
    if device.kind != "cpu" and need.peak_gib > device.free_gib:
        return f"needs {need.peak_gib:.1f} GiB ({need.peak_phase}), {device.free_gib:.1f} GiB are free"
    if need.host_gib > device.host_free_gib:
        return f"needs {need.host_gib:.1f} GiB of host memory, {device.host_free_gib:.1f} GiB are free"
    return ""


def exclude(ladder: Ladder, failures: Sequence[Failure]) -> tuple[Exclusion, ...]:
    """What these failures forbid: for the Task, whose runner is not to bind it again. In order, each once."""
    found = (exclusion for failure in failures for exclusion in _forbidden(ladder, failure))
    return tuple(dict.fromkeys(found))


def weaker(ladder: Ladder, failures: Sequence[Failure]) -> tuple[Rung, ...]:
    """The rungs still worth trying after these failures, best first; empty when nothing is left."""
    if any(_final(failure.category) for failure in failures):
        return ()
    excluded = exclude(ladder, failures)
    return tuple(rung for rung in ladder.runnable if _open(rung, excluded))


def _forbidden(ladder: Ladder, failure: Failure) -> Iterable[Exclusion]:
    if not TABLE[failure.category].other_plan:
        return
    failed = next((r for r in ladder.rungs if r.plan.label == failure.plan), None)
    product = _known_product(failed, failure)
    yield Exclusion(plan=failure.plan, product=product)
    for rung in ladder.rungs:
        if failed is not None and _fails_likewise(rung, failed, failure, product):
            everywhere = failure.category is Category.HOST_OUT_OF_MEMORY
            yield Exclusion(plan=rung.plan.label, product=None if everywhere else product)


def _fails_likewise(rung: Rung, failed: Rung, failure: Failure, product: str | None) -> bool:
    """Whether what stopped `failed` stops `rung` too: on `product`, None for everywhere.

    Hardware that a plan was for and does not work there is no hardware for any other plan. Where the ladder
    did not expect the plan, only the techniques were wrong.
    """
    if failure.category is Category.HOST_OUT_OF_MEMORY:
        return rung.memory.host_gib >= failed.memory.host_gib
    if rung.plan.device != failed.plan.device:
        return False
    if failure.category is Category.CUDA_OUT_OF_MEMORY:
        where = product or ""
        return rung.need_on(where).peak_gib >= failed.need_on(where).peak_gib
    unexpected = failure.product is not None and failed.plan.device != "cpu" and product is None
    return rung.plan.techniques == failed.plan.techniques if unexpected else True


def _known_product(failed: Rung | None, failure: Failure) -> str | None:
    """The product by the ladder's name; None, which excludes everywhere, if the ladder does not know it."""
    if failed is None or failure.product is None or failure.category is Category.HOST_OUT_OF_MEMORY:
        return None
    wanted = product_key(failure.product)
    return next((p for p in failed.products if product_key(p) == wanted), None)


def _final(category: Category) -> bool:
    row = TABLE[category]
    return not row.other_plan and not row.retryable


def _open(rung: Rung, excluded: Sequence[Exclusion]) -> bool:
    places: Sequence[str | None] = rung.products or (None,)
    return any(not any(e.covers(rung.plan.label, place) for e in excluded) for place in places)


def _unsuited(rung: Rung, device: Device, excluded: Sequence[Exclusion], only: Sequence[str]) -> str:
    """Why no amount of memory would do."""
    if rung.plan.device != device.kind:
        return f"is for {rung.plan.device}, this is {device.kind}"
    if only and not (device.kind == "cuda" and _is_among(device.product, only)):
        return f"spec.scheduling.gpuProducts allows only {', '.join(only)}"
    if any(e.covers(rung.plan.label, device.product) for e in excluded):
        return f"failed before on {device.product}"
    return suits(rung.plan, device.kind, device.compute_capability, device.product)


def _need(rung: Rung, device: Device) -> MemoryEstimate:
    return rung.need_on(CPU if device.kind == "cpu" else device.product)


def _as_on(rung: Rung, device: Device) -> Rung:
    need = _need(rung, device)
    return rung if need == rung.memory else rung.model_copy(update={"memory": need, "measured": ()})


def _is_among(product: str, names: Sequence[str]) -> bool:
    return product_key(product) in {product_key(name) for name in names}


def _misfit(
    rungs: Sequence[Rung], device: Device, excluded: Sequence[Exclusion], only: Sequence[str]
) -> type[IncompatibleHardware | DeviceOutOfMemory | HostOutOfMemory]:
    suited = [r for r in rungs if not _unsuited(r, device, excluded, only)]
    if not suited:
        return IncompatibleHardware
    on_device = device.kind != "cpu" and all(_need(r, device).peak_gib > device.free_gib for r in suited)
    return DeviceOutOfMemory if on_device else HostOutOfMemory
