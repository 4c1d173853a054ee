"""Each fault does what its name says, and without faults nothing is different."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from itertools import count
from pathlib import Path
from queue import Queue

import pytest

from tests.controlplane.client import Api, ApiError, Document
from tests.controlplane.control_plane import ControlPlane
from tests.controlplane.fault_proxy import FaultProxy
from tests.controlplane.faults import WRITES, Faults, Refusal
from tests.controlplane.process import wait_until

pytestmark = pytest.mark.slow

MAPS = "/api/v1/namespaces/films/configmaps"
GONE = (OSError, HTTPException)  # what a client sees when its connection is reset
NUMBERS = count()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("cluster")) as started:
        started.namespace("films")
        started.kubectl(
            "-n",
            "films",
            "create",
            "rolebinding",
            "own",
            "--clusterrole=admin",
            "--serviceaccount=films:default",
        )
        own = started.api_as(started.service_account_token("films", "default"))
        wait_until(lambda: own.may_list(MAPS), 60, "the binding is not in force")
        yield started


@pytest.fixture
def proxy(cluster: ControlPlane) -> Iterator[FaultProxy]:
    with FaultProxy(cluster, seed=1) as started:
        yield started


@pytest.fixture
def client(cluster: ControlPlane, proxy: FaultProxy) -> Iterator[Api]:
    api = Api(proxy.url, proxy.ca, cluster.service_account_token("films", "default"), timeout_s=60)
    yield api
    api.close()


def new_map() -> Document:
    return {"metadata": {"name": f"m{next(NUMBERS)}"}}


class Watcher:
    """Collects a watch's events in a thread, and what ended it."""

    def __init__(self, api: Api):
        self.events: Queue[Document] = Queue()
        self.end: ApiError | None = None
        self._version = api.get(MAPS)["metadata"]["resourceVersion"]
        self._api = api
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        try:
            for event in self._api.watch(MAPS, self._version, allowWatchBookmarks="false"):
                self.events.put(event)
        except ApiError as end:
            self.end = end


def test_the_api_server_sees_the_clients_own_identity(client: Api):
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    told = client.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    assert told["status"]["userInfo"]["username"] == "system:serviceaccount:films:default"


def test_without_faults_everything_passes(proxy: FaultProxy, client: Api, cluster: ControlPlane):
    watcher = Watcher(client)
    wait_until(lambda: proxy.watches("configmaps"), 60, "no watch is open")
    large = new_map() | {"data": {"k": "x" * 900_000}}
    made = client.create(MAPS, large)
    assert client.get(f"{MAPS}/{made['metadata']['name']}") == made
    assert watcher.events.get(timeout=60)["object"]["data"] == large["data"]
    assert client.list(MAPS) == cluster.api.list(MAPS)
    with pytest.raises(ApiError, match="AlreadyExists"):
        client.create(MAPS, large)


def test_kubectl_works_through_it_with_a_token_file(proxy: FaultProxy, cluster: ControlPlane, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text(cluster.service_account_token("films", "default"))
    answer = cluster.kubectl(
        "--kubeconfig", str(proxy.kubeconfig(token)), "-n", "films", "get", "cm", "-o", "json"
    )
    assert "kube-root-ca.crt" in {item["metadata"]["name"] for item in json.loads(answer)["items"]}


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_refused_writes_do_not_reach_the_api_server(proxy: FaultProxy, client: Api, status: int):
    wanted = new_map()
    with (
        proxy.during(Faults(refusals=(Refusal(status, verbs=WRITES, retry_after_s=1),))),
        pytest.raises(ApiError) as refusal,
    ):
        client.create(MAPS, wanted)
    assert (refusal.value.status, refusal.value.retry_after_s) == (status, 1)
    assert not client.exists(f"{MAPS}/{wanted['metadata']['name']}")


def test_a_reset_request_does_not_reach_the_api_server(proxy: FaultProxy, client: Api):
    wanted = new_map()
    with proxy.during(Faults(reset=1)), pytest.raises(GONE):
        client.create(MAPS, wanted)
    assert not client.exists(f"{MAPS}/{wanted['metadata']['name']}")


def test_a_lost_request_is_carried_out(proxy: FaultProxy, client: Api):
    wanted = new_map()
    with proxy.during(Faults(lost=1)), pytest.raises(GONE):
        client.create(MAPS, wanted)
    assert client.exists(f"{MAPS}/{wanted['metadata']['name']}")


def test_a_blocked_request_is_answered_when_the_block_ends(proxy: FaultProxy, client: Api):
    with ThreadPoolExecutor(1) as pool:
        with proxy.during(Faults(blocked=True)):
            answer = pool.submit(client.create, MAPS, new_map())
            with pytest.raises(TimeoutError):
                answer.result(0.5)
        assert answer.result(60)["kind"] == "ConfigMap"


def test_held_events_come_in_order_when_the_hold_ends(proxy: FaultProxy, client: Api):
    watcher = Watcher(client)
    wait_until(lambda: proxy.watches("configmaps"), 60, "no watch is open")
    with proxy.during(Faults(hold_events=True)):
        made = [client.create(MAPS, new_map())["metadata"]["name"] for _ in range(5)]
        wait_until(lambda: len(client.list(MAPS)) >= 5, 60, "reads are held too")
        assert watcher.events.empty()
    assert [watcher.events.get(timeout=60)["object"]["metadata"]["name"] for _ in made] == made


def test_delayed_events_come(proxy: FaultProxy, client: Api):
    watcher = Watcher(client)
    wait_until(lambda: proxy.watches("configmaps"), 60, "no watch is open")
    proxy.faults = Faults(delay_events_s=0.2)
    name = client.create(MAPS, new_map())["metadata"]["name"]
    assert watcher.events.get(timeout=60)["object"]["metadata"]["name"] == name


@pytest.mark.parametrize("code", [410, 500])
def test_a_watch_ends_with_an_error_event(proxy: FaultProxy, client: Api, code: int):
    watcher = Watcher(client)
    wait_until(lambda: proxy.watches("configmaps"), 60, "no watch is open")
    assert proxy.end_watches(code, "configmaps") == 1
    watcher.thread.join(60)
    assert watcher.end is not None
    assert watcher.end.status == code
    wait_until(lambda: proxy.watches() == 0, 60, "the proxy still watches")


def test_a_watch_ends_with_a_reset(proxy: FaultProxy, client: Api):
    watcher = Watcher(client)
    wait_until(lambda: proxy.watches("configmaps"), 60, "no watch is open")
    proxy.end_watches()
    watcher.thread.join(60)
    assert not watcher.thread.is_alive()


def test_a_watch_that_the_client_leaves_is_closed(proxy: FaultProxy, client: Api):
    events = client.watch(MAPS, allowWatchBookmarks="false")
    next(events)
    assert proxy.watches() == 1
    events.close()  # type: ignore[attr-defined]
    wait_until(lambda: proxy.watches() == 0, 60, "the watch stays open")


@pytest.mark.parametrize("lose_response", [False, True], ids=["told", "lost"])
def test_nothing_follows_the_write_after_which_the_client_is_cut_off(
    proxy: FaultProxy, client: Api, cluster: ControlPlane, lose_response: bool
):
    watcher = Watcher(client)
    before = len(cluster.api.list(MAPS))
    cut = proxy.cut_after(3, lose_response=lose_response)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(_attempt, [client] * 12))
    assert cut.wait(60)
    assert len(cluster.api.list(MAPS)) == before + 3
    assert sum(answers) == (2 if lose_response else 3)
    with pytest.raises(GONE):
        client.list(MAPS)
    watcher.thread.join(60)
    assert not watcher.thread.is_alive()
    proxy.restore()
    assert len(client.list(MAPS)) == before + 3


def _attempt(client: Api) -> bool:
    try:
        client.create(MAPS, new_map())
    except GONE:
        return False
    return True


def test_writes_that_were_refused_do_not_count(proxy: FaultProxy, client: Api):
    cut = proxy.cut_after(1)
    with pytest.raises(ApiError):
        client.create(MAPS, {"metadata": {"name": "Not A Name"}})
    client.list(MAPS)
    assert not cut.wait(0)
    client.create(MAPS, new_map())
    assert cut.wait(60)
    assert cut.write is not None
    assert (cut.write.verb, cut.write.resource) == ("create", "configmaps")


def test_an_api_server_that_is_away_looks_like_a_reset(proxy: FaultProxy, client: Api, cluster: ControlPlane):
    cluster.stop_apiserver(kill=True)
    with pytest.raises(GONE):
        client.list(MAPS)
    cluster.start_apiserver()
    assert client.list(MAPS)


def test_what_was_asked_is_remembered(proxy: FaultProxy, client: Api):
    name = client.create(MAPS, new_map())["metadata"]["name"]
    client.get(f"{MAPS}/{name}")
    with pytest.raises(ApiError):
        client.get(f"{MAPS}/none")
    assert [(seen.asked.verb, seen.asked.name, seen.status) for seen in proxy.seen] == [
        ("create", "", 201),
        ("get", name, 200),
        ("get", "none", 404),
    ]
