"""It goes away: deleting at any moment leaves no Job, no pod, no video, no manifest and no open upload."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.e2e.bed import GRACE_S, SYSTEM, Bed, Options, wait_until
from tests.e2e.films import TINY, Films, script
from tests.e2e.rest import operator_away
from tests.e2e.slow_s3 import SlowS3
from tests.e2e.witness import GENERATIONS, PODS, Witness, labels_of
from wan_runner.store.upload import PART_BYTES

BED = Options(namespaces=14)
LONG = {**TINY, "steps": 200}  # 5 s on two free cores
GONE_S = GRACE_S + 10


def assert_gone(films: Films, uid: str) -> None:
    """Job and pod are gone within grace + 10 s, and S3 holds nothing of it."""
    wait_until(
        lambda: not films.jobs() and not films.pods(),
        GONE_S,
        lambda: f"left: {[o['metadata']['name'] for o in (*films.jobs(), *films.pods())]}",
    )
    assert films.bed.s3.keys("videos", f"{films.namespace}/{uid}") == []
    assert films.bed.s3.open_uploads("videos") == []


@pytest.fixture(scope="module")
def slow(beds: tuple[Bed, Witness]) -> Iterator[SlowS3]:
    """Runners reach S3 by a wire that can be held."""
    bed = beds[0]
    with SlowS3(bed.s3.endpoint) as slow:
        bed.install(s3={"endpointUrl": slow.endpoint})
        yield slow


@pytest.fixture
def held(slow: SlowS3) -> Iterator[SlowS3]:
    """No video is uploaded: what is made stays unfinished, however fast it is made."""
    slow.hold(b"/video.mp4")
    yield slow
    slow.release()


@pytest.fixture
def as_before(bed: Bed, slow: SlowS3) -> Iterator[None]:
    """The next test has the usual runners again, however this one ends."""
    yield
    bed.install(s3={"endpointUrl": slow.endpoint})


def test_deleted_while_planned(films: Films) -> None:
    uid = films.apply("early", **TINY, suspend=True)["metadata"]["uid"]
    films.wait_phase("early", "Suspended")
    films.delete("early")
    assert_gone(films, uid)
    assert films.witness.of(PODS, films.namespace) == []


@pytest.mark.usefixtures("held")
def test_deleted_as_soon_as_it_is_there(films: Films) -> None:
    uids = [films.apply(f"brief-{number}", **LONG)["metadata"]["uid"] for number in range(5)]
    for number in range(5):
        films.delete(f"brief-{number}")
    for uid in uids:
        assert_gone(films, uid)


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("phase", ["Starting", "Loading", "Running"])
def test_deleted_while_it_works(films: Films, phase: str) -> None:
    name = f"deleted-{phase.lower()}"
    uid = films.apply(name, **LONG)["metadata"]["uid"]
    wait_until(lambda: phase in films.witness.phases(films.namespace, name), 240, lambda: films.told(name))
    films.delete(name)
    assert_gone(films, uid)
    assert films.witness.phases(films.namespace, name)[-1] not in ("Uploading", "Succeeded")


def test_deleted_while_the_video_or_its_manifest_is_uploaded(films: Films, held: SlowS3) -> None:
    uid = films.apply("video", **TINY)["metadata"]["uid"]
    held.wait_held(240)
    films.wait_phase("video", "Uploading")
    films.delete("video")
    assert_gone(films, uid)
    held.release()

    uid = films.apply("manifest", **TINY)["metadata"]["uid"]
    held.hold(f"/{uid}/1/manifest.json".encode())
    held.wait_held(240)
    assert [key.rsplit("/")[-1] for key in films.keys("manifest")] == ["video.mp4"]
    films.delete("manifest")
    wait_until(lambda: all("deletionTimestamp" in p["metadata"] for p in films.pods()), 120)
    held.release()
    assert_gone(films, uid)


@pytest.mark.usefixtures("as_before")
def test_deleted_between_the_parts_of_an_upload(films: Films, bed: Bed, slow: SlowS3) -> None:
    """And the next one, left alone, arrives whole in as many parts."""
    bed.install(s3={"endpointUrl": slow.endpoint}, **bed.runner("large"))
    slow.hold(b"partNumber=2")
    uid = films.apply("parts", **TINY)["metadata"]["uid"]
    slow.wait_held(240)
    assert bed.s3.open_uploads("videos") == [f"{films.namespace}/{uid}/1/video.mp4"]
    films.delete("parts")
    wait_until(lambda: all("deletionTimestamp" in p["metadata"] for p in films.pods()), 120)
    slow.release()
    assert_gone(films, uid)

    films.apply("whole", **TINY)
    output = films.wait_end("whole", "Succeeded")["output"]
    assert output["bytes"] > 2 * PART_BYTES
    bucket, _, key = output["uri"].removeprefix("s3://").partition("/")
    body = bed.s3.client().get_object(Bucket=bucket, Key=key)["Body"]
    assert hashlib.file_digest(body, "sha256").hexdigest() == output["sha256"]
    assert bed.s3.open_uploads("videos") == []


def test_deleted_and_created_again_under_the_same_name(films: Films, held: SlowS3) -> None:
    first = films.apply("again", **LONG)["metadata"]["uid"]
    films.wait_phase("again", "Running")
    films.delete("again")
    second = films.apply("again", **TINY)["metadata"]["uid"]
    wait_until(
        lambda: first not in [labels_of(pod)["wan.video/uid"] for pod in films.pods()],
        GONE_S,
        lambda: "the first one's pod is still there",
    )
    held.release()
    status = films.wait_end("again", "Succeeded")
    assert f"/{second}/1/" in status["output"]["uri"]
    assert [(a["number"], a["outcome"]) for a in status["attempts"]] == [(1, "Succeeded")]
    assert len(films.keys("again")) == 2
    assert films.bed.s3.keys("videos", f"{films.namespace}/{first}") == []


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("policy", ["Foreground", "Orphan"])
def test_deleted_in_another_way_than_usual(films: Films, bed: Bed, policy: str) -> None:
    """Whoever may delete a resource has no right to its Job: it must not be left behind for anybody."""
    uid = films.apply("other", **LONG)["metadata"]["uid"]
    films.wait_phase("other", "Running")
    bed.api.delete(f"{films.path}/other", {"propagationPolicy": policy})
    wait_until(lambda: not bed.api.exists(f"{films.path}/other"), 180, lambda: "it is still there")
    assert_gone(films, uid)


@pytest.mark.usefixtures("held")
def test_a_namespace_that_is_deleted_does_not_hang(films: Films, bed: Bed) -> None:
    films.apply("inside", **LONG)
    films.wait_phase("inside", "Running")
    bed.control.kubectl("delete", "namespace", films.namespace, "--wait=false")
    wait_until(lambda: not bed.api.exists(f"/api/v1/namespaces/{films.namespace}"), 240, lambda: "it hangs")
    assert bed.s3.keys("videos", films.namespace + "/") == []


@pytest.mark.usefixtures("held")
def test_deleted_while_the_operator_is_down(films: Films, bed: Bed) -> None:
    uid = films.apply("usual", **LONG)["metadata"]["uid"]
    films.wait_phase("usual", "Running")
    with operator_away(bed):
        films.delete("usual")
        assert_gone(films, uid)
    kinds = [m.kind for m in films.witness.of(GENERATIONS, films.namespace, "usual")]
    assert kinds[-1] == "DELETED"


@pytest.mark.usefixtures("held")
def test_orphaned_while_the_operator_is_down(films: Films, bed: Bed) -> None:
    uid = films.apply("orphan", **LONG)["metadata"]["uid"]
    films.wait_phase("orphan", "Running")
    with operator_away(bed):
        bed.api.delete(f"{films.path}/orphan", {"propagationPolicy": "Orphan"})
        wait_until(lambda: not bed.api.exists(f"{films.path}/orphan"), 180, lambda: "it is still there")
        assert films.jobs()
    assert_gone(films, uid)


@pytest.mark.usefixtures("as_before")
def test_upgrade_uninstall_and_reinstall_while_it_runs(films: Films, bed: Bed, held: SlowS3) -> None:
    """It takes as long as that: its upload is held meanwhile."""
    values = bed.runner("scripted") | {"s3": {"endpointUrl": held.endpoint}}
    bed.install(**values)
    prompt = script({"seconds": 1, "upload": True})
    uid = films.apply("steady", model="wan-tiny", prompt=prompt)["metadata"]["uid"]
    films.wait_phase("steady", "Uploading")
    pod = films.wait_running_pod()["metadata"]["uid"]
    bed.install(**values, logLevel="DEBUG")
    assert films.status("steady")["phase"] == "Uploading"
    bed.control.helm("uninstall", "wan", "-n", SYSTEM)
    wait_until(lambda: not bed.operator_pods(), 120, lambda: "the operator is still there")
    assert films.get("steady")["metadata"]["uid"] == uid
    assert films.wait_running_pod()["metadata"]["uid"] == pod
    bed.install(**values)
    assert films.wait_running_pod()["metadata"]["uid"] == pod
    held.release()
    status = films.wait_end("steady", "Succeeded")
    assert [(a["number"], a["outcome"]) for a in status["attempts"]] == [(1, "Succeeded")]
    assert {m.object["metadata"]["uid"] for m in films.witness.of(PODS, films.namespace)} == {pod}
    assert len(films.keys("steady")) == 2
