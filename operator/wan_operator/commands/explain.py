"""`wan explain`: how a manifest would run, on what there is, and what would change that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console

from wan_core.catalog.architecture import ModelCard
from wan_core.errors import InvalidInput
from wan_core.planning import CheckedManifest, Criteria, Explanation, validate
from wan_core.planning import explain as explain_spec
from wan_operator.catalogs import CatalogFile
from wan_operator.commands.answers import NOTHING_FITS_EXIT, Format, Output, answer, complain, say, told
from wan_operator.commands.documents import explanation_document
from wan_operator.commands.ladder_table import show_explanation
from wan_operator.commands.places import Chosen, Found, find_inventory, known_models, with_place_options
from wan_operator.commands.prices import OrderOption, PricesOption, read_prices
from wan_operator.commands.sources import Files, read_sources


@with_place_options
def explain(
    files: Files,
    *,
    chosen: Chosen,
    order: OrderOption = None,
    prices: PricesOption = None,
    catalog: CatalogFile = None,
    output: Output = Format.TEXT,
) -> None:
    """Show how a manifest would run, why so, and what would help.

    Every plan with its memory, time and cost. On GPUs by name, a cluster, or this machine. Exit codes: 0
    if a plan fits, now or when what is busy is free; 74 if none does; 64 if a manifest is wrong.
    """
    with told():
        known = known_models(catalog, chosen.settings)
        manifests = read_manifests(files, known)
        given = read_prices(prices)
        found = find_inventory(chosen)
        criteria = found.criteria(order, given)
        pairs = [(one, explain_one(one, found, known, criteria)) for one in manifests]

        def build() -> dict[str, Any]:
            documents = [explanation_document(one, said, found) for one, said in pairs]
            return documents[0] if len(documents) == 1 else {"items": documents}

        answer(output, build, lambda console: show_all(console, pairs, found))
        unfit = [one.name for one, said in pairs if not said.ladder.runnable]
        complain([f"{name}: no plan fits {found.name}" for name in unfit])
    raise typer.Exit(NOTHING_FITS_EXIT if unfit else 0)


def read_manifests(files: Sequence[str], models: Mapping[str, ModelCard]) -> list[CheckedManifest]:
    """Every VideoGeneration of the files. Raises InvalidInput with all problems of all of them."""
    problems: list[str] = []
    found: list[CheckedManifest] = []
    for source in read_sources(files):
        if isinstance(source, InvalidInput):
            problems += source.problems
            continue
        documents = validate(source.text, source.name, models).documents
        alone = len(files) == 1 and len(documents) == 1 and not source.among_others
        for one in documents:
            for problem in one.problems:
                named = alone or problem.text.startswith(one.source)
                problems.append(problem.text if named else f"{one.source}: {problem.text}")
        found += documents
    if problems:
        raise InvalidInput(problems)
    return found


def explain_one(
    one: CheckedManifest, found: Found, models: Mapping[str, ModelCard], criteria: Criteria
) -> Explanation:
    """How a valid manifest would run there."""
    assert one.resource is not None
    spec, uid = one.resource.spec, one.resource.metadata.uid
    return explain_spec(spec, found.inventory, uid, models, criteria)


def show_all(console: Console, pairs: Sequence[tuple[CheckedManifest, Explanation]], found: Found) -> None:
    """One after the other."""
    for index, (one, said) in enumerate(pairs):
        if index:
            say(console)
        show_explanation(console, one.name, said, found.words, (*found.notes, *one.notes))
