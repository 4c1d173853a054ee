"""The chart's files agree with what they were made from."""

import json
from importlib.metadata import version

import pytest
import yaml

from charts import readme
from tests.charts.render import CHART, FOLDER, NAMES
from wan_core.api import crd


def test_the_crd_of_the_chart_is_the_same_bytes_as_that_of_the_tree() -> None:
    assert (CHART / "files" / crd.PATH.name).read_bytes() == crd.PATH.read_bytes()


def test_the_chart_installs_the_images_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version("wan-operator")


def test_the_readme_lists_the_values_as_they_are() -> None:
    assert readme.README.read_text() == readme.render(readme.README.read_text(), readme.VALUES.read_text())


def leaves(data: object, path: str = "") -> set[str]:
    """Paths of everything in `data` that is not a mapping with something in it."""
    if not isinstance(data, dict) or not data:
        return {path}
    return set().union(*(leaves(value, f"{path}.{key}".lstrip(".")) for key, value in data.items()))


def ancestors(path: str) -> set[str]:
    parts = path.split(".")
    return {".".join(parts[: end + 1]) for end in range(len(parts))}


def test_every_value_is_documented() -> None:
    documented = {path for path, _ in readme.documented(readme.VALUES.read_text())}
    undocumented = {
        leaf for leaf in leaves(yaml.safe_load(readme.VALUES.read_text())) if not ancestors(leaf) & documented
    }
    assert undocumented == set()


def test_every_value_is_turned_by_a_file_of_values() -> None:
    turned = {
        path
        for name in NAMES
        for leaf in leaves(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))
        for path in ancestors(leaf)
    }
    assert {path for path, _ in readme.documented(readme.VALUES.read_text())} - turned == set()


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def check(values: dict[str, object], node: dict[str, object], path: str) -> None:
        node = schema["$defs"][str(node["$ref"]).rpartition("/")[2]] if "$ref" in node else node
        properties = node.get("properties")
        if not isinstance(properties, dict) or not values:
            return
        assert set(values) == set(properties) - {"global"}, path
        assert node.get("additionalProperties") is False, path
        for name, value in values.items():
            if isinstance(value, dict):
                check(value, properties[name], f"{path}.{name}")

    check(yaml.safe_load(readme.VALUES.read_text()), schema, "values")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("# -- What it is.\nweight: 1\n", [("weight", "What it is.")]),
        ("# -- One | two,\n# three.\na:\n", [("a", "One \\| two, three.")]),
        ("a:\n  # -- Inner.\n  b: 1\n# -- Outer.\nc: 2\n", [("a.b", "Inner."), ("c", "Outer.")]),
        ("# About.\na: 1\n", []),
    ],
    ids=["one", "two lines", "nested", "no marker"],
)
def test_a_comment_documents_the_key_below_it(line: str, expected: list[tuple[str, str]]) -> None:
    assert list(readme.documented(line)) == expected
