"""`wan validate -f`: every document with all its problems, and if that is asked, how it would run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from wan_core.api.words import printable
from wan_core.catalog.architecture import ModelCard
from wan_core.errors import InvalidInput
from wan_core.plan.prompt_length import FIELDS, TextCount
from wan_core.plan.request import Request
from wan_core.plan.techniques import Plan
from wan_core.planning import CheckedManifest, Explanation, Problem
from wan_core.planning import validate as validate_text
from wan_operator.commands.answers import INVALID_EXIT, NOTHING_FITS_EXIT, Format, answer, complain, say
from wan_operator.commands.documents import manifest_document, request_document
from wan_operator.commands.explain import explain_one
from wan_operator.commands.images import check_images
from wan_operator.commands.places import Chosen, Found, find_inventory
from wan_operator.commands.prompts import count_prompts, tell_prompts, words_of_count
from wan_operator.commands.sources import read_sources
from wan_operator.commands.tables import Column, show_facts, show_heading, show_lines, show_table
from wan_operator.commands.words import request_words, settings_words, time_words

LENGTHS = tuple(f"{field}: has " for field in FIELDS)  # how warnings about the length of a text begin
OF_IMAGE = "spec.image: "  # and those of the image
NOWHERE = "fits nowhere"


@dataclass(frozen=True)
class Asked:
    """What was said on the command line. Plans are looked for only where there is something `chosen`."""

    names: tuple[str, ...]
    chosen: Chosen | None
    detailed: bool
    models: Mapping[str, ModelCard]
    image: str | None
    preview: Path | None
    tokenizer: Path | None


@dataclass(frozen=True)
class Line:
    """One document, how its prompts were counted, and how it would run, if that was asked."""

    manifest: CheckedManifest
    counts: Mapping[str, TextCount]
    explanation: Explanation | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the request, its image, the plan if one was looked for, and the prompts as they were counted."""
        said, found = self.explanation, self.manifest.warnings
        if said is not None:  # those of the request are of the model that would run
            found = (*said.warnings, *(text for text in found if text.startswith(OF_IMAGE)))
        others = (text for text in found if not text.startswith(LENGTHS))
        told = tell_prompts(self.manifest.requests[0], self.counts) if self.counts else ()
        return tuple(dict.fromkeys((*others, *told)))

    @property
    def result(self) -> str:
        if self.manifest.problems:
            return "invalid"
        if self.explanation is not None and not self.explanation.ladder.runnable:
            return NOWHERE
        return "valid"


def validate_manifests(asked: Asked, report: Path | None, output: Format) -> int:
    """Check, answer, and the exit code."""
    manifests, skipped = read_all(asked.names, asked.models)
    manifests = check_images(manifests, asked.models, asked.image, asked.preview)
    found = find_inventory(asked.chosen) if asked.chosen is not None else None
    lines = [_line(one, found, asked) for one in manifests]
    valid = all(line.manifest.valid for line in lines)

    def build() -> dict[str, Any]:
        documents = [_document(line, asked.detailed) for line in lines]
        return {"valid": valid, "documents": documents, "skipped": skipped, **_place(found)}

    if output is Format.TEXT:
        complain(list(problem_lines(manifests)))
    answer(output, build, lambda console: show(console, lines, skipped, asked.detailed, found), report)
    unfit = [line.manifest.name for line in lines if line.result == NOWHERE]
    if found is not None:
        complain([f"{name}: no plan fits {found.name}" for name in unfit])
    return INVALID_EXIT if not valid else NOTHING_FITS_EXIT if unfit else 0


def _place(found: Found | None) -> dict[str, Any]:
    """On what plans were looked for, and what could not be looked at."""
    if found is None:
        return {}
    return {"notes": list(found.notes), "inventory": {"name": found.name, **found.inventory.to_dict()}}


def _document(line: Line, detailed: bool) -> dict[str, Any]:
    data = manifest_document(line.manifest, line.explanation, detailed) | {"warnings": list(line.warnings)}
    return data | ({"prompts": {k: v.to_dict() for k, v in line.counts.items()}} if detailed else {})


def read_all(
    names: Sequence[str], models: Mapping[str, ModelCard]
) -> tuple[list[CheckedManifest], list[str]]:
    """Every document, one that cannot be read being invalid; and what is no VideoGeneration."""
    manifests: list[CheckedManifest] = []
    skipped: list[str] = []
    for source in read_sources(names):
        if isinstance(source, InvalidInput):
            problems = tuple(Problem(rule=line, text=line) for line in source.problems)
            manifests.append(CheckedManifest(source=source.problems[0].partition(":")[0], problems=problems))
            continue
        checked = validate_text(source.text, source.name, models, expected=not source.among_others)
        manifests += checked.documents
        skipped += checked.skipped
    return manifests, skipped


def problem_lines(manifests: Sequence[CheckedManifest]) -> Iterable[str]:
    """A line for each problem, which begins with its document where there are several."""
    for one in manifests:
        for problem in one.problems:
            named = len(manifests) == 1 or problem.text.startswith(one.source)
            yield problem.text if named else f"{one.source}: {problem.text}"


def show(
    console: Console, lines: Sequence[Line], skipped: Sequence[str], detailed: bool, found: Found | None
) -> None:
    """On what plans were looked for, a line a document, then what there is to say of those that are valid."""
    if found is not None:
        show_lines(console, [f"on {found.words}", *found.notes])
        say(console)
    columns = (
        Column("DOCUMENT", wraps=True),
        Column("NAME", wraps=True),
        Column("MODEL", wraps=True),
        Column("PLAN", wraps=True),
        Column("TIME", "right"),
        Column("RESULT"),
    )
    show_table(console, columns, [_row(line) for line in lines])
    for line in lines:
        _show_more(console, line, detailed)
    show_lines(console, [f"passed over: {text}" for text in skipped])


def _show_more(console: Console, line: Line, detailed: bool) -> None:
    one = line.manifest
    said = [f"warning: {text}" for text in line.warnings] + list(one.notes)
    if line.explanation is not None:
        said.append(line.explanation.conclusion)
    if not said and not (detailed and one.requests):
        return
    show_heading(console, one.name or one.source)
    show_lines(console, said)
    if detailed:
        for request in one.requests:
            say(console)
            show_facts(console, _facts(request, one))
        show_facts(console, [(field, words_of_count(count)) for field, count in line.counts.items()])


def _facts(request: Request, one: CheckedManifest) -> list[tuple[str, str]]:
    high, low = request.guidance_high, request.guidance_low
    return [
        ("model", request.model),
        ("video", request_words(request)),
        ("guidance", f"{high:g}" if high == low else f"{high:g} high, {low:g} low"),
        ("shift", f"{request.shift:g}"),
        ("seed", str(request_document(request, one).get("seed", "from metadata.uid"))),
        ("negative prompt", printable(request.negative_prompt)),
    ]


def _row(line: Line) -> list[str]:
    one, said = line.manifest, line.explanation
    best = said.ladder.runnable[:1] if said is not None else ()
    count = len(one.problems)
    result = f"{count} problem{'s' if count > 1 else ''}" if count else line.result
    plan = [_plan_words(rung.plan, one.model) for rung in best]
    return [
        one.source,
        one.name,
        one.model,
        *(plan or [""]),
        *([time_words(r) for r in best] or [""]),
        result,
    ]


def _plan_words(plan: Plan, asked: str) -> str:
    """With its model where that is another than the asked one."""
    return settings_words(plan) if plan.model == asked else f"{plan.model}: {settings_words(plan)}"


def _line(one: CheckedManifest, found: Found | None, asked: Asked) -> Line:
    if not one.valid:
        return Line(one, {})
    request = one.requests[0]
    counts = count_prompts(request, asked.models[request.model], asked.tokenizer)
    if found is None:
        return Line(one, counts)
    return Line(one, counts, explain_one(one, found, asked.models, found.criteria()))
