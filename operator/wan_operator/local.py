"""Local mode: the loop that drives `decide` on this machine, with Jobs as processes.

Observe, decide, act, write one status. The loop sleeps until something happens (a report, a process that
ended, Ctrl-C) or until the decision asks to be made again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol
from urllib.parse import urlsplit

import yaml

from wan_core.api.spec import Retention
from wan_core.api.status import OutputStatus, Phase, Status, VideoGeneration
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.errors import TABLE, Category, WanError
from wan_core.plan.inventory import Inventory
from wan_core.task import Progress
from wan_operator.decide import decide
from wan_operator.machine import read_inventory
from wan_operator.processes import GRACE_S, AttemptProcess, Launch
from wan_operator.reasons import Reason
from wan_operator.reports import ReportServer
from wan_operator.storage import (
    EMBEDDED_INPUTS,
    EMBEDDED_VIDEOS,
    EMBEDDED_WEIGHTS,
    EmbeddedStorage,
    RealStorage,
    error_of_exit,
    find_image,
    names_real_storage,
)
from wan_operator.world import Action, DeleteAttempt, Observed, Settings, StartAttempt, StopAttempt, World

RUNNER = (sys.executable, "-m", "wan_runner")
STORAGE_POLL_S = 0.1  # while the embedded server starts; it takes some seconds
CTRL_C_EXIT_CODE = 130  # what shells expect after SIGINT
EXIT_CODES_OF_REASONS: Mapping[str, int] = {row.reason: row.exit_code for row in TABLE.values()} | {
    Reason.NO_PLAN_FITS: TABLE[Category.INCOMPATIBLE_HARDWARE].exit_code,
    Reason.MODEL_CANNOT_RUN: TABLE[Category.INVALID_INPUT].exit_code,
    Reason.START_DEADLINE_EXCEEDED: TABLE[Category.INTERRUPTED].exit_code,
}


@dataclass(frozen=True)
class Places:
    """Where things lie: results, the manifest's folder, the weights cache, and S3 (all None: embedded).

    `models`: those that may be asked for.
    """

    out: Path
    folder: Path
    cache: Path | None = None
    endpoint: str | None = None
    weights: str | None = None
    output: str | None = None
    models: Mapping[str, ModelCard] = field(default_factory=lambda: MODELS)

    @property
    def embedded(self) -> bool:
        return not (self.endpoint or self.weights or self.output or names_real_storage(os.environ))

    @property
    def title(self) -> str:
        """Which S3 that is, for people."""
        return EmbeddedStorage.title if self.embedded else RealStorage(self.endpoint).title


class Screen(Protocol):
    """Whatever shows a person what happens."""

    def show(self, status: Status) -> None: ...

    def note(self, text: str) -> None: ...


class Signal(Enum):
    """What wakes the loop, besides a report."""

    ENDED = "a process ended"
    CANCEL = "Ctrl-C"


Wake = SimpleQueue[Signal | Progress]


@dataclass
class Attempts:
    """The processes of this resource, and what they need to start. Storage is opened with the first."""

    launch: Launch
    issue_token: Callable[[int], str]
    open_storage: Callable[[], RealStorage | EmbeddedStorage]
    storage: RealStorage | EmbeddedStorage | None = None
    by_number: dict[int, AttemptProcess] = field(default_factory=dict)

    def apply(self, action: Action) -> None:
        """Carry out one action of a decision."""
        if isinstance(action, StartAttempt):
            number = action.task.attempt
            folder = self.launch.scratch / f"attempt-{number}"
            attempt = AttemptProcess(action.job, action.task, self.issue_token(number), folder)
            self.by_number.setdefault(number, attempt)
        elif isinstance(action, StopAttempt):
            self.by_number[action.number].stop(self.launch.grace_s)
        elif isinstance(action, DeleteAttempt):
            self.by_number.pop(action.number).delete()

    def advance(self) -> None:
        """Start what waits for storage, and let each process take note of time and of its end."""
        for attempt in self.by_number.values():
            attempt.advance()
            if attempt.process is None and not attempt.ended:
                self._begin(attempt)

    def _begin(self, attempt: AttemptProcess) -> None:
        """Start it if storage is there. Storage that ended fails the attempt; the next one opens another."""
        self.storage = self.storage or self.open_storage()
        try:
            environment = self.storage.environment()
        except WanError as error:
            self.storage = None
            attempt.fail(error)
            return
        if environment is not None:
            attempt.launch(self.launch, environment)

    def observe(self) -> tuple[Observed, ...]:
        return tuple(self.by_number[number].observe() for number in sorted(self.by_number))

    def next_look(self) -> float | None:
        """Seconds until `advance` may have something to do that wakes nobody."""
        now = time.monotonic()
        living = [a for a in self.by_number.values() if not a.ended]
        times = [STORAGE_POLL_S for a in living if a.process is None]
        times += [max(a.kill_at - now, 0.05) for a in living if a.kill_at is not None]
        return min(times, default=None)

    def kill(self) -> None:
        """End every process at once."""
        for attempt in self.by_number.values():
            attempt.kill()


def run_local(
    resource: VideoGeneration,
    places: Places,
    screen: Screen,
    command: Sequence[str] = RUNNER,
    read_machine: Callable[[], Inventory] = read_inventory,
    grace_s: float = GRACE_S,
    reference: bool = False,
) -> Status:
    """Drive the resource to its end, or until it is suspended, and return its last status.

    `command` stands in front of `run`, `serve` and `collect`; `read_machine` says what there is to run on;
    with `reference` stock diffusers makes the video.
    What no status can tell escapes: the video cannot be copied out.
    """
    places.out.mkdir(parents=True, exist_ok=True)
    image = None if not places.embedded else find_image(resource.spec.image, places.folder)
    named = image and (urlsplit(resource.spec.image or "").path.lstrip("/"), image)
    wake: Wake = SimpleQueue()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wan-")))
        log = places.out / f"{resource.metadata.name}.log"
        log.write_bytes(b"")

        def open_storage() -> RealStorage | EmbeddedStorage:
            if not places.embedded:
                return RealStorage(places.endpoint)
            folder = Path(tempfile.mkdtemp(prefix="s3-", dir=scratch))
            return stack.enter_context(EmbeddedStorage(command, folder, log, named or None))

        reports = stack.enter_context(ReportServer(resource.metadata.uid, wake.put))
        launch = Launch(
            command, scratch, log, places.cache, lambda: wake.put(Signal.ENDED), grace_s, reference
        )
        attempts = Attempts(launch, reports.issue_token, open_storage)
        stack.callback(attempts.kill)
        stack.enter_context(cancelling_on_signals(wake))
        world = World(
            metadata=resource.metadata,
            spec=resource.spec.model_copy(update={"retention": Retention()}),  # a file outlives its run
            status=resource.status,
            inventory=read_machine(),
            settings=settings_for(places, reports.url),
        )
        status = drive(world, attempts, wake, writer(resource, places, screen), read_machine)
        if status.output is not None and attempts.storage is not None:
            collect(status.output, places, resource.metadata.name, command, attempts.storage)
    return status


def settings_for(places: Places, report_url: str | None = None) -> Settings:
    """The administrator's side, for one machine: nothing will join it."""
    return Settings(
        weights=places.weights or EMBEDDED_WEIGHTS,
        output=places.output or EMBEDDED_VIDEOS,
        image_buckets=(EMBEDDED_INPUTS,) if places.embedded else None,
        report_url=report_url,
        inventory_may_grow=False,
        models=places.models,
    )


def drive(
    world: World,
    attempts: Attempts,
    wake: Wake,
    write: Callable[[Status], None],
    read_machine: Callable[[], Inventory],
) -> Status:
    """The loop. Returns once nothing is left to do and the status says that it ends here."""
    write(world.status)
    while True:
        if wake.empty():  # what a runner reported is told before its end is noted
            attempts.advance()
        lived = bool(world.living)
        world = replace(world, attempts=attempts.observe())
        if lived and not world.living:  # while it lives an attempt would be counted against itself
            world = replace(world, inventory=read_machine())
        decision = decide(world, datetime.now(UTC))
        for action in decision.actions:
            attempts.apply(action)
        changed = decision.status != world.status
        if changed:
            write(decision.status)
        world = replace(world, status=decision.status)
        if decision.actions or changed:
            continue
        if not world.living and (world.status.phase.finished or world.status.phase is Phase.SUSPENDED):
            return world.status
        event = wait(wake, decision.requeue_after_s, attempts.next_look())
        if event is Signal.CANCEL and world.spec is not None and world.spec.cancel:
            attempts.kill()
        world = receive(world, event)


def receive(world: World, event: Signal | Progress | None) -> World:
    """The world after an event: a report is the latest word, Ctrl-C edits the resource as kubectl would."""
    if isinstance(event, Progress):
        return replace(world, progress=event)
    if event is Signal.CANCEL and world.spec is not None and not world.spec.cancel:
        metadata = world.metadata.model_copy(update={"generation": world.metadata.generation + 1})
        return replace(world, metadata=metadata, spec=world.spec.model_copy(update={"cancel": True}))
    return world


def wait(wake: Wake, *limits: float | None) -> Signal | Progress | None:
    """The next thing that happens, or None after the shortest of the limits. One at a time, so that a person
    sees every stage, however short.
    """
    try:
        return wake.get(timeout=min((s for s in limits if s is not None), default=None))
    except Empty:
        return None


@contextmanager
def cancelling_on_signals(wake: Wake) -> Iterator[None]:
    """Within this, SIGINT, SIGTERM and SIGHUP ask for cancellation instead of ending the process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: wake.put(Signal.CANCEL)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def writer(resource: VideoGeneration, places: Places, screen: Screen) -> Callable[[Status], None]:
    """How a status is published: the whole file replaced at once, then shown."""
    path = places.out / f"{resource.metadata.name}.status.yaml"
    head = {"apiVersion": resource.api_version, "kind": resource.kind}
    metadata = {key: getattr(resource.metadata, key) for key in ("name", "namespace", "uid")}

    def write(status: Status) -> None:
        document = head | {"metadata": metadata, "status": status.to_dict()}
        draft = path.with_suffix(".yaml.draft")
        draft.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
        draft.replace(path)
        screen.show(status)

    return write


def collect(
    output: OutputStatus,
    places: Places,
    name: str,
    command: Sequence[str],
    storage: RealStorage | EmbeddedStorage,
) -> None:
    """Copy the video and its contact sheet to the out folder. Raises the runner's error if that fails."""
    video, sheet = places.out / f"{name}.mp4", places.out / f"{name}.png"
    done = subprocess.run(
        [*command, "collect", "--uri", output.uri, "--to", str(video), "--contact-sheet", str(sheet)],
        env=storage.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        why = " ".join(done.stderr.splitlines()[-1:])
        raise error_of_exit(done.returncode, f"the video lies at {output.uri} but was not copied out: {why}")


def exit_code(status: Status) -> int:
    """The exit status of `wan run`: 0 done or suspended, 130 cancelled, else that of the reason."""
    if status.phase is Phase.CANCELLED:
        return CTRL_C_EXIT_CODE
    if status.phase is Phase.FAILED:
        return EXIT_CODES_OF_REASONS.get(status.reason, TABLE[Category.INTERNAL].exit_code)
    return 0
