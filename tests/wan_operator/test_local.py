"""Local mode with real processes: a scripted runner stands where `wan_runner` would."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.controlplane.process import wait_until
from tests.wan_operator.watcher import RUNNER, Watcher
from tests.wan_operator.worlds import GPU_NODES, NO_NODES, UID, spec_of
from wan_core.api.status import Metadata, Phase, Status, VideoGeneration
from wan_core.errors import AccessDenied, InvalidInput
from wan_core.plan.inventory import Inventory
from wan_operator.local import Places, exit_code, run_local


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Status]:
    """Runs a resource through local mode, the attempts as scripted; the last status."""
    monkeypatch.setenv("WITNESS", str(tmp_path / "witness"))
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)

    def run(
        *script: str | int,
        screen: Watcher | None = None,
        machine: Inventory = GPU_NODES,
        places: dict[str, Any] | None = None,
        grace_s: float = 10.0,
        reference: bool = False,
        **spec: Any,
    ) -> Status:
        monkeypatch.setenv("SCRIPT", json.dumps(script))
        metadata = Metadata(name="corgi", uid=UID, creation_timestamp=datetime.now(UTC))
        resource = VideoGeneration(
            api_version="wan.video/v1alpha1", kind="VideoGeneration", metadata=metadata, spec=spec_of(**spec)
        )
        where = Places(**({"out": tmp_path / "out", "folder": tmp_path} | (places or {})))
        return run_local(resource, where, screen or Watcher(), RUNNER, lambda: machine, grace_s, reference)

    return run


def witnessed(tmp_path: Path, key: str) -> list[Any]:
    lines = (json.loads(line) for line in (tmp_path / "witness").read_text().splitlines())
    return [line[key] for line in lines if key in line]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_manifest_becomes_a_video_a_contact_sheet_and_a_status(
    play: Callable[..., Status], tmp_path: Path
) -> None:
    screen = Watcher()
    status = play("ok", screen=screen)
    assert (status.phase, exit_code(status)) == (Phase.SUCCEEDED, 0)
    assert screen.phases[:2] == [Phase.PENDING, Phase.PLANNED]
    assert screen.phases[-1] is Phase.SUCCEEDED
    uri = f"s3://videos/default/{UID}/1/video.mp4"
    assert (tmp_path / "out/corgi.mp4").read_text() == f"a copy of {uri}"
    assert (tmp_path / "out/corgi.png").exists()
    document = yaml.safe_load((tmp_path / "out/corgi.status.yaml").read_text())
    assert Status.model_validate(document["status"]) == status
    assert document["status"]["output"]["uri"] == uri


def test_phases_follow_the_reports(play: Callable[..., Status]) -> None:
    screen = Watcher(lambda status: status.phase is Phase.RUNNING, interrupt)
    play("hang", screen=screen)
    assert screen.phases == [
        Phase.PENDING,
        Phase.PLANNED,
        Phase.STARTING,
        Phase.LOADING,
        Phase.RUNNING,
        Phase.CANCELLED,
    ]
    assert screen.seen[-2].progress is not None
    assert screen.seen[-2].progress.percent == 50


def test_every_stage_is_shown_though_the_runner_ended_long_before(
    play: Callable[..., Status], tmp_path: Path
) -> None:
    def outlive_the_runner() -> None:
        wait_until(lambda: is_gone(witnessed(tmp_path, "pid")[0]), 60, "it does not end")

    screen = Watcher(lambda status: status.phase is Phase.LOADING, outlive_the_runner)
    play("ok", screen=screen)
    assert screen.phases[-4:] == [Phase.LOADING, Phase.RUNNING, Phase.UPLOADING, Phase.SUCCEEDED]


@pytest.mark.parametrize("reference", [False, True])
def test_the_runner_is_told_to_run_the_reference_where_it_is_asked_for(
    reference: bool, play: Callable[..., Status], tmp_path: Path
) -> None:
    play("ok", reference=reference)
    (argv,) = witnessed(tmp_path, "argv")
    assert ("--reference" in argv) is reference


def test_after_cuda_out_of_memory_the_next_plan_makes_the_video(play: Callable[..., Status]) -> None:
    status = play(71, "ok")
    first, second = status.attempts
    assert (first.outcome, first.category) == ("Failed", "CUDA_OUT_OF_MEMORY")
    assert second.outcome == "Succeeded"
    assert second.plan != first.plan
    assert status.phase is Phase.SUCCEEDED


def test_when_no_plan_is_left_it_fails_with_the_category_and_its_exit_code(
    play: Callable[..., Status],
) -> None:
    status = play(*[72] * 16)
    assert (status.reason, exit_code(status)) == ("HostOutOfMemory", 72)
    assert "no plan is left" in status.message


def test_a_failure_that_no_plan_avoids_ends_it_at_once(play: Callable[..., Status]) -> None:
    status = play(77)
    assert (status.reason, len(status.attempts), exit_code(status)) == ("AccessDenied", 1, 77)
    assert "as scripted: ACCESS_DENIED" in status.message


def test_a_killed_runner_is_an_interruption_and_is_tried_again(play: Callable[..., Status]) -> None:
    status = play("kill", "ok")
    assert [a.outcome for a in status.attempts] == ["Interrupted", "Succeeded"]
    assert status.attempts[0].plan == status.attempts[1].plan
    assert status.interruptions == 1


@pytest.mark.slow
def test_a_network_error_is_tried_again_after_a_while(play: Callable[..., Status]) -> None:
    screen = Watcher()
    status = play(69, "ok", screen=screen)
    assert [a.outcome for a in status.attempts] == ["Failed", "Succeeded"]
    assert "BackOff" in [s.reason for s in screen.seen]


def test_ctrl_c_cancels_and_leaves_no_video_and_no_process(
    play: Callable[..., Status], tmp_path: Path
) -> None:
    status = play("hang", screen=Watcher(lambda s: s.phase is Phase.RUNNING, interrupt))
    assert (status.phase, status.attempts[0].outcome, exit_code(status)) == (
        Phase.CANCELLED,
        "Cancelled",
        130,
    )
    assert not list((tmp_path / "out").glob("corgi.mp4"))
    assert is_gone(witnessed(tmp_path, "pid")[0])
    assert is_gone(witnessed(tmp_path, "server")[0])
    assert play("ok").phase is Phase.SUCCEEDED


def test_a_runner_that_ignores_sigterm_is_killed_after_the_grace_period(
    play: Callable[..., Status], tmp_path: Path
) -> None:
    status = play("deaf", screen=Watcher(lambda s: s.phase is Phase.RUNNING, interrupt), grace_s=0.2)
    assert status.phase is Phase.CANCELLED
    assert is_gone(witnessed(tmp_path, "pid")[0])


def test_a_second_ctrl_c_kills_at_once(play: Callable[..., Status], tmp_path: Path) -> None:
    class Impatient(Watcher):
        def show(self, status: Status) -> None:
            super().show(status)
            if status.phase is Phase.RUNNING or status.reason == "Stopping":
                interrupt()

    status = play("deaf", screen=Impatient(), grace_s=3600.0)
    assert status.phase is Phase.CANCELLED
    assert is_gone(witnessed(tmp_path, "pid")[0])


def test_ctrl_c_while_the_server_starts_cancels(play: Callable[..., Status], tmp_path: Path) -> None:
    status = play("ok", screen=Watcher(lambda s: s.phase is Phase.PENDING, interrupt))
    assert status.phase is Phase.CANCELLED
    assert not (tmp_path / "out/corgi.mp4").exists()


def test_ctrl_c_means_again_what_it_meant_once_it_is_over(play: Callable[..., Status]) -> None:
    before = signal.getsignal(signal.SIGINT)
    play("ok")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_suspended_manifest_is_planned_and_nothing_is_started(
    play: Callable[..., Status], tmp_path: Path
) -> None:
    status = play(suspend=True)
    assert (status.phase, exit_code(status)) == (Phase.SUSPENDED, 0)
    assert status.ladder
    assert not (tmp_path / "witness").exists()


def test_what_fits_nothing_ends_as_incompatible_hardware(play: Callable[..., Status]) -> None:
    status = play(machine=NO_NODES)
    assert (status.reason, exit_code(status)) == ("NoPlanFits", 74)


def test_the_run_deadline_stops_a_hanging_runner(play: Callable[..., Status]) -> None:
    status = play("hang", deadlines={"run": "1s"})
    assert (status.reason, exit_code(status)) == ("RunDeadlineExceeded", 76)


def test_prompt_and_token_are_in_private_files_only(play: Callable[..., Status], tmp_path: Path) -> None:
    play("ok", prompt="a canary sings")
    (argv,), (token,), (environment,) = (witnessed(tmp_path, key) for key in ("argv", "token", "env"))
    told = " ".join(argv) + " ".join(environment.values())
    assert "canary" not in told
    assert token not in told
    assert witnessed(tmp_path, "folder_mode") == ["0o700"]
    assert witnessed(tmp_path, "task_mode") == ["0o600"]
    assert witnessed(tmp_path, "group_leader") == [True]
    task = Path(argv[argv.index("--task") + 1])
    assert environment["TMPDIR"] == str(task.parent)
    assert not task.parent.exists()


def test_each_attempt_has_a_token_of_its_own(play: Callable[..., Status], tmp_path: Path) -> None:
    play(71, "ok")
    first, second = witnessed(tmp_path, "token")
    assert first != second


def test_the_embedded_server_replaces_the_callers_aws_settings(
    play: Callable[..., Status], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
    play("ok")
    (environment,) = witnessed(tmp_path, "env")
    settings = {name: value for name, value in environment.items() if name.startswith("AWS_")}
    assert settings["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:9"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & settings.keys()


def test_a_real_endpoint_keeps_the_callers_credentials_and_starts_no_server(
    play: Callable[..., Status], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    play("ok", places={"endpoint": "http://127.0.0.1:10", "weights": "s3://w", "output": "s3://o/p"})
    (environment,), (task,) = witnessed(tmp_path, "env"), witnessed(tmp_path, "task")
    assert (environment["AWS_PROFILE"], environment["AWS_ENDPOINT_URL_S3"]) == ("work", "http://127.0.0.1:10")
    assert (task["weights"], task["output"]) == ("s3://w", f"s3://o/p/default/{UID}/1/")
    assert witnessed(tmp_path, "server") == []


def test_the_embedded_server_is_shown_the_asked_image_and_no_other_file(
    play: Callable[..., Status], tmp_path: Path
) -> None:
    for name in ("corgi.png", "private.png"):
        (tmp_path / name).write_bytes(b"png")
    play("ok", model="ti2v-5B", image="s3://inputs/corgi.png")
    assert witnessed(tmp_path, "images") == [["corgi.png"]]


def test_an_image_that_is_not_there_is_refused_with_the_name_of_the_folder(
    play: Callable[..., Status], tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=f"no file corgi.png; s3://inputs/ is the folder .* {tmp_path}"):
        play("ok", model="ti2v-5B", image="s3://inputs/corgi.png")


def test_a_server_that_does_not_start_fails_the_attempt_and_the_status_says_so(
    play: Callable[..., Status], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVE", "dies")
    status = play("ok")
    assert (status.phase, status.reason) == (Phase.FAILED, "InternalError")
    assert "attempt 1: the embedded S3 server ended" in status.message


def test_a_server_that_was_stopped_is_replaced_for_the_next_attempt(
    play: Callable[..., Status], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVE", "dies once")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    status = play("ok", "ok")
    assert [attempt.outcome for attempt in status.attempts] == ["Interrupted", "Succeeded"]


def test_a_video_that_cannot_be_copied_out_is_an_error_of_its_category(
    play: Callable[..., Status], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECT", "fails")
    with pytest.raises(AccessDenied, match="no such video"):
        play("ok")
