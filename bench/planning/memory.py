"""The planner's memory against our modules at true size, without a GPU.

python -m bench.planning.memory --json FILE            each shape with one plan, in turn
python -m bench.planning.memory --json FILE --product  every shape with every plan: hours
python -m bench.planning.memory --table FILE...        the Markdown of such files, estimated anew

Compared are bytes that are alive, by phase: the estimate before its base and margin, which stand for what
fake tensors do not have.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.planning.cases import SHAPES, Case, list_cases

GIB = 2**30
PHASES = ("text", "denoise", "decode")


@dataclass(frozen=True)
class Row:
    """Bytes alive on the GPU in one phase of one case."""

    case: Case
    phase: str
    counted: int

    @property
    def error(self) -> float:
        """By how much the estimate is more, in percent."""
        return 100 * (self.case.estimate(self.phase) / self.counted - 1)

    @property
    def words(self) -> str:
        return f"{self.counted / GIB:.2f} ({self.error:+.1f} %)"


def measure(case: Case) -> Iterator[Row]:
    """A row a phase, each counted by itself."""
    from bench.planning.fake import count, fake_gpu
    from bench.planning.studio import count_phases, read_steps

    steps = read_steps(case)
    with fake_gpu():
        counted = count_phases(case, steps, count)
    for phase, found in counted.items():
        yield Row(case, phase, found["cuda"])


def read_rows(file: Path) -> list[Row]:
    return [read_row(row) for row in json.loads(file.read_text())["rows"]]


def read_row(row: dict[str, Any]) -> Row:
    told = row["case"]
    case = Case(told["model"], told["shape"], tuple(told["techniques"]), told["image"])
    return Row(case, row["phase"], row["counted"])


def write_rows(file: Path, rows: Iterable[Row], seconds: float) -> None:
    found = {"cpu_seconds": round(seconds), "rows": [asdict(row) for row in rows]}
    file.write_text(json.dumps(found, indent=1) + "\n")


def as_markdown(rows: Sequence[Row]) -> str:
    """One line a case: what was counted in each phase, and by how much the estimate differs."""
    lines = [
        "| model | shape | plan | text, GiB | denoise, GiB | decode, GiB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    cases: dict[Case, dict[str, str]] = {}
    for row in rows:
        cases.setdefault(row.case, {})[row.phase] = row.words
    for case, words in cases.items():
        shape = f"{case.shape}, image" if case.image else case.shape
        told = case.model, shape, ", ".join(case.techniques), *(words[phase] for phase in PHASES)
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)


def summarise(rows: Sequence[Row]) -> str:
    """The widest errors of each model."""
    lines = []
    for model in dict.fromkeys(row.case.model for row in rows):
        errors = [row.error for row in rows if row.case.model == model]
        lines.append(f"{model}: {len(errors)} phases, {min(errors):+.2f} % to {max(errors):+.2f} %")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="bench.planning.memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, help="the file that is written after each case")
    parser.add_argument("--product", action="store_true")
    parser.add_argument("--models", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--table", type=Path, nargs="*")
    given = parser.parse_args(argv)
    rows = [row for file in given.table or () for row in read_rows(file)]
    if given.table:
        print(as_markdown(rows))
    else:
        rows = count_all(given)
    print(summarise(rows))


def count_all(given: argparse.Namespace) -> list[Row]:
    began, rows = time.process_time(), []
    for case in list_cases(given.models, given.product):
        for row in measure(case):
            rows.append(row)
            print(case.model, case.shape, *case.techniques, f"{row.phase}:", row.words, flush=True)
        if given.json:
            write_rows(given.json, rows, time.process_time() - began)
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
