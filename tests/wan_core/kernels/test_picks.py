from __future__ import annotations

import json
from pathlib import Path

import pytest

from wan_core.kernels.picks import NothingWorks, Pick, Refused, pick

KEY = {"what": "a test", "device": "a card"}


class Counted:
    """A candidate that takes so many seconds, or is refused, and knows how often it was measured."""

    def __init__(self, seconds: float | str) -> None:
        self.seconds = seconds
        self.calls = 0

    def __call__(self) -> float:
        self.calls += 1
        if isinstance(self.seconds, str):
            raise Refused(self.seconds)
        return self.seconds


def test_the_fastest_is_picked_and_told_with_the_others() -> None:
    found = pick(KEY, {"slow": Counted(2.0), "fast": Counted(1.0), "broken": Counted("is wrong")})
    assert found == Pick("fast", "measured", {"slow": 2.0, "fast": 1.0}, {"broken": "is wrong"})


def test_of_equals_the_first_is_picked() -> None:
    assert pick(KEY, {"a": Counted(1.0), "b": Counted(1.0)}).name == "a"


def test_a_candidate_alone_is_not_measured() -> None:
    alone = Counted(1.0)
    assert pick(KEY, {"alone": alone}) == Pick("alone", "only")
    assert alone.calls == 0


def test_none_that_works_is_an_error_with_the_reasons() -> None:
    with pytest.raises(NothingWorks, match="a: too big; b: is wrong"):
        pick(KEY, {"a": Counted("too big"), "b": Counted("is wrong")})


def test_no_candidate_is_an_error() -> None:
    with pytest.raises(NothingWorks, match="there is no candidate"):
        pick(KEY, {})


def test_a_stored_pick_is_used_again_with_its_figures(tmp_path: Path) -> None:
    candidates = {"slow": Counted(2.0), "fast": Counted(1.0), "broken": Counted("is wrong")}
    first = pick(KEY, candidates, tmp_path)
    candidates["slow"].seconds = 0.5
    again = pick(KEY, candidates, tmp_path)
    assert again == Pick("fast", "stored", first.seconds, first.refused)
    assert [candidate.calls for candidate in candidates.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("key", "names"),
    [({**KEY, "device": "another card"}, "ab"), (KEY, "abc"), ({**KEY, "torch": "2.15"}, "ab")],
    ids=["another device", "another candidate", "another version"],
)
def test_what_was_measured_for_something_else_is_not_used(
    key: dict[str, str], names: str, tmp_path: Path
) -> None:
    pick(KEY, {"a": Counted(1.0), "b": Counted(2.0)}, tmp_path)
    found = pick(key, {name: Counted(1.0) for name in names}, tmp_path)
    assert found.source == "measured"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[:40],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: json.dumps({**json.loads(text), "key": {}}),
        lambda text: json.dumps({**json.loads(text), "pick": {"nonsense": 1}}),
        lambda text: text.replace('"name": "a"', '"name": "gone"'),
        lambda text: text.replace('"name": "a"', '"name": ["a"]'),
        lambda text: text.replace('"refused": {}', '"refused": 1'),
        lambda text: "[" * 100_000,
    ],
    ids=[
        *("empty", "cut off", "a list", "no fields", "another key", "other fields", "an unknown candidate"),
        *("a name that is none", "reasons that are none", "nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_used_is_measured_again_and_replaced(spoil, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    candidates = {"a": Counted(1.0), "b": Counted(2.0)}
    pick(KEY, candidates, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(spoil(file.read_text()))
    assert pick(KEY, candidates, tmp_path).source == "measured"
    assert pick(KEY, candidates, tmp_path).source == "stored"


def test_a_pick_leaves_one_readable_file_in_a_folder_made_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "picks"
    pick(KEY, {"a": Counted(1.0), "b": Counted(2.0)}, folder)
    (file,) = folder.iterdir()
    document = json.loads(file.read_text())
    assert document["key"] == {**KEY, "candidates": "a b"}
    assert document["pick"]["seconds"] == {"a": 1.0, "b": 2.0}
