"""What was found of fetching, as tables, and whether it is what was wanted. Arithmetic only: no I/O."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.loading.contestants import MIB, OURS, RAW

OF_RAW, OF_CAP = 0.85, 0.90  # at least
CPU_S_PER_GB, RSS_BYTES, FOUND_S, HIT_MS = 0.95, 128 * MIB, 3.0, 50.0  # at most

Seen = tuple[float, int, int, int | None]
"""Of a moment of ours: seconds, bytes here, connections, and the number of them that was found, if it was."""


@dataclass(frozen=True)
class Sample:
    """One run. `rss` is the process's peak, `rss_before` what imports had taken; `trace` is ours alone."""

    size: int
    seconds: float
    cpu_s: float
    rss: int
    rss_before: int
    server_cpu_s: float
    trace: Sequence[Seen] = ()

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.size / self.seconds


@dataclass(frozen=True)
class Findings:
    """`samples` by scenario and contestant; `hits` by process, the first fetch first, in milliseconds."""

    circumstances: str
    absent: Sequence[str]
    cap: float
    samples: Mapping[str, Mapping[str, Sequence[Sample]]]
    hits: Sequence[Sequence[Mapping[str, float]]]


@dataclass(frozen=True)
class Verdict:
    what: str
    wanted: str
    measured: str
    is_met: bool


def median_rate(samples: Sequence[Sample]) -> float:
    return statistics.median(sample.rate for sample in samples)


def median_cpu(samples: Sequence[Sample]) -> float:
    """Seconds a GB."""
    return statistics.median(sample.cpu_s / sample.size * 1e9 for sample in samples)


def ceiling(found: Mapping[str, Sequence[Sample]]) -> float:
    """The best median of raw sockets, bytes a second."""
    return max(median_rate(samples) for name, samples in found.items() if name.startswith(RAW))


@dataclass(frozen=True)
class Search:
    """How a run of ours found its number of connections, `after_s` its first request; `rate` is in bytes a
    second, while there were that many."""

    after_s: float
    connections: int
    rate: float


def when_found(sample: Sample) -> Search | None:
    """None if the number was not found before the end."""
    first = next((seen for seen in sample.trace if seen[3] is not None), None)
    if first is None or first[0] >= sample.seconds:
        return None
    settled = first[3]
    steady = [seen for seen in sample.trace if seen[0] >= first[0] and seen[2] == settled]
    if settled is None or len(steady) < 2:
        return None
    (began_s, begun, *_), (ended_s, ended, *_) = steady[0], steady[-1]
    return Search(first[0] - sample.trace[0][0], settled, (ended - begun) / (ended_s - began_s))


def render(found: Findings) -> str:
    lines = [found.circumstances, ""]
    if found.absent:
        lines += [f"Left out, for want of the package: {', '.join(found.absent)}.", ""]
    for scenario, samples in found.samples.items():
        lines += [*_table(scenario, samples), "", *_of_the_start(samples.get(OURS, ()))]
    lines += ["| what | wanted | measured |", "| --- | --- | --- |"]
    lines += [f"| {v.what} | {v.wanted} | {v.measured}{_missed(v.is_met)} |" for v in verdicts(found)]
    return "\n".join(lines)


def _missed(is_met: bool) -> str:
    return "" if is_met else " **missed**"


def _table(scenario: str, found: Mapping[str, Sequence[Sample]]) -> Iterator[str]:
    size, rounds = next(iter(found.values()))[0].size, len(next(iter(found.values())))
    yield f"{scenario}: {size / 2**30:g} GiB, medians of {rounds}"
    yield ""
    yield "| client | MB/s (lowest to highest) | of raw, at best | CPU-s/GB | the server's | RSS, MiB |"
    yield "| --- | --- | --- | --- | --- | --- |"
    top = ceiling(found)
    for name, samples in found.items():
        rates = [sample.rate / 1e6 for sample in samples]
        server = statistics.median(sample.server_cpu_s / sample.size * 1e9 for sample in samples)
        rss = statistics.median(sample.rss for sample in samples) / MIB
        yield (
            f"| {name} | {statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f}) | "
            f"{median_rate(samples) / top:.0%} | {median_cpu(samples):.2f} | {server:.2f} | {rss:.0f} |"
        )


def _of_the_start(ours: Sequence[Sample]) -> Iterator[str]:
    """Ours is not fetching from the first moment on."""
    traced = [sample for sample in ours if sample.trace]
    if traced:
        before = statistics.median(sample.trace[0][0] for sample in traced)
        rate = statistics.median(sample.size / (sample.seconds - sample.trace[0][0]) for sample in traced)
        yield f"ours: {before:.2f} s for S3's client and reserving the file, then {rate / 1e6:.0f} MB/s"
        yield ""


def verdicts(found: Findings) -> Iterator[Verdict]:
    """What is wanted of ours, as far as it was measured."""
    for scenario, samples in found.samples.items():
        ours = samples.get(OURS)
        if ours and scenario.startswith("http") and "capped" not in scenario:
            share, cpu = median_rate(ours) / ceiling(samples), median_cpu(ours)
            yield Verdict(f"{scenario}, of raw, at best", f">= {OF_RAW:.0%}", f"{share:.0%}", share >= OF_RAW)
            yield Verdict(f"{scenario}, CPU-s/GB", f"<= {CPU_S_PER_GB}", f"{cpu:.2f}", cpu <= CPU_S_PER_GB)
        if ours:
            rss = max(sample.rss for sample in ours)
            yield Verdict(f"{scenario}, RSS", "<= 128 MiB", f"{rss / MIB:.0f} MiB", rss <= RSS_BYTES)
        if ours and scenario.endswith("capped-long"):
            yield from _of_the_cap(scenario, ours, found.cap, ceiling(samples))
    if found.hits:
        yield from _of_hits(found.hits)


def _of_the_cap(scenario: str, ours: Sequence[Sample], cap: float, top: float) -> Iterator[Verdict]:
    searches = [found for sample in ours if (found := when_found(sample)) is not None]
    if not searches:
        yield Verdict(f"{scenario}, N found", f"<= {FOUND_S:.0f} s", "not found", False)
        return
    counts = ", ".join(str(found.connections) for found in searches)
    seconds = [found.after_s for found in searches]
    waited = statistics.median(sample.trace[0][0] for sample in ours if sample.trace)
    yield Verdict(
        f"{scenario}, N found after the first request (N: {counts}; not in {len(ours) - len(searches)} runs)",
        f"<= {FOUND_S:.0f} s",
        f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}); {waited:.1f} before",
        statistics.median(seconds) <= FOUND_S and len(searches) == len(ours),
    )
    share = statistics.median(found.rate / (found.connections * cap) for found in searches)
    steady = statistics.median(found.rate for found in searches)
    yield Verdict(
        f"{scenario}, of N x cap, with N ({steady / 1e6:.0f} MB/s; raw sockets, all in all: {top / 1e6:.0f})",
        f">= {OF_CAP:.0%}",
        f"{share:.0%}",
        share >= OF_CAP,
    )


def _of_hits(hits: Sequence[Sequence[Mapping[str, float]]]) -> Iterator[Verdict]:
    later = [each for run in hits for each in run[1:]]
    for what, runs in (("first in a process", [run[0] for run in hits]), ("later", later)):
        rest = statistics.median(run["rest"] for run in runs)
        whole = statistics.median(run["whole"] for run in runs)
        yield Verdict(
            f"a cached model of 20 blobs, {what}, without its manifest's GET",
            f"<= {HIT_MS:.0f} ms",
            f"{rest:.1f} ms (with it {whole:.1f}{_of_client(runs)})",
            rest <= HIT_MS,
        )


def _of_client(runs: Sequence[Mapping[str, float]]) -> str:
    """The clients of S3 that a process makes once."""
    made = statistics.median(run["client"] for run in runs)
    return f", and before that {made:.0f} for S3's clients" if made >= 1 else ""
