"""Tokens and Events on a real API server: what the fakes of the other tests stand for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.controlplane.control_plane import ControlPlane
from tests.wan_operator.cluster.test_progress import body_of
from tests.wan_operator.worlds import UID
from wan_core.api.status import Metadata, Phase, Status
from wan_operator.cluster.api import Api, open_api
from wan_operator.cluster.connection import read_connection
from wan_operator.cluster.events import Recorder
from wan_operator.cluster.listen import serving
from wan_operator.cluster.metrics import Metrics
from wan_operator.cluster.names import audience_of
from wan_operator.cluster.progress import ProgressInbox, Reporting

pytestmark = pytest.mark.slow

NAMESPACE, ACCOUNT = "films", "wan-runner"
KEY = (NAMESPACE, "corgi")
AUDIENCE = audience_of(UID, 1)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("control")) as control:
        control.namespace(NAMESPACE)
        control.api.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": ACCOUNT}})
        yield control


def make_pod(control: ControlPlane, name: str) -> dict[str, str]:
    """A restricted pod of the runner's account: what a token is bound to."""
    container = {
        "name": "runner",
        "image": "none",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    pod = control.api.create(
        f"/api/v1/namespaces/{NAMESPACE}/pods", {"metadata": {"name": name}, "spec": spec}
    )
    return {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": pod["metadata"]["uid"]}


@asynccontextmanager
async def real_api(control: ControlPlane) -> AsyncIterator[Api]:
    connection = read_connection({"KUBECONFIG": str(control.kubeconfig)})
    async with open_api(connection, 100, 100, lambda *_: None) as api:
        yield api


class Desk:
    """The served inbox in front of a real API server, and a clock that is moved by hand."""

    def __init__(self, api: Api, pod_uid: str) -> None:
        self.now = 0.0
        self.inbox = ProgressInbox(
            service_account=ACCOUNT,
            review=api.review_token,
            known=lambda uid, attempt: Reporting(KEY, pod_uid) if (uid, attempt) == (UID, 1) else None,
            notify=lambda key: None,
            metrics=Metrics(),
            quiet_s=300,
            clock=lambda: self.now,
        )

    async def post(self, token: str) -> int:
        app = self.inbox.application()
        async with serving(app, 0, "127.0.0.1") as port, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/v1/progress"
            headers = {"Authorization": f"Bearer {token}"}
            async with session.post(url, data=body_of(), headers=headers) as answer:
                return answer.status


def test_only_the_token_of_the_attempts_own_pod_is_believed(control: ControlPlane) -> None:
    ours, other = make_pod(control, "ours"), make_pod(control, "other")

    def token(account: str = ACCOUNT, *audiences: str, pod: dict[str, str] | None = None) -> str:
        return control.service_account_token(NAMESPACE, account, audiences, bound_to=pod)

    async def scene() -> dict[str, int]:
        async with real_api(control) as api:
            desk = Desk(api, ours["uid"])
            return {
                "ours": await desk.post(token(ACCOUNT, AUDIENCE, pod=ours)),
                "ours, one of two audiences": await desk.post(token(ACCOUNT, AUDIENCE, "x", pod=ours)),
                "another pod's": await desk.post(token(ACCOUNT, AUDIENCE, pod=other)),
                "bound to no pod": await desk.post(token(ACCOUNT, AUDIENCE)),
                "another account's": await desk.post(token("default", AUDIENCE)),
                "another attempt's": await desk.post(token(ACCOUNT, audience_of(UID, 2), pod=ours)),
                "for the API server": await desk.post(token(ACCOUNT, pod=ours)),
                "nonsense": await desk.post("nonsense"),
            }

    assert asyncio.run(scene()) == {
        "ours": 204,
        "ours, one of two audiences": 204,
        "another pod's": 403,
        "bound to no pod": 403,
        "another account's": 403,
        "another attempt's": 401,
        "for the API server": 401,
        "nonsense": 401,
    }


def test_a_token_dies_with_its_pod(control: ControlPlane) -> None:
    pod = make_pod(control, "mortal")
    token = control.service_account_token(NAMESPACE, ACCOUNT, [AUDIENCE], bound_to=pod)

    async def scene() -> list[int]:
        async with real_api(control) as api:
            desk = Desk(api, pod["uid"])
            codes = [await desk.post(token)]
            control.api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/mortal")
            desk.now += 61
            while (code := await desk.post(token)) == 204:  # the API server remembers for some seconds, too
                desk.now += 61
                await asyncio.sleep(0.5)
            return [*codes, code]

    assert asyncio.run(scene()) == [204, 401]


def test_without_an_api_server_the_answer_is_503_and_then_again_204(control: ControlPlane) -> None:
    pod = make_pod(control, "patient")
    token = control.service_account_token(NAMESPACE, ACCOUNT, [AUDIENCE], bound_to=pod)

    async def scene() -> list[int]:
        async with real_api(control) as api:
            desk = Desk(api, pod["uid"])
            control.stop_apiserver(kill=True)
            codes = [await desk.post(token)]
            control.start_apiserver()
            return [*codes, await desk.post(token)]

    assert asyncio.run(scene()) == [503, 204]


def test_events_are_shown_once_with_their_count(control: ControlPlane) -> None:
    video = Metadata(name="corgi", namespace=NAMESPACE, uid=UID)
    waiting = Status(phase=Phase.QUEUED, reason="Unschedulable", message="0/3 nodes\n\x1b[31m are available")

    async def scene() -> None:
        async with real_api(control) as api:
            for times in (2, 1):  # the second recorder is that of a restarted operator
                metrics = Metrics()
                recorder = Recorder(api, metrics)
                posting = asyncio.create_task(recorder.run())
                for _ in range(times):
                    recorder.tell(video, Status(), waiting)
                while sum(count(metrics, result) for result in ("posted", "repeated")) < times:
                    assert not posting.done()
                    assert not count(metrics, "failed")
                    await asyncio.sleep(0.02)
                posting.cancel()

    asyncio.run(scene())
    events: list[dict[str, Any]] = control.api.list(
        f"/api/v1/namespaces/{NAMESPACE}/events", fieldSelector=f"involvedObject.uid={UID}"
    )
    shown = [(event["type"], event["reason"], event["message"], event["count"]) for event in events]
    assert shown == [("Warning", "Unschedulable", r"0/3 nodes\n\x1b[31m are available", 2)]
    table = control.kubectl("get", "events", "-n", NAMESPACE)
    assert r"videogeneration/corgi   0/3 nodes\n\x1b[31m are available" in table


def count(metrics: Metrics, result: str) -> float:
    return metrics.registry.get_sample_value("wan_operator_events_total", {"result": result}) or 0.0
