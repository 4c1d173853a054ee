"""Least rights: what the operator may do is what it does, and secrets and prompts stay where they belong.

The audit log is the judge: it holds every request of the operator's service account. Logs are at DEBUG, so
that nothing is kept silent that an administrator could turn on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.controlplane.commands import read_audit
from tests.e2e.bed import SYSTEM, Bed, Options, wait_until
from tests.e2e.films import TINY, Films
from tests.e2e.rest import operator_away, read_metrics
from tests.e2e.rights import OPERATOR, granted, right_of, used
from tests.e2e.witness import Witness

USER = "artist"
USERS = [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}]
BED = Options(namespaces=2, values={"logLevel": "DEBUG", "generations": {"users": USERS}})
IN_PROMPT, IN_NEGATIVE, IN_SECRET = "canary-prompt-7f3a", "canary-negative-9c1e", "canary-secret-5b2d"
SECRETIVE = {**TINY, "prompt": f"{TINY['prompt']} {IN_PROMPT}", "negativePrompt": f"blurry {IN_NEGATIVE}"}
SLOW = {**SECRETIVE, "steps": 200}
VIDEO_VERBS = ("create", "get", "list", "watch", "update", "patch", "delete", "deletecollection")


class Lived:
    """A namespace in which everything that the operator can do has happened, and what runners wrote."""

    def __init__(self, films: Films) -> None:
        self.films, self.logs, self.operator_log = films, "", ""

    def live(self) -> None:
        self.succeed()
        self.lose_its_job_and_be_cancelled()
        self.be_refused_by_quota()
        self.be_denied()

    def succeed(self) -> None:
        """Twice suspended, so that an Event is repeated; deleted when its time is over."""
        films = self.films
        films.apply("whole", **SLOW, suspend=True)
        for suspend in (False, True, False):
            films.wait_phase("whole", "Running" if suspend else "Suspended")
            films.edit("whole", suspend=suspend)
        films.wait_phase("whole", "Running")
        self.follow("whole")
        films.wait_end("whole", "Succeeded")
        films.edit("whole", retention={"succeeded": "0s"})
        wait_until(lambda: not films.bed.api.exists(f"{films.path}/whole"), 180, lambda: "it is kept")

    def lose_its_job_and_be_cancelled(self) -> None:
        films = self.films
        films.apply("stopped", **SLOW)
        films.wait_phase("stopped", "Running")
        self.operator_log += films.bed.operator_log()
        with operator_away(films.bed):
            films.bed.control.kubectl("delete", "job", "-n", films.namespace, "--all", "--wait=false")
            wait_until(lambda: not films.jobs() and not films.pods(), 120, lambda: "its pod does not end")
        films.wait("stopped", lambda s: s.get("interruptions") == 1, what="an interruption")
        films.edit("stopped", cancel=True)
        films.wait_end("stopped", "Cancelled")

    def be_refused_by_quota(self) -> None:
        films = self.films
        quota = films.forbid("pods", "none")
        films.apply("refused", **SECRETIVE)
        films.wait_reason("refused", "PodRefused")
        films.bed.api.delete(quota)
        films.wait_end("refused", "Succeeded")

    def be_denied(self) -> None:
        """S3 refuses the key that is in the Secret."""
        films = self.films
        secret = f"/api/v1/namespaces/{films.namespace}/secrets/wan-s3"
        wrong = films.bed.s3.credentials(secret_key=IN_SECRET)
        films.bed.api.patch(secret, {"data": None, "stringData": {"credentials": wrong}})
        films.apply("denied", **SECRETIVE)
        status = films.wait_end("denied", "Failed")
        assert status["reason"] == "AccessDenied"

    def follow(self, name: str) -> None:
        """Keep what its runner writes until it ends."""
        uid = self.films.get(name)["metadata"]["uid"]
        where = ("-n", self.films.namespace, "-l", f"wan.video/uid={uid}", "--tail=-1", "--follow")
        self.logs += self.films.bed.control.kubectl("logs", *where)

    def told(self) -> dict[str, str]:
        """Everything that anybody was told about them, by where."""
        films, bed = self.films, self.films.bed
        moments = [m.object for m in films.witness.moments if m.namespace == films.namespace]
        pods = [m.get("status", {}) for m in moments if "containers" in m.get("spec", {})]
        return {
            "the operator's log": self.operator_log + bed.operator_log(),
            "a runner's log": self.logs,
            "events": json.dumps(bed.api.list(f"/api/v1/namespaces/{films.namespace}/events")),
            "metrics": read_metrics(bed),
            "a status": json.dumps([m.get("status", {}) for m in moments]),
            "a pod's status": json.dumps(pods),
        }


@pytest.fixture(scope="module")
def lived(beds: tuple[Bed, Witness]) -> Iterator[Lived]:
    bed, witness = beds
    lived = Lived(Films(bed, witness, bed.take_namespace()))
    lived.live()
    yield lived
    witness.check(lived.films.namespace)


def test_the_rights_granted_are_the_rights_used(bed: Bed, lived: Lived) -> None:
    rights = {right_of(event) for event in used(bed)}
    assert granted(bed) == rights


def test_nothing_was_ever_forbidden(bed: Bed, lived: Lived) -> None:
    refused = [right_of(e) for e in used(bed) if e.get("responseStatus", {}).get("code") in (401, 403)]
    assert refused == []


def test_no_secret_and_no_configuration_is_ever_asked_for(bed: Bed, lived: Lived) -> None:
    asked = {resource for _, _, resource in map(right_of, used(bed))}
    assert not asked & {"secrets", "configmaps", "serviceaccounts", "serviceaccounts/token"}


def test_the_runner_never_calls_the_api_server(bed: Bed, lived: Lived) -> None:
    namespace = lived.films.namespace
    accounts = {entry["user"]["username"] for entry in read_audit(bed.control.audit_log)}  # type: ignore[index]
    assert OPERATOR in accounts
    assert f"system:serviceaccount:{namespace}:wan-runner" not in accounts
    assert "system:anonymous" not in accounts


@pytest.mark.parametrize("canary", [IN_PROMPT, IN_NEGATIVE, IN_SECRET, "the real secret"])
def test_what_is_secret_is_told_nowhere(lived: Lived, canary: str) -> None:
    canary = lived.films.bed.s3.secret_key if canary == "the real secret" else canary
    told = lived.told()
    assert all(told.values()), f"nothing was read of {[where for where, text in told.items() if not text]}"
    assert [where for where, text in told.items() if canary in text] == []


def test_the_prompt_lies_with_the_video_and_the_secret_in_no_object_but_its_own(lived: Lived) -> None:
    films = lived.films
    moments = [json.dumps(m.object) for m in films.witness.moments if m.namespace == films.namespace]
    assert [text[:200] for text in moments if IN_SECRET in text or films.bed.s3.secret_key in text] == []
    keys = [key for key in films.bed.s3.keys("videos", films.namespace) if key.endswith("manifest.json")]
    bodies = [films.bed.s3.client().get_object(Bucket="videos", Key=key)["Body"].read() for key in keys]
    assert len(bodies) == 2
    assert all(IN_PROMPT.encode() in body and IN_SECRET.encode() not in body for body in bodies)


def may(bed: Bed, user: str, verb: str, resource: str, namespace: str) -> bool:
    kind, _, subresource = resource.partition("/")
    name, _, group = kind.partition(".")
    asked = {"verb": verb, "resource": name, "group": group, "subresource": subresource}
    review = {"spec": {"user": user, "resourceAttributes": {**asked, "namespace": namespace}}}
    answer = bed.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def test_a_user_may_make_videos_where_they_are_served_and_nothing_else(bed: Bed) -> None:
    films = "videogenerations.wan.video"
    served = bed.namespaces[-1]
    assert all(may(bed, USER, verb, films, served) for verb in VIDEO_VERBS)
    others = ["videogenerations.wan.video/status", "jobs.batch", "pods", "pods/log", "secrets", "events"]
    others += [
        "configmaps",
        "serviceaccounts/token",
        "persistentvolumeclaims",
        "networkpolicies.networking.k8s.io",
    ]
    allowed = [(v, o) for o in others for v in ("create", "get", "patch") if may(bed, USER, v, o, served)]
    assert allowed == []
    assert not any(
        may(bed, USER, verb, films, place) for verb in VIDEO_VERBS for place in ("default", SYSTEM)
    )


def test_a_runner_may_do_nothing(bed: Bed) -> None:
    namespace = bed.namespaces[-1]
    account = f"system:serviceaccount:{namespace}:wan-runner"
    things = ("videogenerations.wan.video", "jobs.batch", "pods", "secrets", "configmaps", "events")
    allowed = [
        (v, t) for t in things for v in ("create", "get", "patch") if may(bed, account, v, t, namespace)
    ]
    assert allowed == []
