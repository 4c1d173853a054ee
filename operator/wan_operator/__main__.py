"""The console script `wan-operator`. This version has no operator for clusters; it says so and ends."""

from __future__ import annotations

import sys
from importlib.metadata import version

from wan_core.errors import TABLE, Category


def main() -> None:
    """Print the version if asked for it; else say what there is, and exit 64."""
    if sys.argv[1:] == ["--version"]:
        print(f"wan-operator {version('wan-operator')}")
        return
    print("wan-operator: this version runs manifests on one machine only: wan run MANIFEST", file=sys.stderr)
    sys.exit(TABLE[Category.INVALID_INPUT].exit_code)


if __name__ == "__main__":
    main()
