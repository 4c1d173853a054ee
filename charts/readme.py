"""The table of values in the chart's README, from the `# --` comments of values.yaml.

`python -m charts.readme` writes it, `--check` exits 1 if it differs. A comment documents the key below it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "wan-operator"
VALUES, README = CHART / "values.yaml", CHART / "README.md"
HEADING = "## Values\n"
_KEY = re.compile(r"^( *)([A-Za-z0-9]+):")
_TEXT = re.compile(r"^ *# (-- )?")


def render(readme: str, values: str) -> str:
    """The README with its table made anew; what stands above the heading stays."""
    prose, _, _ = readme.partition(HEADING)
    data = yaml.safe_load(values)
    rows = (f"| `{path}` | {_default(data, path)} | {text} |" for path, text in documented(values))
    return "\n".join([prose + HEADING, "| value | default | what it is |", "| --- | --- | --- |", *rows, ""])


def documented(values: str) -> Iterator[tuple[str, str]]:
    """(dotted path, text) of each key that a comment stands above."""
    above: list[str] = []
    path: list[str] = []
    for line in values.splitlines():
        if line.lstrip().startswith("# -- "):
            above = [_TEXT.sub("", line)]
        elif above and line.lstrip().startswith("# "):
            above.append(_TEXT.sub("", line))
        elif key := _KEY.match(line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if above:
                yield ".".join(path), " ".join(above).replace("|", "\\|")
            above = []


def _default(data: Any, path: str) -> str:
    value = reduce(lambda inner, key: inner[key], path.split("."), data)
    return f"`{json.dumps(value)}`"


def main(arguments: Sequence[str]) -> int:
    """Write the README; with --check, exit 1 if it differs."""
    wanted = render(README.read_text(), VALUES.read_text())
    if "--check" not in arguments:
        README.write_text(wanted)
    elif README.read_text() != wanted:
        print("charts/wan-operator/README.md differs from values.yaml: run `make chart`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
