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


def when_found(sample: Sample) -> tuple[float, int, float] | None:
    """Of a run of ours: after how many seconds the number of connections was found, how many they are, and
    bytes a second from then on. None if it was not found.
    """
    for seconds, here, _, settled in sample.trace:
        if settled is not None and seconds < sample.seconds:
            workers = [seen[2] for seen in sample.trace if seen[0] >= seconds and seen[2]]
            rate = (sample.size - here) / (sample.seconds - seconds)
            return seconds, round(statistics.median(workers or [settled])), rate
    return None


def render(found: Findings) -> str:
    lines = [found.circumstances, ""]
    if found.absent:
        lines += [f"Left out, for want of the package: {', '.join(found.absent)}.", ""]
    for scenario, samples in found.samples.items():
        lines += [*_table(scenario, samples), ""]
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


def verdicts(found: Findings) -> Iterator[Verdict]:
    """What is wanted of ours, as far as it was measured."""
    for scenario, samples in found.samples.items():
        ours = samples.get(OURS)
        if ours and scenario == "http":
            share, cpu = median_rate(ours) / ceiling(samples), median_cpu(ours)
            yield Verdict("HTTP, of the raw ceiling", f">= {OF_RAW:.0%}", f"{share:.0%}", share >= OF_RAW)
            yield Verdict("HTTP, CPU-s/GB", f"<= {CPU_S_PER_GB}", f"{cpu:.2f}", cpu <= CPU_S_PER_GB)
        if ours:
            rss = max(sample.rss for sample in ours)
            yield Verdict(f"{scenario}, RSS", "<= 128 MiB", f"{rss / MIB:.0f} MiB", rss <= RSS_BYTES)
        if ours and scenario.endswith("long"):
            yield from _of_the_cap(scenario, ours, found.cap, ceiling(samples))
    if found.hits:
        yield from _of_hits(found.hits)


def _of_the_cap(scenario: str, ours: Sequence[Sample], cap: float, top: float) -> Iterator[Verdict]:
    searched = [found for sample in ours if (found := when_found(sample)) is not None]
    if len(searched) < len(ours):
        missing = f"not in {len(ours) - len(searched)} of {len(ours)} runs"
        yield Verdict(f"{scenario}, N found", f"<= {FOUND_S:.0f} s", missing, False)
    if not searched:
        return
    seconds, shares = statistics.median(s for s, _, _ in searched), [r / n / cap for _, n, r in searched]
    counts = ", ".join(str(n) for _, n, _ in searched)
    yield Verdict(
        f"{scenario}, N found (N of each run: {counts})",
        f"<= {FOUND_S:.0f} s",
        f"{seconds:.1f} s ({min(s for s, _, _ in searched):.1f} to {max(s for s, _, _ in searched):.1f})",
        seconds <= FOUND_S,
    )
    share = statistics.median(shares)
    steady = statistics.median(rate for _, _, rate in searched)
    yield Verdict(
        f"{scenario}, of N x cap once N is found ({steady / 1e6:.0f} MB/s; raw sockets: {top / 1e6:.0f})",
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
