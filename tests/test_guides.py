"""The guides for a cluster name things as the code does."""

import re
from pathlib import Path

from wan_operator.cluster import names
from wan_operator.cluster.metrics import REASONS, Metrics

GUIDES = Path(__file__).resolve().parent.parent / "docs" / "guides"
INSTALL = (GUIDES / "install.md").read_text()
OPERATE = (GUIDES / "operate.md").read_text()


def test_the_guide_lists_every_metric_with_what_it_is() -> None:
    told = re.findall(r"^# HELP (wan_operator_\w+) (.*)$", Metrics().render().decode(), re.MULTILINE)
    rows = dict(re.findall(r"^\| `(wan_operator_\w+)` \| [\w, ]* ?\| (.*) \|$", OPERATE, re.MULTILINE))
    assert rows == dict(told)


def test_the_guides_name_the_labels_of_pods() -> None:
    for label in (names.UID_LABEL, names.NAME_LABEL):
        assert f"-l {label}=" in INSTALL
        assert f"`{label}`" in OPERATE
    assert f"`{names.ATTEMPT_LABEL}`" in OPERATE


def test_the_reasons_that_the_guide_explains_are_reasons_that_are_given() -> None:
    tables = INSTALL[INSTALL.index("## When it does not work") :]
    firsts = re.findall(r"^\| ([^|]*) \|", tables, re.MULTILINE)
    words = {word for first in firsts for word in re.findall(r"\b[A-Z]+[a-z]+[A-Z]\w+", first)}
    assert len(words) > 10
    assert words - REASONS == set()
