"""The store: never older than it was, and what is gone stays gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_operator.cluster.objects import Objects, Shelf, pack, unpack
from wan_operator.cluster.pods import JobFacts

KEY = ("films", "corgi")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def video(version: int, uid: str = "u1", **more: Any) -> dict[str, Any]:
    metadata = {"namespace": "films", "name": "corgi", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"model": "wan-tiny"}, **more}


def version_in(objects: Objects) -> int | None:
    document = objects.video(KEY)
    return int(document["metadata"]["resourceVersion"]) if document is not None else None


def test_a_later_version_replaces_an_earlier_one() -> None:
    objects = Objects()

    assert objects.put_video(video(9))
    assert objects.put_video(video(10))
    assert version_in(objects) == 10


@pytest.mark.parametrize("version", [3, 10])
def test_an_earlier_version_or_the_same_is_no_news(version: int) -> None:
    objects = Objects()
    objects.put_video(video(10))

    assert not objects.put_video(video(version, status={"phase": "Pending"}))
    assert "status" not in (objects.video(KEY) or {})


def test_what_was_deleted_does_not_rise_again() -> None:
    objects = Objects()
    objects.put_video(video(10))
    assert objects.drop_video("u1") == KEY

    assert not objects.put_video(video(11))  # the answer to a write that was under way
    assert objects.video(KEY) is None


def test_a_deletion_may_be_heard_of_before_anything_else() -> None:
    objects = Objects()
    assert objects.drop_video("u1") is None

    assert not objects.put_video(video(10))


def test_a_successor_of_the_same_name_takes_its_place() -> None:
    objects = Objects()
    objects.put_video(video(10, "u1"))
    assert objects.put_video(video(20, "u2"))

    assert objects.uid_of(KEY) == "u2"
    assert objects.key_of_uid("u1") is None


def test_late_words_of_a_predecessor_change_nothing() -> None:
    objects = Objects()
    objects.put_video(video(20, "u2"))

    assert not objects.put_video(video(10, "u1"))
    objects.drop_video("u1")
    assert objects.uid_of(KEY) == "u2"
    assert version_in(objects) == 20


@given(st.permutations([("put", 10), ("put", 11), ("put", 12), ("drop", 13)]))
def test_in_whatever_order_events_come_a_deleted_resource_is_gone(events: list[tuple[str, int]]) -> None:
    objects = Objects()
    for kind, version in events:
        if kind == "put":
            objects.put_video(video(version))
        else:
            objects.drop_video("u1")

    assert objects.video(KEY) is None
    assert objects.keys() == []


@given(st.permutations(list(range(1, 8))))
def test_in_whatever_order_versions_come_the_last_one_stays(versions: list[int]) -> None:
    objects = Objects()
    for version in versions:
        objects.put_video(video(version))

    assert version_in(objects) == 7


def test_only_what_is_read_is_kept() -> None:
    document = video(1, status={"phase": "Pending"}, apiVersion="x")
    document["metadata"] |= {"annotations": {"note": "n" * 200_000}, "managedFields": [{}]}

    kept = unpack(pack(document))

    assert kept == video(1, status={"phase": "Pending"})


def test_half_a_surrogate_pair_survives() -> None:
    assert unpack(pack(video(1, spec={"prompt": "\ud800"})))["spec"]["prompt"] == "\ud800"


def test_a_shelf_finds_what_belongs_together() -> None:
    shelf = Shelf[str]()
    shelf.put("a", 1, "x", "group-1")
    shelf.put("b", 1, "y", "group-1")
    shelf.put("c", 1, "z", "group-2")
    shelf.put("b", 2, "y", "group-2")
    shelf.drop("c")

    assert shelf.group("group-1") == ["x"]
    assert shelf.group("group-2") == ["y"]
    assert shelf.group("none") == []


def test_a_shelf_says_whether_a_value_changed() -> None:
    shelf = Shelf[str]()

    assert shelf.put("a", 1, "x")
    assert not shelf.put("a", 2, "x")
    assert shelf.put("a", 3, "y")


def test_a_job_that_we_deleted_counts_as_deleting_at_once() -> None:
    objects = Objects()
    job = JobFacts("films", "j", "ju", "u1", "corgi", 1, (), "", NOW)
    objects.jobs.put("ju", 5, job, "u1")

    objects.mark_deleted(job, NOW)

    assert [j.deleting for j in objects.jobs.group("u1")] == [NOW]
