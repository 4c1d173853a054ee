"""The cache brought within its limits on demand: what `wan weights gc` does, and what it would do."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event

from wan_runner.store.cache import Cache
from wan_runner.store.evict import Candidate, Evicted, evict_one, find_candidates, is_free
from wan_runner.store.holdings import list_cached
from wan_runner.store.leases import locked
from wan_runner.store.space import WAITING, find_shortfall, make_room, measure
from wan_runner.store.sweep import sweep


@dataclass(frozen=True)
class Row:
    """Something that may go: whether it does now, whether somebody uses it, and of which models it is."""

    candidate: Candidate
    goes: bool
    in_use: bool
    models: tuple[str, ...]


def plan_cleaning(cache: Cache) -> list[Row]:
    """All that may go, in its order: wrong bytes do, and as much else as is above the limits."""
    left = find_shortfall(measure(cache, {}), cache.limits).should
    models = list_cached(cache)
    rows = []
    for candidate in find_candidates(cache):
        free = is_free(cache, candidate)
        goes = free and (candidate.kind == "quarantine" or left > 0)
        left -= candidate.bytes if goes else 0
        of = tuple(sorted({model.name for model in models if candidate.name in model.blobs}))
        rows.append(Row(candidate, goes, not free, of))
    return rows


def clean(cache: Cache, cancel: Event) -> Evicted:
    """Sweeps what dead processes left, removes wrong bytes, and evicts down to the limits."""
    gone = sweep(cache)
    with locked(cache.gc_lock, cancel, WAITING):
        for candidate in find_candidates(cache):
            if candidate.kind == "quarantine":
                gone += evict_one(cache, candidate)
        return gone + make_room(cache, {})
