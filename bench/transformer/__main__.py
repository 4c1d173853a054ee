"""The transformer's benches.

python -m bench.transformer gpu --json FILE            measure on a GPU, in ten minutes
python -m bench.transformer activations --json FILE    bytes a token at true sizes, without a GPU
python -m bench.transformer ratio --json FILE          ours against diffusers on this CPU
python -m bench.transformer table FILE                 the Markdown of such a file
python -m bench.transformer pack DIR                   what travels to a machine with torch and Triton alone
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.transformer.case import Case
from bench.transformer.conduct import CASES, Findings, conduct
from bench.transformer.pack import environment, pack, unpacked
from bench.transformer.report import as_markdown

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_MIN = 60.0
"""For what needs no GPU."""


def main(argv: list[str]) -> None:
    given = read_arguments(argv)
    given.call(given)


def read_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.transformer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    gpu = commands.add_parser("gpu")
    gpu.add_argument("--json", type=Path, required=True, help="the file that is written after each row")
    gpu.add_argument("--minutes", type=float, default=9.5, help="the limit of the whole run")
    gpu.add_argument("--only", default="", help="cases whose title holds this, for example 'speed: A14B'")
    gpu.add_argument("--device", default="cuda")
    gpu.add_argument("--small", action="store_true", help="narrow models: to see that it runs, no figures")
    gpu.add_argument("--compiler", default="inductor", help="backend of torch.compile")
    gpu.set_defaults(call=measure_gpu)
    for table in ("activations", "ratio"):
        command = commands.add_parser(table)
        command.add_argument(
            "--json", type=Path, required=True, help="the file that is written after each row"
        )
        command.set_defaults(call=measure_cpu, table=table)
    shown = commands.add_parser("table")
    shown.add_argument("file", type=Path)
    shown.set_defaults(call=lambda given: print(as_markdown(json.loads(given.file.read_text()))))
    packed = commands.add_parser("pack")
    packed.add_argument("folder", type=Path)
    here = ".".join(platform.python_version_tuple()[:2])
    packed.add_argument("--python", default=here, help="version on the other machine")
    packed.add_argument("--machine", default=platform.machine(), help="what `uname -m` says there")
    packed.set_defaults(call=make_pack)
    commands.add_parser("worker").set_defaults(call=lambda _: become_worker())
    return parser.parse_args(argv)


def measure_gpu(given: argparse.Namespace) -> None:
    chosen = [
        replace(case, device=given.device, compiler=given.compiler, small=given.small)
        for case in CASES
        if given.only in case.title or case.what == "circumstances"
    ]
    measure(chosen, given.json, given.minutes, given.small)


def measure_cpu(given: argparse.Namespace) -> None:
    measure([Case("circumstances", device="cpu"), Case(given.table, device="cpu")], given.json, PATIENCE_MIN)


def measure(cases: Sequence[Case], file: Path, minutes: float, small: bool = False) -> None:
    """Every case in a process of its own, then the tables."""
    findings = Findings(file, run_facts(small))
    site = unpacked(ROOT)
    conduct(cases, findings, minutes * 60, environment(ROOT, site.name if site else None))
    print(as_markdown(findings.document))


def run_facts(small: bool) -> dict[str, Any]:
    return {
        "command": "python -m bench.transformer " + " ".join(sys.argv[1:]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": read_commit(),
        "small": small,
    }


def read_commit() -> str:
    """Of the tree, with a plus where it was changed since; a pack carries it in a file."""
    carried = ROOT / "COMMIT"
    if carried.is_file():
        return carried.read_text().strip()
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def become_worker() -> None:
    from bench.transformer.worker import work  # torch, which nothing else here needs

    work()


def make_pack(given: argparse.Namespace) -> None:
    size = pack(ROOT, given.folder, given.python, given.machine, read_commit())
    print(f"{given.folder}: {size / 2**20:.1f} MiB; there: python3 -m bench.transformer gpu --json FILE")


if __name__ == "__main__":
    main(sys.argv[1:])
