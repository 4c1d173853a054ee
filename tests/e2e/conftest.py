"""Fixtures of the end-to-end tests: `bed` for a module, `films` for a test. All of them are slow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bed import Bed, Options, start_bed
from tests.e2e.elsewhere import KUBECONFIG, start_elsewhere
from tests.e2e.films import Films
from tests.e2e.witness import Witness

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


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
