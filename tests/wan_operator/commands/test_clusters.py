"""`--cluster`: what an API server tells, with the operator's own eyes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import yaml

from tests.wan_operator.cluster.api_server import NODES, ApiServer, api_server, failure
from tests.wan_operator.cluster.documents import H200, RTX4090, node_document
from tests.wan_operator.commands.calls import data_of, manifest, wan, write
from wan_operator.cluster.nodes import build_inventory, read_node
from wan_operator.commands.clusters import default_settings

ALL_PODS = "/api/v1/pods"
ALL_VIDEOS = "/apis/wan.video/v1alpha1/videogenerations"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """In a thread of its own: commands are called as a shell calls them."""
    ready: Future[tuple[ApiServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with api_server() as running:
            over = asyncio.Event()
            ready.set_result((running, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    running, loop, over = ready.result(30)
    try:
        yield running
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> Path:
    contexts = [{"name": name, "context": {"cluster": name, "user": "u"}} for name in ("here", "nowhere")]
    addresses = {"here": server.url, "nowhere": "http://127.0.0.1:9"}
    document = {
        "current-context": "here",
        "contexts": contexts,
        "clusters": [{"name": name, "cluster": {"server": url}} for name, url in addresses.items()],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    return write(tmp_path, "kubeconfig", yaml.safe_dump(document))


@pytest.fixture
def explained(kubeconfig: Path, tmp_path: Path) -> Callable[..., object]:
    path = write(tmp_path, "v.yaml", manifest())

    def run(*more: object) -> object:
        arguments = ("explain", "-f", path, "--cluster", "--kubeconfig", kubeconfig, "-o", "json", *more)
        return wan(*arguments)

    return run


def busy(name: str, node: str, gpus: int) -> dict[str, object]:
    requests = {"nvidia.com/gpu": str(gpus), "memory": "8Gi", "cpu": "1"}
    container = {"name": "c", "resources": {"requests": requests, "limits": {"nvidia.com/gpu": str(gpus)}}}
    return {
        "metadata": {"name": name, "namespace": "others"},
        "spec": {"nodeName": node, "containers": [container]},
        "status": {"phase": "Running"},
    }


def test_the_inventory_is_the_operators(server: ApiServer, explained: Callable[..., object]) -> None:
    documents = [node_document("a"), node_document("b"), node_document("c", RTX4090)]
    for document in documents:
        server.put(NODES, document)
    said = data_of(explained())  # type: ignore[arg-type]
    settings = default_settings()
    nodes = [read_node(document, settings.inventory) for document in documents]
    ours = build_inventory([node for node in nodes if node is not None], [], settings)
    assert said["inventory"] == {"name": "the cluster", **ours.to_dict()}
    assert said["fits"]
    assert said["notes"] == []


def test_what_is_busy_fits_later(server: ApiServer, explained: Callable[..., object]) -> None:
    server.put(NODES, node_document("a", H200 | {"nvidia.com/gpu.count": "1"}, gpus="1"))
    server.put(ALL_PODS, busy("other", "a", 1))
    said = data_of(explained())  # type: ignore[arg-type]
    assert {rung["verdict"] for rung in said["ladder"]} <= {"FitsLater", "Never"}
    assert said["fits"]


@pytest.fixture
def settings_file(tmp_path: Path) -> Callable[..., Path]:
    """The operator's settings as a file."""

    def put(**changed: object) -> Path:
        required = {
            "namespaces": ["films"],
            "weights": "s3://weights",
            "output": "s3://videos",
            "runner": {"image": "runner"},
            "report": {"url": "http://operator"},
        }
        return write(tmp_path, "settings.yaml", yaml.safe_dump(required | changed))

    return put


@pytest.mark.parametrize(
    ("occupancy", "verdicts"),
    [
        pytest.param("served", {"FitsNow"}, id="of what it serves only"),
        pytest.param("cluster", {"FitsLater"}, id="of the whole cluster"),
    ],
)
def test_what_is_busy_is_what_the_operator_sees(
    server: ApiServer,
    explained: Callable[..., object],
    settings_file: Callable[..., Path],
    occupancy: str,
    verdicts: set[str],
) -> None:
    server.put(NODES, node_document("a", H200 | {"nvidia.com/gpu.count": "1"}, gpus="1"))
    server.put(ALL_PODS, busy("other", "a", 1))
    path = settings_file(inventory={"occupancy": occupancy})
    said = data_of(explained("--settings", path))  # type: ignore[arg-type]
    assert {rung["verdict"] for rung in said["ladder"]} - {"Never"} == verdicts


def test_a_price_of_the_settings_that_prices_nothing_is_a_note(
    server: ApiServer, explained: Callable[..., object], settings_file: Callable[..., Path]
) -> None:
    server.put(NODES, node_document("a", H200))
    prices = {"NVIDIA-H200": 4.0, "RTX 4091": 0.4}
    path = settings_file(planning={"pricesPerGpuHour": prices})
    said = data_of(explained("--settings", path))  # type: ignore[arg-type]
    (note,) = said["notes"]
    assert note.startswith('planning.pricesPerGpuHour: "RTX 4091" is not in the table of GPUs; nearest: RTX')
    assert any("cost" in rung for rung in said["rungs"])


def test_pages_are_read_to_their_end(server: ApiServer, explained: Callable[..., object]) -> None:
    server.page_max = 2
    for number in range(5):
        server.put(NODES, node_document(f"n{number}", memory=f"{(number + 1) * 100}Gi"))
    nodes = data_of(explained())["inventory"]["nodes"]  # type: ignore[arg-type]
    assert len(nodes) == 5


def test_without_the_right_to_list_pods_every_node_counts_as_empty(
    server: ApiServer, explained: Callable[..., object]
) -> None:
    server.put(NODES, node_document("a"))
    refused = failure(403, "Forbidden", "pods is forbidden")
    server.refuse = lambda method, path: refused if path in (ALL_PODS, ALL_VIDEOS) else None
    said = data_of(explained())  # type: ignore[arg-type]
    assert said["notes"] == [
        "pods may not be listed: every node counts as empty",
        "VideoGenerations may not be listed: nothing measured is counted in",
    ]


def test_without_the_right_to_list_nodes_it_says_what_to_do(
    server: ApiServer, explained: Callable[..., object]
) -> None:
    server.refuse = lambda method, path: failure(403, "Forbidden", "nodes is forbidden: no")
    result = explained()
    assert result.exit_code == 77  # type: ignore[attr-defined]
    assert result.stderr == (  # type: ignore[attr-defined]
        "wan: nodes is forbidden: no. Ask for the right to list nodes in the whole cluster, "
        "or name GPUs with --gpus.\n"
    )


def test_an_api_server_that_does_not_answer_is_one_line(explained: Callable[..., object]) -> None:
    result = explained("--context", "nowhere")
    assert result.exit_code == 69  # type: ignore[attr-defined]
    assert len(result.stderr.splitlines()) == 1  # type: ignore[attr-defined]


def test_a_context_that_is_not_there_is_one_line(explained: Callable[..., object]) -> None:
    result = explained("--context", "other")
    assert result.exit_code == 64  # type: ignore[attr-defined]
    assert "other" in result.stderr  # type: ignore[attr-defined]


def video_of(plan: str, model: str, pace: float) -> dict[str, object]:
    """A finished one."""
    attempt = {
        "number": 1,
        "job": "j",
        "outcome": "Succeeded",
        "plan": plan,
        "gpu": "NVIDIA H200",
        "finished": "2026-01-01T12:00:00Z",
        "secondsPerStep": pace,
    }
    output = {"uri": "s3://v/x.mp4", "width": 1280, "height": 720, "frames": 81, "fps": 16}
    done = {"phase": "Succeeded", "output": output, "attempts": [attempt]}
    return {"metadata": {"name": "done"}, "spec": {"model": model, "prompt": "x"}, "status": done}


@pytest.mark.parametrize(
    "model", [pytest.param("t2v-A14B", id="of the catalogue"), pytest.param("lighthouses", id="of its own")]
)
def test_what_finished_videos_took_is_counted_in(
    server: ApiServer,
    kubeconfig: Path,
    tmp_path: Path,
    settings_file: Callable[..., Path],
    model: str,
) -> None:
    server.put(NODES, node_document("a"))
    own = [{"id": "lighthouses", "base": "t2v-A14B", "title": "lighthouses"}]
    path = write(tmp_path, "own.yaml", manifest(model=model))
    asked = ("explain", "-f", path, "--cluster", "--kubeconfig", kubeconfig, "-o", "json")
    asked = (*asked, "--settings", settings_file(models=own))
    plain = data_of(wan(*asked))
    best = next(rung for rung in plain["rungs"] if rung["verdict"] == "FitsNow")
    pace = best["time"]["secondsPerStep"]["high"] * 1.5
    server.put(ALL_VIDEOS, video_of(best["plan"], model, pace))
    said = data_of(wan(*asked))
    rung = next(rung for rung in said["rungs"] if rung["plan"] == best["plan"])
    assert rung["time"]["basis"] == "measured"
    assert rung["notes"]
