"""`wan validate`: what is wrong with manifests, all of it, before anything runs; and with models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from wan_core.api.words import printable
from wan_core.errors import InvalidInput
from wan_core.planning import CheckedManifest, Explanation, Problem
from wan_core.planning import validate as validate_text
from wan_operator.commands.answers import (
    INVALID_EXIT,
    NOTHING_FITS_EXIT,
    Format,
    Output,
    answer,
    complain,
    told,
)
from wan_operator.commands.documents import manifest_document
from wan_operator.commands.explain import explain_one
from wan_operator.commands.images import ImageFile, PreviewFile, check_images
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
)
from wan_operator.commands.sources import read_sources
from wan_operator.commands.tables import Column, show_facts, show_heading, show_lines, show_table
from wan_operator.commands.validate_models import validate_models
from wan_operator.commands.words import request_words, settings_words, time_words


@dataclass(frozen=True)
class Line:
    """One document, what its image is like, and how it would run, as far as that was asked."""

    manifest: CheckedManifest
    explanation: Explanation | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of its image, and of the request with the plan that it gets, if one was looked for."""
        planned = self.explanation.warnings if self.explanation is not None else ()
        return tuple(dict.fromkeys((*planned, *self.manifest.warnings)))

    @property
    def result(self) -> str:
        if self.manifest.problems:
            return "invalid"
        if self.explanation is not None and not self.explanation.ladder.runnable:
            return "fits nowhere"
        return "valid"


def validate(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="More manifests; with --models: ids, YAML files of models, folders, s3://..."),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("-f", "--filename", help="A manifest, a folder of them, or -; may be repeated."),
    ] = None,
    models: Annotated[
        bool, typer.Option("--models", help="Check models instead: of the catalogue, of yours, checkpoints.")
    ] = False,
    detailed: Annotated[
        bool, typer.Option("--detailed", help="Tell all that the manifest leaves to the model.")
    ] = False,
    hardware_check: Annotated[
        bool, typer.Option("--hardware-check", help="Is there a plan that fits? Else exit 74.")
    ] = False,
    image: ImageFile = None,
    preview: PreviewFile = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the whole answer to this file, as JSON.")
    ] = None,
    gpus: Gpus = None,
    host_memory: HostMemory = None,
    cluster: OfCluster = False,
    here: Here = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    settings: SettingsFile = None,
    output: Output = Format.TEXT,
) -> None:
    """Tell everything that is wrong with manifests, each fault with its place and the nearest valid value.

    Exit codes: 0 all are valid, 64 one is not (each fault is a line on stderr), 74 with --hardware-check if
    all are valid but no plan of one fits. With --models: 0 or 64.
    """
    chosen = Chosen(gpus, host_memory, cluster, here, kubeconfig, context, settings)
    with told():
        if models:
            code = validate_models([*(files or ()), *(what or ())], report, output)
        else:
            paths = [*(files or ()), *map(Path, what or ())]
            _check_options(paths, chosen, hardware_check)
            code = validate_manifests(
                paths, chosen if hardware_check else None, detailed, image, preview, report, output
            )
    raise typer.Exit(code)


def validate_manifests(
    paths: Sequence[Path],
    chosen: Chosen | None,
    detailed: bool,
    image: str | None,
    preview: Path | None,
    report: Path | None,
    output: Format,
) -> int:
    """Check, answer, and the exit code. With `chosen` plans are looked for there."""
    manifests, skipped = read_all(paths)
    manifests = check_images(manifests, image, preview)
    found = find_inventory(chosen) if chosen is not None else None
    lines = [_line(one, found) for one in manifests]
    valid = all(line.manifest.valid for line in lines)

    def build() -> dict[str, Any]:
        documents = [manifest_document(line.manifest, line.explanation, detailed) for line in lines]
        return {"valid": valid, "documents": documents, "skipped": skipped}

    if output is Format.TEXT:
        complain(list(problem_lines(manifests)))
    answer(output, build, lambda console: show(console, lines, skipped, detailed), report)
    if not valid:
        return INVALID_EXIT
    return NOTHING_FITS_EXIT if any(line.result == "fits nowhere" for line in lines) else 0


def read_all(paths: Sequence[Path]) -> tuple[list[CheckedManifest], list[str]]:
    """Every document, one that cannot be read being invalid; and what is no VideoGeneration."""
    manifests: list[CheckedManifest] = []
    skipped: list[str] = []
    for source in read_sources(paths):
        if isinstance(source, InvalidInput):
            problems = tuple(Problem(rule=line, text=line) for line in source.problems)
            manifests.append(CheckedManifest(source=source.problems[0].partition(":")[0], problems=problems))
            continue
        checked = validate_text(source.text, source.name, expected=not source.among_others)
        manifests += checked.documents
        skipped += checked.skipped
    return manifests, skipped


def problem_lines(manifests: Sequence[CheckedManifest]) -> Iterable[str]:
    """A line for each problem, which begins with its document where there are several."""
    for one in manifests:
        for problem in one.problems:
            named = len(manifests) == 1 or problem.text.startswith(one.source)
            yield problem.text if named else f"{one.source}: {problem.text}"


def show(console: Console, lines: Sequence[Line], skipped: Sequence[str], detailed: bool) -> None:
    """A line a document, then what there is to say about those that are valid."""
    columns = (
        Column("DOCUMENT", wraps=True),
        Column("NAME"),
        Column("MODEL"),
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
            show_facts(console, _facts(request))


def _facts(request: Any) -> list[tuple[str, str]]:
    high, low = request.guidance_high, request.guidance_low
    return [
        ("model", request.model),
        ("video", request_words(request)),
        ("guidance", f"{high:g}" if high == low else f"{high:g} high, {low:g} low"),
        ("shift", f"{request.shift:g}"),
        ("seed", str(request.seed)),
        ("negative prompt", printable(request.negative_prompt)),
    ]


def _row(line: Line) -> list[str]:
    one, said = line.manifest, line.explanation
    best = said.ladder.runnable[:1] if said is not None else ()
    count = len(one.problems)
    result = f"{count} problem{'s' if count > 1 else ''}" if count else line.result
    plan = [settings_words(rung.plan) for rung in best]
    return [
        one.source,
        one.name,
        one.model,
        *(plan or [""]),
        *([time_words(r) for r in best] or [""]),
        result,
    ]


def _line(one: CheckedManifest, found: Found | None) -> Line:
    if found is None or not one.valid:
        return Line(one)
    return Line(one, explain_one(one, found, found.options()))


def _check_options(paths: Sequence[Path], chosen: Chosen, hardware_check: bool) -> None:
    if not paths:
        raise InvalidInput("nothing to validate: give -f FILE, or --models")
    if chosen != Chosen() and not hardware_check:
        raise InvalidInput("--gpus, --cluster and --here go with --hardware-check")
