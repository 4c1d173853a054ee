"""Which change alone makes a plan fit that fits nowhere: the smallest in each direction, found by trying.

A change of the request is tried with the plan itself; memory grows with frames and with each side, so that
the largest that fits is found by halving. Hardware is the smallest of the catalogue that would do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import ceil

from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpus import GPUS
from wan_core.plan.candidates import Candidate
from wan_core.plan.criteria import Criteria, find_need
from wan_core.plan.places import Ground, Place, fits_empty, suited
from wan_core.plan.product_names import product_key
from wan_core.plan.request import Request
from wan_core.plan.rungs import Cure, CureKind
from wan_core.plan.techniques import TECHNIQUES, suits

# The runner's images carry NVIDIA's libraries: other cards are no advice.
ADVISED = tuple(sorted((c for c in GPUS if c.vendor == "NVIDIA"), key=lambda c: (c.memory_gib, c.name)))
NO_SUCH_CARD = ", which no card of the catalogue has"
# A change of the request comes before one of the hardware; of the request the one that costs least.
ORDER: tuple[CureKind, ...] = ("quality", "frames", "resolution", "product", "model", "gpu", "memory", "host")


def find_cures(candidate: Candidate, ground: Ground, criteria: Criteria) -> tuple[Cure, ...]:
    """Each change that alone makes the plan fit."""
    rooms = _rooms(candidate, suited(candidate.plan, ground.places), criteria)
    found = (
        _fewer_frames(candidate, rooms, criteria),
        _smaller_size(candidate, rooms, criteria),
        _other_products(candidate, ground.barred, criteria),
        _larger_gpu(candidate, ground, bool(rooms), criteria),
        _larger_host(candidate, ground, rooms, criteria),
    )
    return tuple(cure for cure in found if cure is not None)


def least_of(cures: Iterable[Cure]) -> tuple[Cure, ...]:
    """Of several cures of one kind that which changes least, in the order in which they are told.

    A GPU that no card of the catalogue is one is told only if no other GPU would do.
    """
    best: dict[CureKind, Cure] = {}
    for cure in cures:
        if cure.kind not in best or _change(cure) < _change(best[cure.kind]):
            best[cure.kind] = cure
    told = (kind for kind in ORDER if kind in best and not (kind == "memory" and "gpu" in best))
    return tuple(best[kind] for kind in told)


def _change(cure: Cure) -> tuple[float, float, str]:
    """How much it changes, as far as cures of one kind can be compared."""
    also = float(len(cure.also))
    if cure.kind == "frames":
        return also, -float(cure.value), ""
    if cure.kind == "resolution":
        width, _, height = str(cure.value).partition("x")
        return also, -float(int(width) * int(height)), ""
    if cure.kind == "gpu":
        return also, next(c.memory_gib for c in ADVISED if c.name == cure.value), str(cure.value)
    return also, (cure.value if isinstance(cure.value, (int, float)) else 0.0), ""


def _rooms(candidate: Candidate, places: Sequence[Place], criteria: Criteria) -> list[Place]:
    """Without the places that are no larger than another one; those where something was measured stay."""
    measured = {
        product_key(m.product) for m in criteria.calibration.measurements if m.plan == candidate.plan.label
    }
    found: list[Place] = []
    for place in sorted(places, key=lambda p: (-p.total_gib, -p.host_total_gib, p.product)):
        alone = product_key(place.product) in measured
        if alone or not any(r.host_total_gib >= place.host_total_gib for r in found):
            found.append(place)
    return found


def _fits(candidate: Candidate, request: Request, rooms: Sequence[Place], criteria: Criteria) -> bool:
    plan, card = candidate.plan, candidate.card
    return any(fits_empty(find_need(criteria, plan, card, request, p.product).memory, p) for p in rooms)


def _fewer_frames(candidate: Candidate, rooms: Sequence[Place], criteria: Criteria) -> Cure | None:
    """The most frames that fit, by the model's own rule."""
    request = candidate.request
    choices = candidate.card.frame_rule.shorter(request.frames)

    def too_many(frames: int) -> bool:
        return not _fits(candidate, request.model_copy(update={"frames": frames}), rooms, criteria)

    count = bisect_right(choices, False, key=too_many)
    if not count:
        return None
    return Cure(kind="frames", value=choices[count - 1], text=f"frames: {choices[count - 1]}")


def _smaller_size(candidate: Candidate, rooms: Sequence[Place], criteria: Criteria) -> Cure | None:
    """The largest size that fits, on the model's stride and of about the same aspect."""
    request = candidate.request
    sizes = smaller_sizes(candidate.card.stride, request.width, request.height)

    def too_large(size: tuple[int, int]) -> bool:
        update = {"width": size[0], "height": size[1]}
        return not _fits(candidate, request.model_copy(update=update), rooms, criteria)

    count = bisect_right(sizes, False, key=too_large)
    if not count:
        return None
    words = "{}x{}".format(*sizes[count - 1])
    return Cure(kind="resolution", value=words, text=f"resolution: {words}")


def smaller_sizes(stride: int, width: int, height: int) -> list[tuple[int, int]]:
    """Ascending, from half of each side: less is another video. No side grows where the other shrinks."""
    widths = range(-(-width // 2 // stride) * stride, width, stride)
    sizes = [(w, w * height // width // stride * stride) for w in widths]
    return [(w, h) for w, h in sizes if h and w * 2 >= width]


def _other_products(candidate: Candidate, barred: Sequence[Place], criteria: Criteria) -> Cure | None:
    """The products that would do if spec.scheduling.gpuProducts named them; none of them, for a CPU."""
    here = suited(candidate.plan, barred)
    products = sorted({p.product for p in here if _fits(candidate, candidate.request, [p], criteria)})
    if not products:
        return None
    if candidate.plan.device == "cpu":
        return Cure(kind="product", value="", text="scheduling.gpuProducts: []")
    names = ", ".join(products)
    return Cure(kind="product", value=names, text=f"scheduling.gpuProducts: {names}")


def _larger_gpu(candidate: Candidate, ground: Ground, is_suited: bool, criteria: Criteria) -> Cure | None:
    """The smallest card that would do in the node with the most memory; with more memory for it, if need be.

    What it must be besides large is said if there are GPUs, and none `is_suited`.
    """
    plan, request = candidate.plan, candidate.request
    if plan.device == "cpu":
        return None
    cards = [c for c in ADVISED if not suits(plan, "cuda", c.compute_capability)]
    card = next((c for c in cards if _has_room(candidate, c, criteria)), None)
    product = card.name if card is not None else ""
    memory = find_need(criteria, plan, candidate.card, request, product).memory
    host = memory.host_gib if memory.host_gib > ground.largest_host_gib else None
    size = memory.peak_gib if card is not None else _up(memory.peak_gib)
    others = not is_suited and any(p.kind != "cpu" for p in ground.places)
    text = f"a GPU with {size:.1f} GiB{_capability_words(candidate) if others else ''}"
    text += f", such as {card.name} ({card.memory_gib:.1f} GiB)" if card is not None else NO_SUCH_CARD
    text += f" and a node with {ceil(host)} GiB of memory" if host is not None else ""
    also: tuple[tuple[CureKind, float], ...] = (("host", ceil(host)),) if host is not None else ()
    if card is not None:
        return Cure(kind="gpu", value=card.name, text=text, also=also)
    return Cure(kind="memory", value=size, text=text, also=also)


def _has_room(candidate: Candidate, card: GpuCard, criteria: Criteria) -> bool:
    need = find_need(criteria, candidate.plan, candidate.card, candidate.request, card.name)
    return need.memory.peak_gib <= card.memory_gib


def _larger_host(
    candidate: Candidate, ground: Ground, rooms: Sequence[Place], criteria: Criteria
) -> Cure | None:
    """How much memory a node needs whose device is large enough; for a CPU, a node at all."""
    plan, request = candidate.plan, candidate.request
    if plan.device == "cpu" and not (rooms or ground.gpus_only):
        host = ceil(find_need(criteria, plan, candidate.card, request, "cpu").memory.host_gib)
        return Cure(kind="host", value=host, text=f"a node with {host} GiB of memory")
    needs = [(find_need(criteria, plan, candidate.card, request, p.product).memory, p) for p in rooms]
    roomy = [(m.host_gib, p) for m, p in needs if plan.device == "cpu" or m.peak_gib <= p.total_gib]
    if not roomy:
        return None
    least, place = min(roomy, key=lambda pair: (pair[0], pair[1].product))
    beside = "" if plan.device == "cpu" else f" with {place.product}"
    return Cure(kind="host", value=ceil(least), text=f"a node{beside} with {ceil(least)} GiB of memory")


def _capability_words(candidate: Candidate) -> str:
    """What the card must be besides large, where the plan asks for it."""
    needs = [TECHNIQUES[t].needs for t in candidate.plan.techniques]
    least = max((n.min_capability for n in needs if n.min_capability is not None), default=None)
    most = min((n.max_capability for n in needs if n.max_capability is not None), default=None)
    if most is not None:
        return " and at most compute capability {}.{}".format(*most)
    return " and compute capability {}.{}".format(*least) if least is not None else ""


def _up(gib: float) -> float:
    """To a tenth above."""
    return ceil(gib * 10 - 1e-6) / 10
