"""What to do about a load that failed: which object, how much of it, and the next command.

Said where all of that is known, after the advice of whoever failed; that stands alone if it names a command.
Of what fails once the model is there only memory has to do with the load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from wan_core.api.words import words_of_bytes, words_of_load
from wan_core.errors import Category, WanError
from wan_core.phases import BYTES, LoadProgress
from wan_runner.bind import Bound


@dataclass(frozen=True)
class Load:
    """Which model is loaded, how far that came, and for which plan; None where it is only fetched."""

    uri: str
    at: LoadProgress
    bound: Bound | None = None

    @property
    def arrived(self) -> str:
        """`1.2 GiB of 69.1 GiB are here and kept`, if bytes were counted."""
        if self.at.unit != BYTES or not self.at.total:
            return "What has arrived is kept"
        return f"{words_of_load(self.at.done, self.at.total, BYTES, None)} are here and kept"

    @property
    def ended(self) -> bool:
        """Whether the model is there."""
        return self.at.percent == 100

    @property
    def folder(self) -> str:
        """Where the model lies, with others beside it: the bucket itself if no more was named."""
        uri = self.uri.rstrip("/")
        parent = uri.rpartition("/")[0]
        return f"{uri if parent == 's3:/' else parent}/"


@contextmanager
def advised(load: Callable[[], Load]) -> Iterator[None]:
    """Errors that leave this know what to do next."""
    try:
        yield
    except WanError as error:
        step, now = NEXT.get(error.category), load()
        about_weights = error.category not in MEMORY
        if step is not None and "`wan " not in error.advice and not (about_weights and now.ended):
            error.advice = f"{error.advice} {step(now)}".rstrip()
        raise


def _verify(load: Load) -> str:
    return (
        f"`wan weights verify {load.uri} --deep` tells which files differ; "
        f"`wan weights publish SRC {load.uri}`."
    )


def _publish(load: Load) -> str:
    uri = f"{load.folder}MODEL-ID" if load.folder.rstrip("/") == load.uri.rstrip("/") else load.uri
    return f"`wan weights ls {load.folder}` shows what is there; `wan weights publish SRC {uri}`."


def _reach(load: Load) -> str:
    return f"`wan weights ls {load.folder}` asks it. {load.arrived}: it goes on from there."


def _try(load: Load) -> str:
    if load.bound is None:  # it was tried by hand
        return ""
    return f"Then try it by hand: `wan weights fetch {load.uri}`."


def _make_room(load: Load) -> str:
    return f"`wan weights gc --dry-run` shows what could go. {load.arrived}: it goes on from there."


def _convert(load: Load) -> str:
    return f"`wan weights publish SRC {load.uri} --encoders-from DIR` does."


def _give_host_memory(load: Load) -> str:
    if load.bound is None:
        return f"Then again: `wan weights fetch {load.uri}`."
    rung, used = load.bound.rung, load.at.rss_bytes
    taken = f"; the runner held {words_of_bytes(used)}" if used is not None else ""
    return (
        f"{rung.plan.label} is to need {rung.memory.host_gib:.1f} GiB of host memory{taken}. "
        "`wan run --explain MANIFEST` shows what needs less."
    )


def _give_device_memory(load: Load) -> str:
    assert load.bound is not None, "nothing is fetched into a GPU"
    rung, device = load.bound.rung, load.bound.device
    return (
        f"{rung.plan.label} is to need {rung.memory.peak_gib:.1f} GiB of {device.product}, which had "
        f"{device.free_gib:.1f} GiB free. `wan run --explain MANIFEST` shows what needs less."
    )


def _go_on(load: Load) -> str:
    return f"{load.arrived}; by hand: `wan weights fetch {load.uri}`."


MEMORY = (Category.HOST_OUT_OF_MEMORY, Category.CUDA_OUT_OF_MEMORY)
NEXT: Mapping[Category, Callable[[Load], str]] = MappingProxyType(
    {
        Category.INTEGRITY_ERROR: _verify,
        Category.MODEL_NOT_FOUND: _publish,
        Category.NETWORK_ERROR: _reach,
        Category.ACCESS_DENIED: _try,
        Category.INSUFFICIENT_DISK_SPACE: _make_room,
        Category.TRUST_REMOTE_CODE: _convert,
        Category.HOST_OUT_OF_MEMORY: _give_host_memory,
        Category.CUDA_OUT_OF_MEMORY: _give_device_memory,
        Category.INTERRUPTED: _go_on,
    }
)
