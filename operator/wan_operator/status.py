"""How a decision is told: phase, conditions, plan, progress. Pure, and the only writer of a Status.

The phase is computed in one place, `choose_phase`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from wan_core.api.conditions import REASON_MAX
from wan_core.api.status import (
    CAUTIONS_MAX,
    CURES_MAX,
    MESSAGE_MAX,
    NOTES_MAX,
    RUNGS_MAX,
    WORD_MAX,
    AttemptStatus,
    EstimateStatus,
    LoadStatus,
    OutputStatus,
    Phase,
    PhasePercents,
    PlanStatus,
    ProgressStatus,
    RungStatus,
    Status,
)
from wan_core.api.words import first_of, words_of_bytes, words_of_load
from wan_core.phases import UNITS
from wan_core.plan.cautions import find_warnings
from wan_core.plan.ladder_words import percents, why_this
from wan_core.plan.rungs import Ladder, Rung
from wan_core.plan.techniques import TECHNIQUES
from wan_core.task import LoadReport, Progress, Stage
from wan_operator.conditions import build_conditions
from wan_operator.history import cut, output_of
from wan_operator.jobs import output_prefix
from wan_operator.planning import Planned, Rejected
from wan_operator.reasons import Reason
from wan_operator.steps import End, Hold, Start, Step, Wait, Watch
from wan_operator.world import AttemptState, Observed, World

PHASE_OF_STAGE: Mapping[str, Phase] = MappingProxyType(
    {
        Stage.STARTING: Phase.STARTING,
        Stage.FETCHING: Phase.LOADING,
        Stage.LOADING: Phase.LOADING,
        Stage.ENCODING_TEXT: Phase.RUNNING,
        Stage.DENOISING: Phase.RUNNING,
        Stage.DECODING: Phase.RUNNING,
        Stage.ENCODING_VIDEO: Phase.RUNNING,
        Stage.UPLOADING: Phase.UPLOADING,
    }
)
BEFORE_DENOISING = (Stage.STARTING, Stage.FETCHING, Stage.LOADING, Stage.ENCODING_TEXT)


def build_status(
    world: World,
    planned: Planned | Rejected,
    history: Sequence[AttemptStatus],
    step: Step,
    now: datetime,
) -> Status:
    """The status to write: the whole story up to now."""
    output = build_output(world, planned, history)
    reason, message = tell(world, planned, history, step)
    if output is not None:
        message = "; ".join(text for text in (output.uri, message) if text)
    progress = build_progress(world, planned, step)
    phase = choose_phase(world, step, progress)
    plan = plan_in_force(world, planned, history, step)
    return Status(
        observed_generation=world.metadata.generation,
        phase=phase,
        reason=cut(reason, REASON_MAX),
        message=cut(message, MESSAGE_MAX),
        conditions=build_conditions(world, planned, step, plan, progress, now),
        warnings=list_warnings(world, planned, history, step),
        plan=plan,
        ladder=ladder_status(planned),
        attempts=list(history),
        interruptions=sum(a.outcome == "Interrupted" for a in history),
        progress=progress,
        output=output,
        seed=planned.requests[0].seed if isinstance(planned, Planned) else None,
    )


def choose_phase(world: World, step: Step, progress: ProgressStatus | None) -> Phase:
    """The one word for people. While an attempt lives it says what that attempt does."""
    if world.living:
        return _phase_of_attempt(world.living[-1], progress)
    match step:
        case End(phase=phase):
            return phase
        case Hold():
            return Phase.SUSPENDED
        case Wait(reason=reason) if reason == Reason.NO_PLAN_FITS:
            return Phase.PENDING
        case _:
            return Phase.PLANNED


def tell(
    world: World, planned: Planned | Rejected, history: Sequence[AttemptStatus], step: Step
) -> tuple[str, str]:
    """Reason and message of the status."""
    if isinstance(step, Start):
        return Reason.PLAN_CHOSEN, f"attempt {step.task.attempt}: {why_this(_carried(planned, step))}"
    if isinstance(step, Watch):
        return _tell_attempt(world, history[-1])
    if world.living:
        return Reason.STOPPING, f"stopping attempt {world.living[-1].number}: {step.message}"
    return step.reason, step.message


def plan_in_force(
    world: World, planned: Planned | Rejected, history: Sequence[AttemptStatus], step: Step
) -> PlanStatus | None:
    """The plan that runs, ran last, or will run first; None where there is none."""
    rung = rung_in_force(planned, history, step)
    if rung is None:
        return world.status.plan if history or isinstance(planned, Rejected) else None
    ran = history[-1].gpu if history and not isinstance(step, Start) else None
    return plan_status(rung, ran)


def rung_in_force(planned: Planned | Rejected, history: Sequence[AttemptStatus], step: Step) -> Rung | None:
    """The rung of that plan; None where the ladder of now does not have it."""
    if isinstance(planned, Rejected):
        return None
    if not history and not isinstance(step, Start):
        return next(iter(planned.ladder.runnable), None)
    first = step.task.rungs[0] if isinstance(step, Start) else None
    label = first.plan.label if first is not None else history[-1].plan
    # That of a Task is bare: times stay here.
    return next((rung for rung in planned.ladder.rungs if rung.plan.label == label), first)


def list_warnings(
    world: World, planned: Planned | Rejected, history: Sequence[AttemptStatus], step: Step
) -> list[str]:
    """What is slow or poor in the request and in the plan in force; what was said last if that is unknown."""
    rung = rung_in_force(planned, history, step)
    if isinstance(planned, Rejected) or world.spec is None or (rung is None and history):
        return list(world.status.warnings)
    model = rung.plan.model if rung is not None else planned.requests[0].model
    request = next(r for r in planned.requests if r.model == model)
    found = find_warnings(world.settings.models[model], world.spec, request, rung)
    return [cut(text) for text in first_of(found, CAUTIONS_MAX, "warnings")]


def plan_status(rung: Rung, device: str | None) -> PlanStatus:
    """A rung as the plan in force; `device` is the product that it was bound to, if it is known."""
    precision = next((t for t in rung.plan.techniques if TECHNIQUES[t].group == "precision"), "")
    return PlanStatus(
        label=rung.plan.label,
        model=rung.plan.model,
        precision=precision,
        techniques=[t for t in rung.plan.techniques if t != precision],
        tier=rung.tier,
        device=device or rung.plan.device,
        estimate=estimate_status(rung),
    )


def estimate_status(rung: Rung) -> EstimateStatus:
    """A rung's memory and time; no device memory for a plan on the CPU."""
    need, time, shares = rung.need, rung.time, percents(rung)
    on_device = rung.plan.device != "cpu"
    return EstimateStatus(
        vram_gib=round(need.peak_gib, 2) if on_device else None,
        host_gib=round(need.host_gib, 2),
        gpu=rung.product[:WORD_MAX] if on_device and rung.product else None,
        percents=phase_percents(shares) if shares is not None else None,
        seconds=round(time.total.middle, 1) if time is not None else None,
        seconds_low=round(time.total.low, 1) if time is not None else None,
        seconds_high=round(time.total.high, 1) if time is not None else None,
        basis=time.basis if time is not None else None,
        cost_low=round(rung.cost.low, 4) if rung.cost is not None else None,
        cost_high=round(rung.cost.high, 4) if rung.cost is not None else None,
    )


def phase_percents(shares: tuple[float, float, float]) -> PhasePercents:
    """Shares of a GPU's memory, text, denoise, decode, to a tenth."""
    text, denoise, decode = (round(share, 1) for share in shares)
    return PhasePercents(text=text, denoise=denoise, decode=decode)


def ladder_status(planned: Planned | Rejected) -> list[RungStatus]:
    """The ladder as the status shows it; empty where nothing could be planned."""
    return [rung_status(r) for r in planned.ladder.rungs[:RUNGS_MAX]] if isinstance(planned, Planned) else []


def rung_status(rung: Rung) -> RungStatus:
    """A rung as the status shows it."""
    return RungStatus(
        plan=rung.plan.label,
        tier=rung.tier,
        estimate=estimate_status(rung),
        verdict=rung.verdict,
        reason=cut(rung.reason),
        would_fit_if=[cut(text) for text in rung.would_fit_if[:CURES_MAX]],
        notes=[cut(note) for note in rung.notes[:NOTES_MAX]],
        job=rung.job,
    )


def build_progress(world: World, planned: Planned | Rejected, step: Step) -> ProgressStatus | None:
    """The living attempt's progress; what was last known after its end; 100 % after success."""
    before = world.status.progress
    if isinstance(step, End) and step.phase is Phase.SUCCEEDED:
        steps = planned.requests[0].steps if isinstance(planned, Planned) else 0
        steps = before.steps if before is not None and before.steps else steps
        return ProgressStatus(stage="Done", step=steps, steps=steps, percent=100)
    if not world.living:
        return before.model_copy(update={"eta": None}) if before is not None else None
    if all(a.number != world.living[-1].number for a in world.status.attempts):
        before = None
    report = living_report(world)
    return progress_status(report, before) if report is not None else before


def progress_status(report: Progress, before: ProgressStatus | None) -> ProgressStatus:
    """A report as the status shows it. `percent` is of loading as long as there is such a report, then of
    denoising: 0 before it, 100 after it.
    """
    denoising = report.stage is Stage.DENOISING
    early = report.stage in BEFORE_DENOISING
    steps = report.total if denoising else before.steps if before is not None else 0
    step = report.done if denoising else 0 if early else steps
    percent = 0 if early else 100 if not denoising else int(100 * step / steps) if steps else 0
    percent = int(report.load.percent) if report.load is not None else percent
    eta = report.time + timedelta(seconds=report.eta_seconds) if report.eta_seconds is not None else None
    return ProgressStatus(
        stage=report.stage.value,
        step=step,
        steps=steps,
        percent=min(percent, 100),
        seconds_per_step=report.seconds_per_step or (before.seconds_per_step if before is not None else None),
        load=load_status(report.load) if report.load is not None else None,
        eta=eta,
        updated=report.time,
    )


def load_status(load: LoadReport) -> LoadStatus:
    """Where the loading stands, as the status shows it."""
    return LoadStatus(
        phase=load.phase.value,
        done=load.done,
        total=load.total,
        unit=UNITS[load.phase],
        rate=load.rate,
        rss_bytes=load.rss_bytes,
        cgroup_bytes=load.cgroup_bytes,
        vram_bytes=load.device_bytes,
    )


def tell_load(load: LoadStatus) -> str:
    """`download, 12.3 GiB of 69.1 GiB, 1.1 GiB/s`."""
    amount = words_of_load(load.done, load.total, load.unit, load.rate)
    return f"{load.phase}, {amount}" if amount else load.phase


def living_report(world: World) -> Progress | None:
    """The latest report, if it is the living attempt's."""
    report = world.progress
    return (
        report if report is not None and world.living and report.attempt == world.living[-1].number else None
    )


def build_output(
    world: World, planned: Planned | Rejected, history: Sequence[AttemptStatus]
) -> OutputStatus | None:
    """The video of the attempt that succeeded; without its Result, what can be computed about it."""
    done = next((a for a in history if a.outcome == "Succeeded"), None)
    if done is None:
        return None
    known = output_of(world, done.number) or world.status.output
    if known is not None or isinstance(planned, Rejected):
        return known
    model = (done.plan or "").split("/")[0]
    request = next((r for r in planned.requests if r.model == model), planned.requests[0])
    prefix = output_prefix(world.metadata, world.settings.output, done.number)
    return OutputStatus(
        uri=f"{prefix}video.mp4",
        manifest=f"{prefix}manifest.json",
        width=request.width,
        height=request.height,
        frames=request.frames,
        fps=request.fps,
    )


def _carried(planned: Planned | Rejected, start: Start) -> Ladder:
    """The rungs of the attempt as the ladder has them: the Task holds only what a runner needs."""
    assert isinstance(planned, Planned), "an attempt starts with a plan"
    known = {rung.plan.label: rung for rung in planned.ladder.rungs}
    return Ladder(rungs=tuple(known[rung.plan.label] for rung in start.task.rungs))


def _phase_of_attempt(attempt: Observed, progress: ProgressStatus | None) -> Phase:
    if attempt.state is AttemptState.PENDING:
        return Phase.QUEUED if attempt.node is None else Phase.STARTING
    return PHASE_OF_STAGE.get(progress.stage, Phase.STARTING) if progress is not None else Phase.STARTING


def _tell_attempt(world: World, attempt: AttemptStatus) -> tuple[str, str]:
    seen = world.living[-1]
    if seen.waiting is not None and seen.state is AttemptState.PENDING:
        return seen.waiting
    report = living_report(world)
    if report is None:
        return Reason.STARTING, f"attempt {attempt.number}: {attempt.plan} is tried first"
    where = f" on {attempt.gpu}" if attempt.gpu else ""
    text = f"attempt {attempt.number}: {attempt.plan}{where}"
    if report.load is not None:
        text += f"; {tell_load(load_status(report.load))}"
    elif report.stage is Stage.UPLOADING and report.total:
        text += f"; {words_of_bytes(report.done)} of {words_of_bytes(report.total)}"
    if attempt.refused:
        text += f"; better plans refused: {'; '.join(attempt.refused)}"
    return report.stage.value, text
