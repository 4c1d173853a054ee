"""Fixtures of the end-to-end tests: `bed` for a module, `films` for a test. All of them are slow."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.kubelet import NodeSpec
from tests.e2e.bed import Bed, Options, start_bed, wait_until
from tests.e2e.elsewhere import KUBECONFIG, start_elsewhere
from tests.e2e.films import Films
from tests.e2e.gpus import Join
from tests.e2e.witness import Witness

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = [item for item in items if HERE in item.path.parents]
    for item in tests:
        item.add_marker(pytest.mark.slow)
    for module, count in Counter(item.module for item in tests if "films" in item.fixturenames).items():
        served = getattr(module, "BED", Options()).namespaces
        if count > served:
            raise pytest.UsageError(f"{module.__name__}: {count} tests, but {served} namespaces: see its BED")


@pytest.fixture(scope="module")
def beds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bed, Witness]]:
    """The module's cluster and its witness; `BED` in the module says what it is like."""
    options = getattr(request.module, "BED", Options())
    start = start_elsewhere if os.environ.get(KUBECONFIG) else start_bed
    with start(tmp_path_factory.mktemp("bed"), options) as bed, Witness(bed.api) as witness:
        yield bed, witness


@pytest.fixture
def bed(beds: tuple[Bed, Witness]) -> Bed:
    return beds[0]


@pytest.fixture
def films(beds: tuple[Bed, Witness]) -> Iterator[Films]:
    """A fresh served namespace; the laws are checked when the test is done with it."""
    bed, witness = beds
    films = Films(bed, witness, bed.take_namespace())
    yield films
    witness.check(films.namespace)


@pytest.fixture
def join(bed: Bed, films: Films) -> Iterator[Join]:
    """Nodes join the cluster for one test; what runs on them goes first."""
    names: list[str] = []

    def add(*nodes: NodeSpec) -> None:
        for node in nodes:
            bed.kubelet.add_node(node)
            names.append(node.name)
        for name in names:
            wait_until(lambda name=name: is_open(bed, name), 120, lambda: f"{names} are not ready")

    yield add
    bed.control.kubectl("delete", "vgen", "-n", films.namespace, "--all")
    wait_until(lambda: not films.pods(), 120, lambda: "its pods are still there")
    for name in names:
        bed.kubelet.remove_node(name)


def is_open(bed: Bed, node: str) -> bool:
    """Whether the node takes pods: a new one is tainted until it has been seen to be ready."""
    return not bed.node(node)["spec"].get("taints")
