"""What a person sees while a model is loaded."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from wan_core.load_bar import LoadBar, words_of
from wan_core.phases import BYTES, ITEMS, LoadProgress, Phase

GIB = 2**30


def at(percent: float, phase: Phase = Phase.DOWNLOAD, total: int = 100 * GIB) -> LoadProgress:
    return LoadProgress(phase, int(percent) * GIB, total, BYTES, percent, rate=GIB, eta_s=59.6)


def follow(*looks: LoadProgress, terminal: bool = False) -> str:
    text = io.StringIO()
    with LoadBar(Console(file=text, force_terminal=terminal, width=160)) as bar:
        for look in looks:
            bar.show(look)
    return text.getvalue()


def test_a_terminal_gets_a_bar_which_is_gone_afterwards() -> None:
    text = follow(at(41), terminal=True)
    assert "download" in text
    assert "41.0 GiB of 100.0 GiB, 1.0 GiB/s, ETA 60 s" in text
    assert text.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


def test_plain_output_has_a_line_for_each_tenth() -> None:
    lines = follow(at(0, total=0), *[at(n) for n in range(0, 100, 4)]).splitlines()
    assert [line.split()[0] for line in lines] == ["12", "24", "36", "48", "60", "72", "84", "96"]
    assert lines[0] == "12 %  download: 12.0 GiB of 100.0 GiB, 1.0 GiB/s, ETA 60 s"
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("look", "words"),
    [
        pytest.param(LoadProgress(Phase.INITIALIZATION, 0, 0, ITEMS, 0.0), "", id="nothing is known"),
        pytest.param(LoadProgress(Phase.CACHE_CHECK, 2, 9, ITEMS, 1.0, rate=4.0), "2 of 9", id="items"),
        pytest.param(
            LoadProgress(Phase.LOADING, GIB, 2 * GIB, BYTES, 9.0, rss_bytes=3 * GIB, device_bytes=GIB),
            "1.0 GiB of 2.0 GiB, memory 3.0 GiB, GPU 1.0 GiB",
            id="memory",
        ),
    ],
)
def test_what_is_known_is_told(look: LoadProgress, words: str) -> None:
    assert words_of(look) == words
