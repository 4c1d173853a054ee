"""Each category of failure that can arise in loading, by what really raises it: its advice says what to do.

The object stands in the message or the advice, the number too where there is one, and the next command in the
advice.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.wan_runner.store.models import files_of, written
from tests.wan_runner.tasks import build_rung, build_task
from wan_core.errors import TABLE, AccessDenied, Category, Interrupted, WanError
from wan_core.phases import BYTES, ITEMS, LoadProgress, Phase
from wan_core.pipeline.faults import typed_faults
from wan_runner.advice import NEXT, Load, advised
from wan_runner.attempt import fetch_model
from wan_runner.bind import Bound
from wan_runner.devices import find_cpu
from wan_runner.interrupt import Interruption
from wan_runner.report import Reporter
from wan_runner.result import Record
from wan_runner.store.publish import publish
from wan_runner.watch import Watch

URI = "s3://weights/m"
WEIGHTS = "transformer/model.safetensors"
COMMAND = re.compile(r"`wan (weights (ls|verify|fetch|publish|gc)|run --explain|models)[^`]*`")


class Stage:
    """What a case may turn: S3, the environment, the cache's folder, the signal."""

    def __init__(self, s3: Any, aws: pytest.MonkeyPatch, folder: Path) -> None:
        self.s3, self.aws, self.folder = s3, aws, folder
        self.cache = folder / "cache"
        self.watch = Watch(Record(build_task()), Reporter(None, None), Interruption())
        publish(written(folder / "src", files_of()), "m", URI)

    def fetch(self, uri: str = URI) -> WanError:
        bound = Bound(build_rung(), find_cpu(), ())
        with (
            pytest.raises(WanError) as failure,
            advised(lambda: Load(uri, self.watch.loaded, bound)),
            typed_faults(),
            ExitStack() as held,
        ):
            fetch_model(uri, self.cache, self.watch, held)
        return failure.value


def flip(stage: Stage) -> WanError:
    body = bytearray(stage.s3.get_object(Bucket="weights", Key=f"m/{WEIGHTS}")["Body"].read())
    body[-1] ^= 1
    stage.s3.put_object(Bucket="weights", Key=f"m/{WEIGHTS}", Body=bytes(body))
    return stage.fetch()


def hang_up(stage: Stage) -> WanError:
    stage.aws.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    return stage.fetch()


def fill_up(stage: Stage) -> WanError:
    stage.aws.setenv("WAN_CACHE_MAX_BYTES", "100")
    return stage.fetch()


def forget_keys(stage: Stage) -> WanError:
    stage.aws.delenv("AWS_ACCESS_KEY_ID")
    stage.aws.delenv("AWS_SECRET_ACCESS_KEY")
    return stage.fetch()


def lock_up(stage: Stage) -> WanError:
    stage.cache.write_bytes(b"a file where a folder is to be")
    return stage.fetch()


def ask_for_code(stage: Stage) -> WanError:
    files = files_of() | {"transformer/config.json": b'{"auto_map": {"AutoModel": "evil.Model"}}'}
    for name, data in files.items():
        stage.s3.put_object(Bucket="weights", Key=f"raw/{name}", Body=data, ChecksumAlgorithm="CRC64NVME")
    return stage.fetch("s3://weights/raw")


def stop(stage: Stage) -> WanError:
    stage.watch.interruption.requested.set()
    return stage.fetch()


CASES: dict[str, tuple[Category, Callable[[Stage], WanError], tuple[str, ...]]] = {
    "a flipped byte": (Category.INTEGRITY_ERROR, flip, (f"{URI}/{WEIGHTS}", f"verify {URI} --deep")),
    "no such model": (
        Category.MODEL_NOT_FOUND,
        lambda stage: stage.fetch("s3://weights/mm"),
        ("s3://weights/mm", "ls s3://weights/`", "nearest: m"),
    ),
    "a bucket and no model": (
        Category.MODEL_NOT_FOUND,
        lambda stage: stage.fetch("s3://weights"),
        ("ls s3://weights/`", "publish SRC s3://weights/MODEL-ID`"),
    ),
    "nobody answers": (Category.NETWORK_ERROR, hang_up, (URI, "127.0.0.1:1", "ls s3://weights/`")),
    "a limit that is too low": (Category.INSUFFICIENT_DISK_SPACE, fill_up, ("/cache", "gc --dry-run")),
    "no credentials": (Category.ACCESS_DENIED, forget_keys, (URI, f"fetch {URI}")),
    "a folder that is none": (Category.ACCESS_DENIED, lock_up, ("/cache", f"fetch {URI}")),
    "code of its own": (Category.TRUST_REMOTE_CODE, ask_for_code, ("s3://weights/raw", "`wan models`")),
    "a signal": (Category.INTERRUPTED, stop, (URI, f"fetch {URI}")),
}


@pytest.mark.parametrize("name", CASES)
def test_what_fails_in_fetching_says_what_to_do(
    name: str, s3: Any, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    category, cause, words = CASES[name]
    error = cause(Stage(s3, aws, tmp_path))
    assert error.category is category
    told = f"{error.message}. {error.advice}"
    assert [word for word in words if word not in told] == []
    assert COMMAND.search(error.advice), error.advice
    assert len(error.advice) <= 512


class OutOfMemoryError(RuntimeError):
    """As torch names it, which need not be loaded for that."""


MEMORY = {
    "the host's": (MemoryError(), Category.HOST_OUT_OF_MEMORY, ("12.5 GiB of host memory", "held 3.0 GiB")),
    "the GPU's": (
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        Category.CUDA_OUT_OF_MEMORY,
        ("2.00 GiB", "12.5 GiB of CPU"),
    ),
}


@pytest.mark.parametrize("whose", MEMORY)
def test_memory_that_runs_out_is_told_with_what_was_planned(whose: str) -> None:
    cause, category, words = MEMORY[whose]
    at = LoadProgress(Phase.LOADING, 1, 2, BYTES, 50.0, rss_bytes=3 * 2**30)
    load = Load(URI, at, Bound(build_rung(gib=12.5), find_cpu(), ()))
    with pytest.raises(WanError) as failure, advised(lambda: load), typed_faults():
        raise cause
    told = f"{failure.value.message}. {failure.value.advice}"
    assert failure.value.category is category
    assert [word for word in words if word not in told] == []
    assert COMMAND.search(failure.value.advice)


def test_every_category_of_loading_has_its_next_step() -> None:
    raised = {category for category, *_ in CASES.values()} | {category for _, category, _ in MEMORY.values()}
    assert raised == set(NEXT)
    assert set(TABLE) - set(NEXT) == {
        Category.INVALID_INPUT,  # names the field or variable itself
        Category.INTERNAL,
        Category.INCOMPATIBLE_HARDWARE,  # arises before anything is loaded
        Category.DEADLINE_EXCEEDED,  # told by the operator
    }


@pytest.mark.parametrize(
    ("error", "is_about_it"),
    [
        pytest.param(Interrupted("told to stop while Denoising"), False, id="a signal"),
        pytest.param(MemoryError(), True, id="memory"),
    ],
)
def test_once_the_model_is_there_only_memory_has_to_do_with_it(error: Exception, is_about_it: bool) -> None:
    at = LoadProgress(Phase.FINALIZATION, 1, 1, ITEMS, 100.0)
    load = Load(URI, at)
    with pytest.raises(WanError) as failure, advised(lambda: load), typed_faults():
        raise error
    assert (failure.value.advice != failure.value.row.advice) is is_about_it


def test_who_tried_by_hand_is_not_told_to_try_by_hand() -> None:
    at = LoadProgress(Phase.INITIALIZATION, 0, 0, ITEMS, 0.0)
    with pytest.raises(AccessDenied) as failure, advised(lambda: Load(URI, at)):
        raise AccessDenied("cannot write x", advice="Name a folder that this user may write.")
    assert failure.value.advice == "Name a folder that this user may write."


def test_what_has_arrived_is_told() -> None:
    at = LoadProgress(Phase.DOWNLOAD, 3 << 20, 5 << 20, BYTES, 50.0)
    load = Load(URI, at)
    assert "3.0 MiB of 5.0 MiB are here and kept" in NEXT[Category.NETWORK_ERROR](load)
