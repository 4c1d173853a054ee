"""What programs get: cards, settings, rungs as plain data, with what is computed from their fields. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from wan_core.catalog.gpu_card import GpuCard
from wan_core.plan.ladder_words import losses
from wan_core.plan.request import Request
from wan_core.plan.rungs import Rung
from wan_core.planning import CheckedManifest, Explanation, Setting
from wan_operator.commands.places import Found
from wan_operator.status import rung_status


def gpu_document(card: GpuCard) -> dict[str, Any]:
    """A GPU of the table. Peaks are dense TFLOP/s; one that is absent the GPU cannot, or no source tells."""
    capability = card.compute_capability
    return {
        "name": card.name,
        "vendor": card.vendor,
        "architecture": card.architecture,
        "profile": card.profile,
        "memoryGib": round(card.memory_gib, 2),
        "unified": card.unified,
        "bandwidthGBps": card.bandwidth_gbps,
        "computeCapability": None if capability is None else "{}.{}".format(*capability),
        "tflops": dict(card.tflops),
        "cannot": list(card.cannot),
        "sources": card.source.split(),
    }


def setting_document(setting: Setting) -> dict[str, Any]:
    """One model on one GPU: the shape, and how it runs or why it does not."""
    shape = setting.to_dict()
    del shape["rung"]
    return {**shape, "settings": rung_document(setting.rung)}


def rung_document(rung: Rung) -> dict[str, Any]:
    """A rung with all its figures."""
    data = rung.to_dict()
    data["plan"] = rung.plan.label
    data["techniques"] = list(rung.plan.techniques)
    data["device"] = rung.plan.device
    data["loses"] = list(losses(rung.plan))
    data["memory"] = {**data["memory"], "peakGib": rung.memory.peak_gib, "peakPhase": rung.memory.peak_phase}
    if rung.time is not None:
        data["time"] = {**data["time"], "total": asdict(rung.time.total)}
    return data


def request_document(request: Request, one: CheckedManifest) -> dict[str, Any]:
    """Complete, but for a seed that nobody has chosen: it comes from the uid that the API server gives."""
    data = request.to_dict()
    if one.resource is None or one.resource.spec.seed is None:
        del data["seed"]
    return data


def explanation_document(one: CheckedManifest, said: Explanation, found: Found) -> dict[str, Any]:
    """`ladder` is that of the status, by the same function; `rungs` are the same with all their figures."""
    return {
        "source": one.source,
        "name": one.name,
        "notes": [*found.notes, *one.notes],
        "requests": [request_document(request, one) for request in said.requests],
        "inventory": {"name": found.name, **found.inventory.to_dict()},
        "fits": bool(said.ladder.runnable),
        "conclusion": said.conclusion,
        "warnings": list(said.warnings),
        "ladder": [rung_status(rung).to_dict() for rung in said.ladder.rungs],
        "rungs": [rung_document(rung) for rung in said.ladder.rungs],
        "leftOut": list(said.ladder.left_out),
        "fallbacks": [fallback.to_dict() for fallback in said.fallbacks],
    }


def manifest_document(one: CheckedManifest, said: Explanation | None, detailed: bool) -> dict[str, Any]:
    """One manifest with every problem; `detailed`: the requests, complete; `said`: how it would run."""
    data: dict[str, Any] = {
        "source": one.source,
        "name": one.name,
        "model": one.model,
        "valid": one.valid,
        "problems": [problem.to_dict() for problem in one.problems],
        "warnings": list(one.warnings),
        "notes": list(one.notes),
    }
    if detailed:
        data["requests"] = [request_document(request, one) for request in one.requests]
    if said is not None:
        data["hardware"] = {
            "fits": bool(said.ladder.runnable),
            "conclusion": said.conclusion,
            "warnings": list(said.warnings),
            "ladder": [rung_status(rung).to_dict() for rung in said.ladder.rungs],
        }
    return data
