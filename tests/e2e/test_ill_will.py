"""A user of ill will, with the rights of the chart's role for users and no others: what does she spoil?"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.controlplane.client import MERGE, Api, ApiError
from tests.e2e.bed import Bed, Options, wait_until
from tests.e2e.films import TINY, Films, script
from tests.e2e.rest import NO_RESYNC, assert_at_rest, log_lines, the_same_operator
from tests.e2e.witness import Witness
from wan_operator.cluster.names import audience_of

ACCOUNT = "mallory"
HOME = "films-1"  # where she may make videos
BINDING = {
    "metadata": {"name": ACCOUNT},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "wan-video-user"},
    "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": HOME}],
}
BED = Options(namespaces=4, runner="scripted", values=NO_RESYNC)
MANY, TIMES = 25, 6
LINES_MAX = 40  # of the operator's log about one resource that is changed TIMES times, each change an attempt


@pytest.fixture(scope="module")
def mallory(beds: tuple[Bed, Witness]) -> Iterator[Api]:
    """The API server as she sees it."""
    bed, _ = beds
    assert bed.take_namespace() == HOME
    bed.api.create(f"/api/v1/namespaces/{HOME}/serviceaccounts", {"metadata": {"name": ACCOUNT}})
    rights = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{HOME}/rolebindings"
    bed.api.create(rights, BINDING)
    api = bed.control.api_as(bed.control.service_account_token(HOME, ACCOUNT))
    home = f"/apis/wan.video/v1alpha1/namespaces/{HOME}/videogenerations"
    wait_until(lambda: api.may_list(home), 60, lambda: "the binding is not in force")
    yield api
    api.close()


def test_a_flood_of_requests_and_changes_spoils_nobody_elses_video(
    bed: Bed, mallory: Api, films: Films, beds: tuple[Bed, Witness]
) -> None:
    hers = Films(bed, beds[1], HOME)
    with the_same_operator(bed):
        for number in range(MANY):
            document = {"apiVersion": "wan.video/v1alpha1", "kind": "VideoGeneration", "spec": TINY}
            mallory.create(hers.path, {**document, "metadata": {"name": f"flood-{number}"}})
        films.apply("victim", **TINY)
        for time in range(TIMES):
            for number in range(MANY):
                change = {
                    "metadata": {"annotations": {"a": "x" * 100 * time}},
                    "spec": {"suspend": time % 2 == 0},
                }
                mallory.patch(f"{hers.path}/flood-{number}", change, MERGE)
        films.wait_end("victim", "Succeeded")
        for number in range(MANY):
            mallory.patch(f"{hers.path}/flood-{number}", {"spec": {"cancel": True}}, MERGE)
        for number in range(MANY):
            hers.wait_phase(f"flood-{number}", "Cancelled", "Succeeded")
        assert_at_rest(hers)
    told = Counter(line.get("name") for line in log_lines(bed) if line.get("namespace") == HOME)
    assert max(told.values()) <= LINES_MAX, told.most_common(3)


def test_she_can_neither_read_nor_write_what_is_not_hers(bed: Bed, mallory: Api) -> None:
    for path in (
        f"/api/v1/namespaces/{HOME}/secrets/wan-s3",
        f"/api/v1/namespaces/{HOME}/pods",
        f"/apis/batch/v1/namespaces/{HOME}/jobs",
        f"/apis/wan.video/v1alpha1/namespaces/{bed.namespaces[1]}/videogenerations",
        "/apis/wan.video/v1alpha1/videogenerations",
    ):
        with pytest.raises(ApiError) as refusal:
            mallory.get(path)
        assert refusal.value.status == 403, path
    mine = f"/apis/wan.video/v1alpha1/namespaces/{HOME}/videogenerations"
    document = {"apiVersion": "wan.video/v1alpha1", "kind": "VideoGeneration", "metadata": {"name": "mine"}}
    mallory.create(mine, {**document, "spec": {**TINY, "suspend": True}})
    with pytest.raises(ApiError) as refusal:
        mallory.patch(f"{mine}/mine/status", {"status": {"phase": "Succeeded"}}, MERGE)
    assert refusal.value.status == 403


def test_nobody_but_its_own_pod_reports_the_progress_of_a_video(bed: Bed, mallory: Api, films: Films) -> None:
    uid = films.apply("victim", model="wan-tiny", prompt=script({"seconds": 300}))["metadata"]["uid"]
    films.wait_phase("victim", "Running")
    audience = audience_of(uid, 1)
    by_whom = bed.control.service_account_token
    tokens = {
        "none": None,
        "nonsense": "x.y.z",
        "of her account": mallory.token,
        "of her account, for this attempt": by_whom(HOME, ACCOUNT, [audience]),
        "of the runner's account, bound to no pod": by_whom(films.namespace, "wan-runner", [audience]),
    }
    answers = {who: report(bed, uid, token) for who, token in tokens.items()}
    assert set(answers.values()) <= {401, 403}, answers
    assert films.status("victim")["progress"]["stage"] != "Uploading"
    films.delete("victim")


def report(bed: Bed, uid: str, token: str | None) -> int:
    """Claim that this video is being uploaded; the operator's answer."""
    claim = {
        "version": 1,
        "uid": uid,
        "attempt": 1,
        "stage": "Uploading",
        "time": datetime.now(UTC).isoformat(),
    }
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    url = f"http://127.0.0.1:{bed.report_port}/v1/progress"
    request = urllib.request.Request(url, json.dumps(claim).encode(), headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
