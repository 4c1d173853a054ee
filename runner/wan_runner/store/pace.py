"""How fast to fetch: settings from the environment, and the rules that follow from measurements.

No I/O, no threads; every rule takes the clock or the measurement as an argument. Rates are bytes a second;
MB is 10^6 bytes.

    WAN_FETCH_MAX_MBPS      all connections together take at most so many MB/s; unset: no limit
    WAN_FETCH_WORKERS       connections to try, upwards, as long as each step gains; one number: just so many
    WAN_FETCH_STALL_KBPS    a connection slower than so many kB/s for 10 s is replaced by another
    WAN_FETCH_PATIENCE_S    NETWORK_ERROR when a request has gained nothing for so many seconds
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from wan_core.api.words import unknown_names
from wan_core.errors import InvalidInput
from wan_runner.store.chunks import PIECE_BYTES
from wan_runner.store.cores import Reading, are_scarce, read_cores

SETTINGS = ("WAN_FETCH_MAX_MBPS", "WAN_FETCH_WORKERS", "WAN_FETCH_STALL_KBPS", "WAN_FETCH_PATIENCE_S")
WORKER_STEPS = (4, 16, 64)
MAX_WORKERS = 64  # what the client keeps connections for
GAIN = 1.05  # a step that brings less than 5 % is not worth its connections
SETTLE_S, MEASURE_S = 0.2, 0.4  # after a step: let it take effect, then measure; two steps within 3 s
WINDOWS = 3  # so often is a step measured before workers are taken back
AGAIN_S = 30.0  # until a step that gained nothing is tried again
STALL_KBPS = 32.0
STALL_WINDOW_S = 10.0
PATIENCE_S = 180.0  # a few attempts of this length outlast an outage of 10 minutes
BACK_OFF_S, MAX_BACK_OFF_S = 0.2, 10.0
MAX_RETRY_AFTER_S = 60.0
READ_S = 0.2  # one read takes about so long, that progress is seen and cancelling is quick
MIN_READ_BYTES, MAX_READ_BYTES = 16 * 2**10, 4 * 2**20
PROGRESS_BYTES = 64 * 2**10  # fewer do not count as gain: a server that cuts every body after some bytes
# Of the first 4 workers, of those up to 16, and of the others: 40 MiB together. 4 MiB spare CPU where few
# workers are all there is to do: 0.87 CPU-s/GB in place of 1.04 with 1 MiB (bench/loading, 4 workers, medians
# of 4, 2 cores of an AMD EPYC, 2026-11-22).
BUFFERS = ((4, MAX_READ_BYTES), (16, 2**20), (64, 2**18))


class Rate(NamedTuple):
    """What so many workers fetched together."""

    workers: int
    bytes_per_s: float


class Mark(NamedTuple):
    """Where a window of measuring began: when, with how many bytes, and what the cores had done."""

    at_s: float
    received: int
    cores: Reading


class Bucket:
    """At most `bytes_per_s` over all who take from it, with a quarter of a second's worth in advance."""

    def __init__(self, bytes_per_s: float):
        self._bytes_per_s, self._due_s = bytes_per_s, 0.0
        self._lock = threading.Lock()

    def take(self, count: int, now_s: float) -> float:
        """Takes `count` bytes; returns for how many seconds to wait before using them."""
        with self._lock:
            self._due_s = max(self._due_s, now_s - 0.25) + count / self._bytes_per_s
            return max(0.0, self._due_s - now_s)


@dataclass
class Pace:
    """The settings, and what was learned with them: one is shared by all downloads of a process.

    `piece_bytes`: what a request asks for at least, if there is so much; smaller only in tests.
    `settled`: the number of workers that was found to suffice; the next download starts with it.
    """

    max_bytes_per_s: float | None = None
    steps: tuple[int, ...] = WORKER_STEPS
    stall_bytes_per_s: float = STALL_KBPS * 1000
    stall_window_s: float = STALL_WINDOW_S
    patience_s: float = PATIENCE_S
    piece_bytes: int = PIECE_BYTES
    settled: int | None = None
    bucket: Bucket | None = field(init=False)

    def __post_init__(self) -> None:
        self.bucket = Bucket(self.max_bytes_per_s) if self.max_bytes_per_s else None

    def buffer_bytes(self, worker: int) -> int:
        """The size of a worker's buffer: large ones spare CPU, many must not need much memory."""
        return next(size for below, size in BUFFERS if worker < below)

    def share_bytes(self, workers: int) -> int:
        """Under a cap, what one of so many workers may read at once: its share of READ_S."""
        assert self.max_bytes_per_s is not None
        return max(MIN_READ_BYTES, int(self.max_bytes_per_s * READ_S / workers))

    def is_stalled(self, gained: int, seconds: float, workers: int) -> bool:
        """Whether a connection that gained so little over the window is to be given up.

        Under a cap, the floor is at most a quarter of each connection's share.
        """
        share = self.max_bytes_per_s / workers / 4 if self.max_bytes_per_s else self.stall_bytes_per_s
        return gained < min(self.stall_bytes_per_s, share) * seconds


class Search:
    """Finds the number of workers while they work: up the steps of `pace` as long as each one gains.

    A step that seems to gain nothing is measured again before it is taken back, and tried again after
    AGAIN_S: machines are busy with other things, wires and stores change. No step is tried while the cores
    are the limit, and of the last step only as many workers remain as its rate needs.
    """

    def __init__(self, pace: Pace, cores: Callable[[], Reading] = read_cores):
        self._pace, self._cores = pace, cores
        self.workers = pace.settled or pace.steps[0]
        self._steps = [self.workers, *(step for step in pace.steps if step > self.workers)]
        self._rest_until_s = None if pace.settled else 0.0  # None: AGAIN_S from the first look on
        self._measured: list[Rate] = []  # of each step so far
        self._windows: list[float] = []  # rates of the current one
        self._since_s: float | None = None
        self._mark, self._retries = Mark(0.0, 0, cores()), 0

    def look(self, now_s: float, received: int, retries: int, *, can_tell: bool) -> None:
        """Told how many bytes came and how many requests were repeated so far, sets `workers`.

        What is measured while requests fail, or while workers have nothing to do, says nothing about them.
        """
        if self._rest_until_s is None:
            self._rest_until_s = now_s + AGAIN_S
        if len(self._steps) == 1 or now_s < self._rest_until_s:
            return
        if self._since_s is None or retries != self._retries or not can_tell:
            self._since_s, self._retries = now_s, retries
        if now_s - self._since_s < SETTLE_S or received == 0:
            self._mark = Mark(now_s, received, self._cores())
        elif now_s - self._mark.at_s >= MEASURE_S:
            last, self._mark = self._mark, Mark(now_s, received, self._cores())
            seconds = now_s - last.at_s
            self._windows.append((received - last.received) / seconds)
            self._judge(now_s, are_scarce(last.cores, self._mark.cores, seconds))

    def _judge(self, now_s: float, scarce: bool) -> None:
        measured = [*self._measured, Rate(self.workers, max(self._windows))]
        workers, is_settled = choose_workers(measured, self._steps, scarce=scarce)
        if workers < self.workers and len(self._windows) < WINDOWS:
            return
        self.workers, self._measured, self._windows, self._since_s = workers, measured, [], now_s
        if is_settled:
            self._pace.settled = workers
            self._steps = [workers, *(step for step in self._steps if step > workers)]
            self._measured, self._since_s, self._rest_until_s = [], None, now_s + AGAIN_S


def choose_workers(
    measured: Sequence[Rate], steps: Sequence[int], *, scarce: bool = False
) -> tuple[int, bool]:
    """How many workers to use now, and whether that is the last word.

    `measured` are the rates at the steps so far; `scarce`: cores were the limit at the last one. A step that
    gained less than GAIN is taken back.
    """
    if len(measured) >= 2 and measured[-1].bytes_per_s < GAIN * measured[-2].bytes_per_s:
        return count_enough(measured[:-1]), True
    if scarce or len(measured) == len(steps):
        return count_enough(measured), True
    return steps[len(measured)], False


def count_enough(measured: Sequence[Rate]) -> int:
    """The fewest workers that give the last rate, each at the best that one gave at any step."""
    best = max(rate.bytes_per_s / rate.workers for rate in measured)
    return min(measured[-1].workers, max(1, ceil(measured[-1].bytes_per_s / best - 1e-9)))


def choose_pause(failures: int, retry_after_s: float | None) -> float:
    """Seconds to wait after so many failures in a row: exponential, full jitter, and at least Retry-After."""
    ceiling = min(MAX_BACK_OFF_S, BACK_OFF_S * 2 ** min(failures, 16))
    return min(retry_after_s or 0.0, MAX_RETRY_AFTER_S) + random.uniform(0, ceiling)


def choose_read(count: int, seconds: float) -> int:
    """How many bytes to ask of a connection that gave `count` in so many seconds."""
    return int(min(MAX_READ_BYTES, max(MIN_READ_BYTES, count * READ_S / max(seconds, 1e-6))))


def read_pace(environ: Mapping[str, str]) -> Pace:
    """The settings of the environment. Raises InvalidInput naming the variable."""
    if unknown := unknown_names(environ, "WAN_FETCH_", SETTINGS):
        raise InvalidInput(unknown, advice="Correct or unset it.")
    cap = _number(environ, "WAN_FETCH_MAX_MBPS")
    return Pace(
        max_bytes_per_s=None if cap is None else cap * 1e6,
        steps=_steps(environ.get("WAN_FETCH_WORKERS", "")),
        stall_bytes_per_s=(_number(environ, "WAN_FETCH_STALL_KBPS") or STALL_KBPS) * 1e3,
        patience_s=_number(environ, "WAN_FETCH_PATIENCE_S") or PATIENCE_S,
    )


def _number(environ: Mapping[str, str], name: str) -> float | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise InvalidInput(f"{name}: {text!r} is not a number above 0", advice=f"Correct or unset {name}.")
    return value


def _steps(text: str) -> tuple[int, ...]:
    if not text.strip():
        return WORKER_STEPS
    steps = tuple(int(part) for part in text.split(",") if part.strip().isdecimal())
    rising = all(low < high for low, high in pairwise(steps))
    if len(steps) != len(text.split(",")) or not rising or not 1 <= steps[0] <= steps[-1] <= MAX_WORKERS:
        raise InvalidInput(
            f"WAN_FETCH_WORKERS: {text!r} is not a rising list of numbers from 1 to {MAX_WORKERS}",
            advice="Give one number, or steps such as 4,16,64; or unset WAN_FETCH_WORKERS.",
        )
    return steps
