"""How far the loading of a model is: seven phases, one percentage, rate, time left, and the memory it takes.

Standard library only: no I/O and no threads. The clock and whatever reads memory are given; so is who shows
the progress. Phases may overlap (the first shards are loaded while the last still arrive), may be told of
again, and may be left out: what needs nothing hands its weight on to the others, so that the percentage never
goes back and ends at 100. The time left is that of the phase at its present rate: how long the next phases
will take is not guessed. With your own callback and a way to stop:

    cancel = threading.Event()
    meter = Meter(lambda at: print(f"{at.percent:.0f} % {at.phase} {at.done} of {at.total} {at.unit}"))
    with store.fetch(uri, cache, cancel, meter.tell) as model:  # raises Interrupted soon after cancel.set()
        ...
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from wan_core.errors import Interrupted


class Phase(StrEnum):
    """What loading does, in order."""

    INITIALIZATION = "initialization"
    VALIDATION = "validation"
    CACHE_CHECK = "cache check"
    DOWNLOAD = "download"  # verification within
    LOADING = "loading"  # transfer within
    OPTIMIZATION = "optimization"  # fuse, cast, compile
    FINALIZATION = "finalization"


ORDER = tuple(Phase)

Tell = Callable[[Phase, int, int], None]
"""(phase, done, total), in the phase's unit. A total of 0: begun, and not known yet how much it is. What the
first tell with a total calls done was there already and costs nothing. (FINALIZATION, 1, 1) ends the load.
"""

Clock = Callable[[], float]
Reading = Callable[[], int | None]

BYTES, ITEMS = "bytes", "items"
UNITS: Mapping[Phase, str] = MappingProxyType(
    {phase: BYTES if phase in (Phase.DOWNLOAD, Phase.LOADING) else ITEMS for phase in ORDER}
)

# Seconds of a cold load of 69 GB (A14B in bfloat16), whose shares are the weights. Download: 25 Gb/s.
# Loading: 12.6 GB/s, published for 29.5 GB from the page cache to an H100 (vLLM PR 52462). Initialization:
# the imports of torch, diffusers and transformers, 6.9 s on 2 cores of an EPYC, 2026-11-21. The rest is
# assumed: one second.
COLD_SECONDS: Mapping[Phase, float] = MappingProxyType(
    {
        Phase.INITIALIZATION: 6.9,
        Phase.VALIDATION: 1.0,
        Phase.CACHE_CHECK: 1.0,
        Phase.DOWNLOAD: 69 / (25 / 8),
        Phase.LOADING: 69 / 12.6,
        Phase.OPTIMIZATION: 1.0,
        Phase.FINALIZATION: 1.0,
    }
)
WEIGHTS: Mapping[Phase, float] = MappingProxyType(
    {phase: seconds / sum(COLD_SECONDS.values()) for phase, seconds in COLD_SECONDS.items()}
)

SHOW_EVERY_S = 0.5  # what a progress bar can show; also the least time that a rate is measured over
GAUGE_EVERY_S = 2.0  # memory of a control group takes the kernel up to 2 ms to add up
RATE_MEMORY_S = 5.0  # so long after a change of pace the rate has followed it by 63 %


def _unknown() -> None:
    return None


@dataclass(frozen=True)
class Gauges:
    """What reads memory in use, in bytes: of the process, of its control group, of the device."""

    rss: Reading = _unknown
    cgroup: Reading = _unknown
    device: Reading = _unknown


@dataclass(frozen=True)
class LoadProgress:
    """One look at a load. `percent` is of all phases; the rest is of `phase`, the earliest that is under way.

    `rate` is in units a second, `eta_s` until the phase ends; None until they are known.
    """

    phase: Phase
    done: int
    total: int
    unit: str
    percent: float
    rate: float | None = None
    eta_s: float | None = None
    rss_bytes: int | None = None
    cgroup_bytes: int | None = None
    device_bytes: int | None = None


class Meter:
    """Turns tells, of any thread, into LoadProgress; `show` gets one when a phase begins or ends, and every
    `SHOW_EVERY_S` between. It is called by whoever tells, one at a time, and must not block.
    """

    def __init__(
        self,
        show: Callable[[LoadProgress], None] | None = None,
        *,
        gauges: Gauges = Gauges(),
        clock: Clock = time.monotonic,
    ) -> None:
        self._show, self._gauges, self._clock = show, gauges, clock
        self._lock = threading.RLock()  # `show` may read
        self._counts: dict[Phase, tuple[int, int]] = {}
        self._flows: dict[Phase, _Flow] = {}
        self._course = _Course()
        self._shown = -math.inf
        self._seconds: dict[Phase, float] = {}
        self._looked: float | None = None
        self._memory: tuple[int | None, int | None, int | None] = (None, None, None)
        self._gauged = -math.inf

    def tell(self, phase: Phase, done: int, total: int) -> None:
        """A `Tell`. Cheap where nothing is due: told for each megabyte, it may not cost what it measures."""
        with self._lock:
            now = self._clock()
            known = self._counts.get(phase)
            self._counts[phase] = (done, total)
            turned = known is None or bool(known[1]) != bool(total) or (known[0] < known[1]) != (done < total)
            if turned or now - self._shown >= SHOW_EVERY_S:
                self._shown = now
                at = self._look(now)
                if self._show is not None:
                    self._show(at)

    def read(self) -> LoadProgress:
        """How far it is now."""
        with self._lock:
            return self._look(self._clock())

    @property
    def seconds(self) -> dict[Phase, float]:
        """How long each phase was the one that the progress told of, up to the last look."""
        with self._lock:
            return dict(self._seconds)

    def _look(self, now: float) -> LoadProgress:
        self._book(now)
        for phase, (done, total) in self._counts.items():
            self._course.tell(phase, done, total)
            if total:  # before that nothing was counted
                self._flows.setdefault(phase, _Flow(now, done)).sample(now, done)
        phase = self._course.phase
        done, total = self._counts.get(phase, (0, 0))
        rate = self._flows[phase].rate if phase in self._flows else None
        rss_bytes, cgroup_bytes, device_bytes = self._read_memory(now)
        return LoadProgress(
            phase=phase,
            done=done,
            total=total,
            unit=UNITS[phase],
            percent=self._course.percent,
            rate=rate,
            eta_s=max(total - done, 0) / rate if rate and total else None,
            rss_bytes=rss_bytes,
            cgroup_bytes=cgroup_bytes,
            device_bytes=device_bytes,
        )

    def _read_memory(self, now: float) -> tuple[int | None, int | None, int | None]:
        if now - self._gauged >= GAUGE_EVERY_S:
            gauges, self._gauged = self._gauges, now
            self._memory = (gauges.rss(), gauges.cgroup(), gauges.device())
        return self._memory

    def _book(self, now: float) -> None:
        if self._looked is not None and self._course.percent < 100:
            phase = self._course.phase
            self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._looked
        self._looked = now


def stopping(tell: Tell, cancel: threading.Event) -> Tell:
    """`tell`, for those who stop when it raises: Interrupted once `cancel` is set."""

    def tell_or_stop(phase: Phase, done: int, total: int) -> None:
        if cancel.is_set():
            raise Interrupted(f"told to stop during {phase.value}, at {done} of {total} {UNITS[phase]}")
        tell(phase, done, total)

    return tell_or_stop


class _Flow:
    """The rate of one phase: an average that forgets, over intervals of at least `SHOW_EVERY_S`."""

    def __init__(self, now: float, done: int) -> None:
        self._at, self._done = now, done
        self.rate: float | None = None

    def sample(self, now: float, done: int) -> None:
        elapsed = now - self._at
        if elapsed < SHOW_EVERY_S:
            return
        seen = max(done - self._done, 0) / elapsed
        kept = math.exp(-elapsed / RATE_MEMORY_S)
        self.rate = seen if self.rate is None else kept * self.rate + (1 - kept) * seen
        self._at, self._done = now, done


class _Course:
    """The shares of the phases. `_coming` is what of each one's weight is still to come; what is left of the
    whole shrinks in the ratio in which they do, but for what they hand on.
    """

    def __init__(self) -> None:
        self._coming = dict(WEIGHTS)
        self._fractions: dict[Phase, float | None] = {}  # None: begun, its total not known
        self._left = 1.0

    @property
    def percent(self) -> float:
        return 100 * (1 - self._left)

    @property
    def phase(self) -> Phase:
        """The earliest that is under way and knows how much it is; else the one that began last."""
        begun = list(self._fractions)
        counting = (p for p in ORDER if self._coming[p] and self._fractions.get(p) is not None)
        return next(counting, begun[-1] if begun else Phase.INITIALIZATION)

    def tell(self, phase: Phase, done: int, total: int) -> None:
        if phase not in self._fractions:
            self._begin(phase)
        if not total:
            return
        fraction = min(max(done / total, 0.0), 1.0)
        before = self._fractions[phase]
        if before is None or fraction > before:
            self._fractions[phase] = fraction
        if before is None:
            self._hand_on(phase, self._coming[phase] * (1 - fraction))
        elif fraction > before:
            self._advance(phase, self._coming[phase] * (1 - fraction) / (1 - before))

    def _begin(self, phase: Phase) -> None:
        """Of those before it: what was left out will not come, what never said how much it is has ended. The
        last phase ends them all.
        """
        self._fractions[phase] = None
        for other in ORDER[: ORDER.index(phase)]:
            if other not in self._fractions:
                self._hand_on(other, 0.0)
            elif self._fractions[other] is None or phase is Phase.FINALIZATION:
                self._advance(other, 0.0)

    def _hand_on(self, phase: Phase, rest: float) -> None:
        self._coming[phase] = rest
        if not any(self._coming.values()):
            self._left = 0.0

    def _advance(self, phase: Phase, rest: float) -> None:
        before = sum(self._coming.values())
        self._coming[phase] = rest
        self._left *= min(sum(self._coming.values()) / before, 1.0) if before else 0.0
