"""`wan explain`: how a manifest would run, on what there is, and what would change that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from wan_core.api.status import Verdict
from wan_core.catalog.architecture import ModelCard
from wan_core.errors import InvalidInput
from wan_core.plan.ladder_words import VERDICTS, losses
from wan_core.plan.rungs import Rung
from wan_core.planning import CheckedManifest, Explanation, validate
from wan_core.planning import explain as explain_spec
from wan_operator.catalogs import CatalogFile
from wan_operator.commands.answers import NOTHING_FITS_EXIT, Format, Output, answer, say, told
from wan_operator.commands.documents import explanation_document
from wan_operator.commands.places import (
    Chosen,
    Context,
    Found,
    Gpus,
    Here,
    HostMemory,
    Kubeconfig,
    OfCluster,
    SettingsFile,
    find_inventory,
    known_models,
)
from wan_operator.commands.prices import OrderOption, PricesOption, read_prices
from wan_operator.commands.sources import Files, read_sources
from wan_operator.commands.tables import Column, show_heading, show_lines, show_numbered, show_table
from wan_operator.commands.words import (
    cost_words,
    request_words,
    settings_words,
    share_words,
    time_words,
)


def explain(
    files: Files,
    gpus: Gpus = None,
    host_memory: HostMemory = None,
    cluster: OfCluster = False,
    here: Here = False,
    order: OrderOption = None,
    prices: PricesOption = None,
    catalog: CatalogFile = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    settings: SettingsFile = None,
    output: Output = Format.TEXT,
) -> None:
    """Show how a manifest would run, why so, and what would help.

    Every plan with its memory, time and cost. On GPUs by name, a cluster, or this machine. Exit codes: 0
    if a plan fits, now or when what is busy is free; 74 if none does; 64 if a manifest is wrong.
    """
    with told():
        known = known_models(catalog, settings)
        manifests = read_manifests(files, known)
        found = find_inventory(Chosen(gpus, host_memory, cluster, here, kubeconfig, context, settings))
        options = found.options(order, read_prices(prices))
        pairs = [(one, explain_one(one, found, known, options)) for one in manifests]

        def build() -> dict[str, Any]:
            documents = [explanation_document(one, said, found) for one, said in pairs]
            return documents[0] if len(documents) == 1 else {"items": documents}

        answer(output, build, lambda console: show_all(console, pairs, found))
        code = 0 if all(said.ladder.runnable for _, said in pairs) else NOTHING_FITS_EXIT
    raise typer.Exit(code)


def read_manifests(files: Sequence[Path], models: Mapping[str, ModelCard]) -> list[CheckedManifest]:
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
    one: CheckedManifest, found: Found, models: Mapping[str, ModelCard], options: dict[str, Any]
) -> Explanation:
    """How a valid manifest would run there."""
    assert one.resource is not None
    spec, uid = one.resource.spec, one.resource.metadata.uid
    return explain_spec(spec, found.inventory, uid, models, **options)


def show_all(console: Console, pairs: Sequence[tuple[CheckedManifest, Explanation]], found: Found) -> None:
    """One after the other."""
    for index, (one, said) in enumerate(pairs):
        if index:
            say(console)
        show_one(console, one, said, found)


def show_one(console: Console, one: CheckedManifest, said: Explanation, found: Found) -> None:
    """The ladder as a table, then of each rung why, then what happens."""
    asked = said.requests[0]
    show_lines(console, [f"{one.name}: {asked.model}, {request_words(asked)}"], style="bold")
    show_lines(console, [f"on {words_of_place(found)}", *found.notes, *one.notes])
    say(console)
    show_ladder(console, said)
    show_heading(console, "Why")
    show_numbered(console, [_reasons(rung) for rung in said.ladder.rungs])
    show_heading(console, "So")
    warnings = [f"warning: {text}" for text in said.warnings]
    show_lines(console, [said.conclusion, *warnings, *_left_out(said), *_next(said)])


def show_ladder(console: Console, said: Explanation) -> None:
    """One line a rung, an arrow at the one to be taken. Columns in which nothing stands are left out."""
    columns = (
        Column(""),
        Column("#", "right"),
        Column("MODEL"),
        Column("PLAN", wraps=True),
        Column("QUALITY", yields=True),
        Column("ON", wraps=True, yields=True),
        Column("GiB", "right"),
        Column("PEAK", yields=True),
        Column("HOST", "right", yields=True),
        Column("TIME", "right"),
        Column("COST", "right"),
        Column("JOB", "right", yields=True),
        Column("VERDICT"),
    )
    several = len({rung.plan.model for rung in said.ladder.rungs}) > 1
    mixed = len({rung.tier for rung in said.ladder.rungs}) > 1
    products = {product for rung in said.ladder.rungs for product in (rung.product, *rung.products)}
    jobs = {rung.job for rung in said.ladder.rungs} - {None}
    taken = said.ladder.runnable[:1]
    show_table(
        console,
        columns,
        [
            [
                "->" if rung in taken else "",
                str(rank),
                rung.plan.model if several else "",
                settings_words(rung.plan),
                rung.tier.value if mixed else "",
                _place(rung) if len(products) > 1 else "",
                share_words(rung),
                rung.need.peak_phase,
                f"{rung.need.host_gib:.1f}",
                time_words(rung) if rung.verdict is not Verdict.NEVER else "",
                cost_words(rung.cost),
                str(rung.job) if rung.job is not None and len(jobs) > 1 else "",
                VERDICTS[rung.verdict],
            ]
            for rank, rung in enumerate(said.ladder.rungs, start=1)
        ],
    )


def _place(rung: Rung) -> str:
    """The product that memory and time are told of, and how many others it fits."""
    others = len(set(rung.products) - {rung.product})
    return f"{rung.product} +{others}" if others else rung.product


def _reasons(rung: Rung) -> list[str]:
    """Why it has its verdict, what it loses, what was corrected, and what would make it fit."""
    time = f"; time: {rung.time.basis}" if rung.time is not None else ""
    cures = f"would fit with {', or '.join(rung.would_fit_if)}" if rung.would_fit_if else ""
    others = [product for product in rung.products if product != rung.product]
    also = f"fits {', '.join(others)} too" if others else ""
    lines = [rung.reason + time, also, *(f"loses: {loss}" for loss in losses(rung.plan)), *rung.notes, cures]
    return [line for line in lines if line]


def words_of_place(found: Found) -> str:
    """`the cluster: 2 x NVIDIA L4, NVIDIA T4`: by kinds of nodes, since equal ones count once."""
    nodes = found.inventory.nodes
    products: dict[str, int] = {}
    for node in nodes:
        for gpu in node.gpus:
            products[gpu.product] = products.get(gpu.product, 0) + 1
    gpus = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in products.items())
    return f"{found.name}: {gpus or 'no GPU'}"


def _left_out(said: Explanation) -> list[str]:
    return [f"not considered: {', '.join(said.ladder.left_out)}"] if said.ladder.left_out else []


def _next(said: Explanation) -> list[str]:
    """What is tried after each failure: failures with the same answer on one line."""
    after: dict[str, list[str]] = {}
    for fallback in said.fallbacks:
        then = fallback.then[0] if fallback.then else "no plan is left, and the video fails"
        after.setdefault(then, []).append(fallback.category.value)
    return [f"after {' or '.join(categories)}: {then}" for then, categories in after.items()]
