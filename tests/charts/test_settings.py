"""The operator reads what the chart writes."""

import re
from pathlib import Path

import pytest
import yaml

from tests.charts.render import NAMES, ROOT, Rendered, render_with
from wan_operator.cluster.settings import ClusterSettings

EXAMPLE = ROOT / "examples" / "cluster" / "values.yaml"
pytestmark = pytest.mark.slow  # helm may have to be built first


@pytest.mark.parametrize("name", NAMES)
def test_the_operator_reads_the_settings_of_every_values_file(name: str, tmp_path: Path) -> None:
    settings = Rendered(name).read_settings(tmp_path)
    assert settings.weights == "s3://weights"


def test_the_chart_s_defaults_are_the_operator_s_own(tmp_path: Path) -> None:
    settings = Rendered().read_settings(tmp_path)
    given = settings.model_dump()
    own = ClusterSettings.model_validate(
        {name: given[name] for name in ("namespaces", "weights", "output")}
        | {"runner": {"image": given["runner"]["image"]}, "report": {"url": given["report"]["url"]}},
    ).model_dump()
    given["cache"] = own["cache"]  # the chart's default is a folder on the node, the operator's none
    assert given == own


def test_the_example_is_rendered_as_it_stands_and_reaches_the_operator(tmp_path: Path) -> None:
    written = yaml.safe_load(EXAMPLE.read_text())
    rendered = Rendered(EXAMPLE)
    settings = rendered.read_settings(tmp_path)
    assert (settings.weights, settings.output) == (written["weights"], written["output"])
    assert settings.s3.model_dump(by_alias=True).items() >= written["s3"].items()
    assert list(settings.namespaces) == written["generations"]["namespaces"]
    assert settings.cache.type == written["cache"]["type"]
    for image, repository in (
        (settings.runner.image, written["runner"]["image"]["repository"]),
        (rendered.container["image"], written["image"]["repository"]),
    ):
        assert re.fullmatch(re.escape(repository) + r":\d+\.\d+\.\d+", image)


def test_a_pod_template_reaches_the_operator_as_it_was_written(tmp_path: Path) -> None:
    file = Path(__file__).parent / "values" / "pod-template.yaml"
    written = yaml.safe_load(file.read_text())["runner"]["podTemplate"]
    assert Rendered("pod-template").read_settings(tmp_path).runner.pod_template == written


def test_models_of_the_administrator_s_own_reach_the_operator(tmp_path: Path) -> None:
    catalogue = Rendered("models").read_settings(tmp_path).catalogue
    corgi, film = catalogue["corgi-5B"], catalogue["film-A14B"]
    assert (corgi.weights_of, corgi.defaults.frames, corgi.licence.name) == ("ti2v-5B", 81, "CC-BY-4.0")
    assert film.defaults.guidance == (3.5, 2.5)


@pytest.mark.parametrize("name", ["cache-node", "cache-claim"])
def test_a_folder_on_the_node_and_a_claim_are_both_a_claim_to_the_operator(name: str, tmp_path: Path) -> None:
    assert Rendered(name).read_settings(tmp_path).cache.type == "claim"


def test_settings_that_change_start_the_operator_anew() -> None:
    def checksum(documents: list[dict[str, object]]) -> str:
        (deployment,) = (d for d in documents if d["kind"] == "Deployment")
        return deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"]  # type: ignore[index]

    before, same, after = (
        checksum(render_with(values))
        for values in ({}, {"podLabels": {"a": "b"}}, {"imageBuckets": ["inputs"]})
    )
    assert before == same != after
