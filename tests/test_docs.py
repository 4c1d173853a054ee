"""The documents say what the code says."""

from pathlib import Path

from wan_core.catalog.models import MODELS
from wan_core.errors import TABLE
from wan_operator.local import EXIT_CODES_OF_REASONS

ROOT = Path(__file__).resolve().parent.parent


def test_the_guide_to_failures_lists_the_table_of_errors_row_by_row() -> None:
    guide = (ROOT / "docs" / "guides" / "failures.md").read_text()

    def yes(flag: bool) -> str:
        return "yes" if flag else "no"

    for category, row in TABLE.items():
        flags = f"{yes(row.retryable)} | {yes(row.other_plan)}"
        assert f"| {row.exit_code} | {category} | {row.reason} | {flags} | {row.advice} |" in guide


def test_the_guide_to_failures_lists_every_end_with_its_exit_code() -> None:
    guide = (ROOT / "docs" / "guides" / "failures.md").read_text()
    of_categories = {row.reason for row in TABLE.values()}
    for reason, code in EXIT_CODES_OF_REASONS.items():
        assert reason in of_categories or f"| {reason} | {code} |" in guide


def test_the_readme_lists_every_model_with_its_defaults_and_whether_it_runs() -> None:
    readme = (ROOT / "README.md").read_text()
    for card in MODELS.values():
        d = card.defaults
        defaults = f"{d.width}x{d.height}, {d.frames}, {d.fps}"
        where = "not yet: " if card.cannot_run else "CUDA GPU"
        assert f"| `{card.id}` | {card.title} | {defaults} | {where}" in readme
