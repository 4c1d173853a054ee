"""`wan validate --models`: entries of the catalogue, an administrator's own, and checkpoints.

An entry is checked for what it says of itself; a checkpoint, by its headers, against the architectures of the
catalogue, which takes the runner's package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from wan_core.api.parse import BYTES_MAX
from wan_core.catalog.architecture import Card, ModelCard
from wan_core.catalog.checked import CheckedCheckpoint
from wan_core.catalog.consistency import check_card
from wan_core.catalog.ids import resolve_model
from wan_core.catalog.models import ENTRIES
from wan_core.catalog.own import load_catalog
from wan_core.errors import InvalidInput
from wan_core.planning import Setting, capabilities, compatibility
from wan_operator.commands.answers import INVALID_EXIT, Format, answer, complain
from wan_operator.commands.checks import need_check
from wan_operator.commands.documents import setting_document
from wan_operator.commands.tables import Column, show_table

S3 = "s3://"
YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Subject:
    """What was checked: an entry, or a checkpoint with the entry whose architecture it has; what is wrong."""

    name: str
    kind: str
    errors: tuple[str, ...] = ()
    card: Card | None = None
    checkpoint: CheckedCheckpoint | None = None

    @property
    def valid(self) -> bool:
        return not self.errors


def validate_models(
    what: Sequence[str], models: Mapping[str, ModelCard], report: Path | None, output: Format
) -> int:
    """Check and answer; the exit code. `models`: those of the catalogue and one's own."""
    subjects = list(find_subjects(what, models))
    overall = all(subject.valid for subject in subjects)

    def build() -> dict[str, Any]:
        return {"overall_valid": overall, "models": {one.name: document_of(one) for one in subjects}}

    if output is Format.TEXT:
        complain([line for one in subjects for line in lines_of(one)])
    answer(output, build, lambda console: show(console, subjects), report)
    return 0 if overall else INVALID_EXIT


def find_subjects(what: Sequence[str], models: Mapping[str, ModelCard]) -> Iterator[Subject]:
    """Everything that was named, and all that is known where nothing was. Raises InvalidInput, OSError."""
    known = {**ENTRIES, **models}
    if "" in what:
        raise InvalidInput("--models: a name is empty: give ids, YAML files of models, folders, or s3://...")
    if not what:
        yield from (_entry(card, known) for card in known.values())
    for one in what:
        path = Path(one)
        if one.startswith(S3) or (path.exists() and path.suffix not in YAML):
            yield _checkpoint(one, models)
        elif path.suffix in YAML:
            yield from _own(path)
        else:
            yield _entry(resolve_model(one, "--models", models).card, known)


def lines_of(subject: Subject) -> list[str]:
    """Its faults, each of which begins with what has it."""
    errors, name = subject.errors, subject.name
    return [error if error.startswith(name) else f"{name}: {error}" for error in errors]


def document_of(subject: Subject) -> dict[str, Any]:
    """What programs get of one. Whether and how it runs is told of a valid one only."""
    card = subject.card
    known: dict[str, Any] = {"capabilities": None, "compatibility": [], "profile": []}
    if subject.valid and card is not None:
        places = compatibility(card) if isinstance(card, ModelCard) and not card.cannot_run else ()
        known["capabilities"] = capabilities(card, {**ENTRIES, card.id: card}).to_dict()
        known["compatibility"] = [_place(place) for place in places]
        known["profile"] = [setting_document(place) for place in places if place.fits]
    more = {} if subject.checkpoint is None else {"checkpoint": subject.checkpoint.to_dict()}
    return {"is_valid": subject.valid, "errors": list(subject.errors), "kind": subject.kind, **known, **more}


def show(console: Console, subjects: Sequence[Subject]) -> None:
    """One line each."""
    columns = (Column("MODEL", wraps=True), Column("IS"), Column("LIKE"), Column("RESULT"))
    show_table(console, columns, [_row(one) for one in subjects])


def _entry(card: Card, models: Mapping[str, Card]) -> Subject:
    own = isinstance(card, ModelCard) and card.weights_of
    kind = "an entry of yours" if own else "an entry of the catalogue"
    return Subject(card.id, kind, check_card(card, models), card)


def _own(path: Path) -> Iterator[Subject]:
    """The entries of a file; the file itself where they cannot be read."""
    with path.open("rb") as file:
        text = file.read(BYTES_MAX + 1)
    try:
        own = load_catalog(text, str(path))
    except InvalidInput as error:
        yield Subject(str(path), "a catalogue", error.problems)
        return
    models = {**ENTRIES, **own}
    for card in own.values():
        yield _entry(card, models)


def _checkpoint(where: str, models: Mapping[str, ModelCard]) -> Subject:
    """Of several models of its architecture it is taken for the one that its manifest or its folder names."""
    look = need_check("model", "looking at a checkpoint")
    found: CheckedCheckpoint = look(where if where.startswith(S3) else Path(where), models)
    name = found.model or where.rstrip("/").rpartition("/")[2]
    alike = name if name in found.models else next(iter(found.models), None)
    card = models[alike] if alike is not None else None
    return Subject(where, "a checkpoint", found.errors, card, found)


def _place(place: Setting) -> dict[str, Any]:
    return {
        "gpu": place.gpu,
        "fits": place.fits,
        "quality": place.quality.value,
        "reason": place.rung.reason,
    }


def _row(one: Subject) -> list[str]:
    like = ", ".join(one.checkpoint.models) if one.checkpoint is not None else one.card.id if one.card else ""
    count = len(one.errors)
    result = "valid" if one.valid else f"{count} problem{'s' if count > 1 else ''}"
    return [one.name, one.kind, "" if like == one.name else like, result]
