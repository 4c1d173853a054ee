"""`wan run`: a manifest becomes a video on this machine. Each fault is one line on stderr, no traceback."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console

from wan_core.api.manifest import read_manifest
from wan_core.api.parse import BYTES_MAX
from wan_core.api.status import Phase, Status, VideoGeneration
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.errors import TABLE, Category, InvalidInput
from wan_core.plan.asked import model_problems
from wan_core.plan.explanation import explain_ladder
from wan_operator.catalogs import CatalogFile, read_models
from wan_operator.commands.answers import check_installed, complain, open_console, say, told
from wan_operator.commands.ladder_table import show_explanation, words_of_place
from wan_operator.local import EXIT_CODES_OF_REASONS, Places, exit_code, run_local, settings_for
from wan_operator.machine import read_inventory
from wan_operator.planning import Planned, Rejected, plan_request
from wan_operator.reasons import Reason
from wan_operator.screen import ResourceScreen
from wan_operator.storage import find_image
from wan_operator.world import World

# Packages of the extra `local` that planning needs, and those that making a video needs besides.
TO_PLAN = ("psutil",)
TO_MAKE = ("moto", "torch", "diffusers", "av")


def run(
    manifest: Annotated[Path, typer.Argument(help="The manifest's file; - for standard input.")],
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the plans for this machine and stop.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the video, its contact sheet and its status.")] = Path(
        "out"
    ),
    endpoint_url: Annotated[
        str | None, typer.Option(help="An S3 endpoint to use in place of the embedded one.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="S3 prefix of the models, such as s3://weights.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="S3 prefix for videos, such as s3://videos.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps weights; default: ~/.cache/wan.")
    ] = None,
    catalog: CatalogFile = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Let stock diffusers make the video, to compare with ours.")
    ] = False,
) -> None:
    """Make the video of a manifest on this machine; --explain says how, and stops.

    The video goes to OUT/<name>.mp4, its frames to <name>.png, its story to <name>.status.yaml. Without
    --endpoint-url, --weights, --output or AWS_ENDPOINT_URL, S3 is embedded: it holds the tiny models, and
    s3://inputs/ is the folder of the manifest. Ctrl-C cancels (exit 130), twice kills at once.
    """
    folder = Path() if manifest == Path("-") else manifest.parent
    with told():
        places = Places(out, folder, cache, endpoint_url, weights, output, read_models(catalog))
        code = plan_and_run(read_resource(manifest, places.models), places, explain, reference)
    raise typer.Exit(code)


def plan_and_run(resource: VideoGeneration, places: Places, explain: bool, reference: bool) -> int:
    """What was asked for, before the reader's eyes; the exit code."""
    console = open_console()
    check_installed(TO_PLAN, "local")
    world = see_world(resource, places)
    planned = plan(world, places)
    if isinstance(planned, Rejected):
        complain(planned.problems)
        return EXIT_CODES_OF_REASONS[planned.reason]
    if explain:
        return explain_plans(console, world, planned)
    check_installed(TO_MAKE, "local")
    return follow(console, resource, places, planned.notes, reference)


def read_resource(manifest: Path, models: Mapping[str, ModelCard] = MODELS) -> VideoGeneration:
    """The resource of the manifest, as the API server would have stored it. Raises InvalidInput."""
    source = "standard input" if manifest == Path("-") else str(manifest)
    resource = read_manifest(read_source(manifest), source, partial(model_problems, models=models))
    update = {"uid": str(uuid4()), "generation": 1, "creation_timestamp": datetime.now(UTC)}
    return resource.model_copy(
        update={"metadata": resource.metadata.model_copy(update=update), "status": Status()}
    )


def read_source(manifest: Path) -> bytes:
    """The manifest's bytes, no more than it takes to see that they are too many. Raises InvalidInput."""
    if manifest == Path("-"):
        if sys.stdin is None:
            raise InvalidInput("standard input: is closed")
        return sys.stdin.buffer.read(BYTES_MAX + 1)
    try:
        with manifest.open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidInput(f"{manifest}: {why}") from error


def see_world(resource: VideoGeneration, places: Places) -> World:
    """The resource on this machine."""
    return World(
        metadata=resource.metadata,
        spec=resource.spec,
        status=resource.status,
        inventory=read_inventory(),
        settings=settings_for(places),
    )


def plan(world: World, places: Places) -> Planned | Rejected:
    """How this machine would run it, everything checked that can be known before anything is started."""
    problems = option_problems(places)
    asked = world.spec.image if world.spec is not None and places.embedded else None
    try:
        image = find_image(asked, places.folder)
        problems += overwriting_problems(image, places.out / f"{world.metadata.name}.png")
    except InvalidInput as error:
        problems += error.problems
    planned = plan_request(world)
    if not problems:
        return planned
    if isinstance(planned, Rejected):
        return Rejected(planned.reason, (*planned.problems, *problems))
    return Rejected(TABLE[Category.INVALID_INPUT].reason, problems)


def overwriting_problems(image: Path | None, sheet: Path) -> tuple[str, ...]:
    """A problem if the contact sheet would replace the image that the video starts from."""
    if image is None or not sheet.exists() or not sheet.samefile(image):
        return ()
    return (f"spec.image: the contact sheet would replace {sheet}; choose another --out or metadata.name",)


def option_problems(places: Places) -> tuple[str, ...]:
    """What is wrong with the options that say where S3 is."""
    given = {"--weights": places.weights, "--output": places.output, "--endpoint-url": places.endpoint}
    forms = {"--weights": r"s3://[^/]+.*", "--output": r"s3://[^/]+.*", "--endpoint-url": r"https?://[^/]+.*"}
    return tuple(
        f"{name}: {value} does not look like {'http://host:port' if name == '--endpoint-url' else 's3://bucket'}"
        for name, value in given.items()
        if value is not None and re.fullmatch(forms[name], value) is None
    )


def explain_plans(console: Console, world: World, planned: Planned) -> int:
    """Print what `wan explain` prints; the exit code: 0 if a plan fits, now or with the memory free."""
    assert world.spec is not None, "what is planned has a spec"
    name, place = world.metadata.name, "this machine"
    said = explain_ladder(world.spec, planned.requests, planned.ladder, world.settings.models)
    show_explanation(console, name, said, words_of_place(place, world.inventory), planned.notes)
    if planned.ladder.runnable:
        return 0
    complain([f"{name}: no plan fits {place}"])
    return EXIT_CODES_OF_REASONS[Reason.NO_PLAN_FITS]


def follow(
    console: Console, resource: VideoGeneration, places: Places, notes: Sequence[str], reference: bool
) -> int:
    """Run the resource to its end before the reader's eyes; the exit code."""
    first = (*notes, f"S3: {places.title}", *(["made by stock diffusers, as asked"] if reference else []))
    with ResourceScreen(console) as screen:
        for note in first:
            screen.note(note)
        status = run_local(resource, places, screen, reference=reference)
    stem = places.out / resource.metadata.name
    if status.phase is Phase.SUCCEEDED:
        say(console, f"video: {stem}.mp4")
        say(console, f"frames: {stem}.png")
    elif status.phase is Phase.FAILED:
        complain([f"{status.reason}: {status.message}"])
        if status.attempts:
            say(console, f"the runner's log: {stem}.log")
    return exit_code(status)
