"""Run the cases one after another within a time limit, the most important first; write each row as it comes.

A case is a process of its own; the next one imports torch meanwhile and waits. What fails is recorded with
its last words, what there was no time for by its name: neither is a figure.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from bench.transformer.case import BEST, DEFAULT, OUR_OWN, OURS_TORCH, OURS_TRITON, Case
from bench.transformer.workloads import A14B_480P, A14B_720P, SMALL_480P, TI2V_704P

OURS = "ours"
"""Stands for the faster of our own at the first shape."""
LEAST_S = 20.0
"""A case is not begun with less time than this."""
WORDS = 40
"""Lines of standard error that are kept of a case that failed."""

CASES: Sequence[Case] = (
    Case("circumstances"),
    Case("speed", A14B_480P, OURS_TORCH),
    Case("speed", A14B_480P, OURS_TRITON),
    Case("speed", A14B_480P, DEFAULT),
    Case("speed", A14B_720P, OURS),
    Case("speed", TI2V_704P, OURS),
    Case("speed", A14B_480P, BEST),
    Case("kinds", A14B_480P, OURS),
    Case("sameness", SMALL_480P),
    Case("operations", A14B_480P),
    Case("attention", A14B_480P),
    Case("attention", A14B_720P),
    Case("speed", TI2V_704P, DEFAULT),
    Case("speed", TI2V_704P, BEST),
    Case("speed", A14B_720P, DEFAULT),
    Case("speed", A14B_720P, BEST),
    Case("speed", SMALL_480P, OURS_TORCH),
    Case("speed", SMALL_480P, OURS_TRITON),
    Case("speed", SMALL_480P, DEFAULT),
    Case("speed", SMALL_480P, BEST),
    Case("kinds", A14B_480P, DEFAULT),
    Case("attention", TI2V_704P),
    Case("attention", SMALL_480P),
)
"""By importance."""


@dataclass
class Findings:
    """All that a run found, and where it is written after each row."""

    file: Path
    run: dict[str, Any]
    document: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.document = {"run": self.run, "rows": [], "failed": [], "left_out": []}

    def add(self, part: str, entry: dict[str, Any]) -> None:
        self.document[part].append(entry)
        self.write()

    def write(self) -> None:
        """Whole or not at all: a run that is killed leaves what it had."""
        draft = self.file.with_suffix(".part")
        draft.write_text(json.dumps(self.document, indent=1) + "\n")
        os.replace(draft, self.file)

    def rows(self, table: str) -> list[dict[str, Any]]:
        return [row for row in self.document["rows"] if row["table"] == table]


def conduct(cases: Sequence[Case], findings: Findings, seconds: float, environment: dict[str, str]) -> None:
    """Every case that fits into `seconds`."""
    until = time.monotonic() + seconds
    waiting = Worker(environment)
    for case, following in itertools.zip_longest(cases, cases[1:]):
        left = until - time.monotonic()
        if left < LEAST_S:
            findings.add("left_out", {"case": case.title, "why": f"{left:.0f} s were left"})
            continue
        worker, waiting = waiting, Worker(environment) if following else None
        told = replace(case, contestant=resolve(case.contestant, findings), seconds=left)
        print(f"{seconds - left:5.0f} s  {told.title}", file=sys.stderr, flush=True)
        words = worker.run(told, lambda row: findings.add("rows", row))
        if words:
            findings.add("failed", {"case": told.title, "why": words[-1].strip(), "words": words})
    if waiting:
        waiting.dismiss()


def resolve(contestant: str, findings: Findings) -> str:
    """`ours` to the faster one at the first shape that both were measured at."""
    if contestant != OURS:
        return contestant
    found = [row for row in findings.rows("speed") if row["contestant"] in OUR_OWN]
    first = [row for row in found if row["workload"] == found[0]["workload"]]
    return min(first, key=lambda row: row["s_a_step"])["contestant"] if first else OURS_TORCH


class Worker:
    """A process that has imported what a case needs, or is about to."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the worker
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.transformer", "worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
        )

    def run(self, case: Case, tell: Callable[[dict[str, Any]], None]) -> list[str]:
        """Each row of a case as it comes; its last words if it did not come to its end."""
        assert self.process.stdin
        assert self.process.stdout
        overdue = threading.Timer(case.seconds, self.process.kill)
        overdue.start()
        began = time.monotonic()
        with suppress(BrokenPipeError):  # it died before it was asked: its words say of what
            self.process.stdin.write(case.as_line())
            self.process.stdin.close()
        for line in self.process.stdout:
            tell(json.loads(line))
        ended = self.process.wait()
        overdue.cancel()
        words = self.last_words()
        if time.monotonic() - began >= case.seconds:
            words.append(f"stopped after {case.seconds:.0f} s: the time limit")
        return words if ended else []

    def last_words(self) -> list[str]:
        with self.errors:
            self.errors.seek(0)
            lines = [line.rstrip() for line in self.errors if line.strip()]
        return lines[-WORDS:] or ["nothing on standard error"]

    def dismiss(self) -> None:
        """It reads that there is nothing to do, and ends."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()
