"""How an attempt tells of itself while the model is loaded, and after it."""

from __future__ import annotations

import pytest

from tests.wan_runner.tasks import build_task
from wan_core.errors import Interrupted
from wan_core.phases import Phase
from wan_core.task import Progress, Stage
from wan_runner.interrupt import Interruption
from wan_runner.report import Reporter
from wan_runner.result import Record
from wan_runner.watch import Watch


class Letters(Reporter):
    """A reporter that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(None, None)
        self.letters: list[Progress] = []

    def send(self, progress: Progress) -> None:
        self.letters.append(progress)


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def watch(letters: Letters) -> Watch:
    return Watch(Record(build_task()), letters, Interruption())


def test_the_stages_of_loading_tell_of_one_load(watch: Watch, letters: Letters) -> None:
    with watch.stage(Stage.STARTING):
        watch.load(Phase.INITIALIZATION, 0, 0)
    with watch.stage(Stage.FETCHING):
        watch.tell_load(Phase.DOWNLOAD, 0, 100)
        watch.tell_load(Phase.DOWNLOAD, 100, 100)
    with watch.stage(Stage.LOADING):
        watch.load(Phase.LOADING, 0, 100)
        watch.load(Phase.LOADING, 100, 100)
        watch.load(Phase.FINALIZATION, 1, 1)
    told = [(letter.stage, letter.load.phase) for letter in letters.letters if letter.load is not None]
    assert len(told) == len(letters.letters)
    assert told[-1] == (Stage.LOADING, Phase.FINALIZATION)
    assert (Stage.FETCHING, Phase.INITIALIZATION) in told  # that the stage began is told at once
    percents = [letter.load.percent for letter in letters.letters if letter.load is not None]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert watch.record.phases.keys() == {"initialization", "download", "loading"}


def test_what_comes_after_it_tells_of_itself(watch: Watch, letters: Letters) -> None:
    with watch.stage(Stage.DENOISING, total=20):
        watch.report(3, 20)
    assert [(letter.done, letter.load) for letter in letters.letters] == [(0, None), (3, None)]


def test_after_a_signal_the_loader_is_stopped_and_the_store_is_not(watch: Watch, letters: Letters) -> None:
    watch.interruption.requested.set()
    watch.tell_load(Phase.DOWNLOAD, 1, 4)
    with pytest.raises(Interrupted, match="during loading, at 2 of 4 bytes"):
        watch.load(Phase.LOADING, 2, 4)
    assert [letter.done for letter in letters.letters] == [1]


def test_memory_is_told_as_far_as_this_machine_tells_it(watch: Watch) -> None:
    watch.load(Phase.INITIALIZATION, 0, 0)
    assert (watch.loaded.rss_bytes or 0) > 2**20
    assert watch.loaded.device_bytes is None
