"""The chart's lint finds what it looks for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.charts.lint import violations


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"ports": [{"port": 80}]}, []),
        ({"ports": [{"port": "http"}]}, ["spec.ports.0.port: 'http' is not of type 'integer'"]),
        ({"portz": []}, ["spec: Additional properties are not allowed ('portz' was unexpected)"]),
    ],
    ids=["fine", "wrong type", "unknown field"],
)
def test_an_object_is_held_against_kubernetes_own_schema(spec: dict[str, Any], said: list[str]) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": spec}
    assert list(violations(service)) == said
