"""A real control plane for the tests that need the API server's word, and the chart installed on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.charts.render import CHART, MINIMAL, NAMESPACE
from tests.controlplane.control_plane import ControlPlane


class Cluster:
    """A control plane and the one release of the chart on it."""

    def __init__(self, control: ControlPlane) -> None:
        self.control, self.api = control, control.api

    def install(self, values: Mapping[str, Any], *flags: str) -> str:
        """`helm upgrade --install` with these values over minimal.yaml; what helm says."""
        release = ["upgrade", "--install", "wan", str(CHART), "-n", NAMESPACE, "--create-namespace"]
        return self.control.helm(*release, "-f", str(MINIMAL), "-f", "-", *flags, input=json.dumps(values))

    def uninstall(self) -> str:
        return self.control.helm("uninstall", "wan", "-n", NAMESPACE)


@pytest.fixture(scope="package")  # what stays up to the end of a session slows down all that comes
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ControlPlane(tmp_path_factory.mktemp("chart")) as control:
        yield Cluster(control)
