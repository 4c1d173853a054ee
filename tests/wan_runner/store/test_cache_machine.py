"""Readers, fetches and evictions in any order: no reader ever misses bytes while it holds its leases.

Every step is one that a process could take between any two steps of the others: an eviction is taken apart
into choosing and removing one by one, a fetch into its beginning and its end, and all of them hold the real
locks, which belong to open files and not to threads.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from tests.wan_runner.store.caches import (
    Source,
    blob_of,
    model_of,
    never,
    open_roomy,
    silent,
    tensors_of,
)
from wan_runner.store.evict import Candidate, evict_one, find_candidates
from wan_runner.store.fetch import FetchedModel, kept
from wan_runner.store.leases import leased, locked
from wan_runner.store.scrub import quarantine_blob
from wan_runner.store.sweep import sweep
from wan_runner.store.tree import MARK

SHARED = tensors_of(99)
MODELS = {n: {"w.safetensors": tensors_of(n), "t.safetensors": SHARED} for n in range(3)}
SOURCE = Source(SHARED, *(tensors_of(n) for n in MODELS))


class Reader:
    """Somebody who uses a model: the first file is open all the time, as a mapped one would be."""

    def __init__(self, number: int, held: AbstractContextManager[FetchedModel]) -> None:
        self.number, self.held = number, held
        self.model = held.__enter__()
        self.open = (self.model.path / "w.safetensors").open("rb")

    def check(self) -> None:
        for name, data in MODELS[self.number].items():
            assert (self.model.path / name).read_bytes() == data
        assert (self.model.path / MARK).exists()
        self.open.seek(0)
        assert self.open.read() == MODELS[self.number]["w.safetensors"]

    def close(self) -> None:
        self.open.close()
        self.held.__exit__(None, None, None)


class CacheMachine(RuleBasedStateMachine):
    readers = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="wan-cache-"))
        self.cache = open_roomy(self.folder)
        self.living: list[Reader] = []
        self.chosen: list[Candidate] = []
        self.fetching: dict[str, ExitStack] = {}

    @rule(target=readers, number=st.sampled_from(sorted(MODELS)))
    def begin_to_read(self, number: int) -> Reader:
        for blob in model_of(MODELS[number]).distinct():  # who fetches it would be waited for
            self.stop_fetching(blob.name)
        held = kept(self.cache, model_of(MODELS[number]), SOURCE, never(), silent)
        self.living.append(reader := Reader(number, held))
        return reader

    @rule(reader=readers)
    def read(self, reader: Reader) -> None:
        reader.check()

    @rule(reader=consumes(readers))
    def stop_reading(self, reader: Reader) -> None:
        reader.check()
        reader.close()
        self.living.remove(reader)

    @rule(number=st.sampled_from(sorted(MODELS)))
    def begin_to_fetch(self, number: int) -> None:
        """A process that has its lease and its partial file, and no byte yet."""
        name = blob_of(tensors_of(number)).name
        if name not in self.fetching:
            with ExitStack() as stack:
                stack.enter_context(leased(self.cache.leases, [name], never()))
                part = stack.enter_context(locked(self.cache.ingest / f"{name}.part", never(), "fetching"))
                part.write(b"half")
                self.fetching[name] = stack.pop_all()

    @rule(number=st.sampled_from(sorted(MODELS)))
    def die_while_fetching(self, number: int) -> None:
        """The kernel closes its files; what it wrote stays."""
        self.stop_fetching(blob_of(tensors_of(number)).name)

    def stop_fetching(self, name: str) -> None:
        if name in self.fetching:
            self.fetching.pop(name).close()

    @rule()
    def choose_what_goes(self) -> None:
        self.chosen = find_candidates(self.cache)

    @precondition(lambda self: self.chosen)
    @rule(data=st.data())
    def remove_one(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.chosen))
        self.chosen.remove(chosen)
        evict_one(self.cache, chosen)

    @rule(age_s=st.sampled_from([0.0, 3600.0]))
    def sweep_up(self, age_s: float) -> None:
        sweep(self.cache, age_s=age_s)

    @rule(number=st.sampled_from(sorted(MODELS)))
    def find_a_blob_wrong(self, number: int) -> None:
        quarantine_blob(self.cache, blob_of(tensors_of(number)).name, "as a test says")

    @invariant()
    def every_name_stands_for_all_its_bytes(self) -> None:
        for blob in self.cache.blobs.iterdir():
            assert blob.name == blob_of(blob.read_bytes()).name

    @invariant()
    def every_reader_has_its_model(self) -> None:
        for reader in self.living:
            reader.check()

    @invariant()
    def what_is_being_fetched_stays(self) -> None:
        for name in self.fetching:
            assert (self.cache.ingest / f"{name}.part").exists()

    def teardown(self) -> None:
        for reader in self.living:
            reader.close()
        for name in list(self.fetching):
            self.stop_fetching(name)
        shutil.rmtree(self.folder)


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
