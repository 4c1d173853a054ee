"""How a request would run, for people: the ladder as a table, why each rung stands as it does, what happens.

The same for `wan explain` and `wan run --explain`.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from wan_core.api.status import Verdict
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder_words import VERDICTS, losses
from wan_core.plan.rungs import Rung
from wan_core.planning import Explanation
from wan_operator.commands.answers import say
from wan_operator.commands.tables import Column, show_heading, show_lines, show_numbered, show_table
from wan_operator.commands.words import cost_words, request_words, settings_words, share_words, time_words


def show_explanation(
    console: Console, name: str, said: Explanation, place: str, notes: Sequence[str] = ()
) -> None:
    """Of the request of `name` on `place`. `notes`: what was assumed, or could not be looked at."""
    asked = said.requests[0]
    show_lines(console, [f"{name}: {asked.model}, {request_words(asked)}"], style="bold")
    show_lines(console, [f"on {place}", *notes])
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
        Column("MODEL", wraps=True),
        Column("PLAN", wraps=True),
        Column("ON", wraps=True, yields=True),
        Column("QUALITY", yields=True),
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
                _place(rung) if len(products) > 1 else "",
                rung.tier.value if mixed else "",
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


def words_of_place(name: str, inventory: Inventory) -> str:
    """`the cluster: 2 x NVIDIA L4, NVIDIA T4`: by kinds of nodes, since equal ones count once."""
    products: dict[str, int] = {}
    for node in inventory.nodes:
        for gpu in node.gpus:
            products[gpu.product] = products.get(gpu.product, 0) + 1
    gpus = ", ".join(f"{count} x {product}" if count > 1 else product for product, count in products.items())
    return f"{name}: {gpus or 'no GPU'}"


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


def _left_out(said: Explanation) -> list[str]:
    return [f"not considered: {', '.join(said.ladder.left_out)}"] if said.ladder.left_out else []


def _next(said: Explanation) -> list[str]:
    """What is tried after each failure: failures with the same answer on one line."""
    after: dict[str, list[str]] = {}
    for fallback in said.fallbacks:
        then = fallback.then[0] if fallback.then else "no plan is left, and the video fails"
        after.setdefault(then, []).append(fallback.category.value)
    return [f"after {' or '.join(categories)}: {then}" for then, categories in after.items()]
