"""The cluster must be able to hold what the operator writes: else it says what to do, and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.wan_operator.cluster.api_server import (
    GROUP_PATH,
    ApiServer,
    api_server,
    client_of,
    published,
    until,
)
from wan_core.api.crd import build_crd
from wan_operator.cluster import startup
from wan_operator.cluster.api import Api
from wan_operator.cluster.startup import NotReady, check_schema, wait_for_crd

OPENAPI = f"/openapi/v3{GROUP_PATH}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "POLL_S", 0.01)


def asked(check: Callable[[Api], Any], prepare: Callable[[ApiServer], None]) -> None:
    async def main() -> None:
        async with api_server() as server, client_of(server) as api:
            prepare(server)
            await check(api)

    asyncio.run(main())


def without(*path: str) -> dict[str, Any]:
    """The schema of an older CRD, which lacks that field."""
    schema = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    node = schema["properties"]
    for part in path[:-1]:
        node = node[part]
    del node[path[-1]]
    return schema


def test_a_cluster_with_our_crd_is_fine() -> None:
    async def both(api: Api) -> None:
        await wait_for_crd(api, 0)
        await check_schema(api, 0)

    asked(both, lambda server: None)


def test_without_the_crd_it_says_what_to_install() -> None:
    def bare(server: ApiServer) -> None:
        server.documents.clear()

    with pytest.raises(NotReady, match="not installed"):
        asked(lambda api: wait_for_crd(api, 0), bare)


def test_a_crd_without_a_status_subresource_will_not_do() -> None:
    def statusless(server: ApiServer) -> None:
        server.documents[GROUP_PATH] = {"resources": [{"name": "videogenerations"}]}

    with pytest.raises(NotReady, match="no v1alpha1 with a status"):
        asked(lambda api: wait_for_crd(api, 0), statusless)


def test_the_crd_may_come_later() -> None:
    async def main() -> None:
        async with api_server() as server, client_of(server) as api:
            served = server.documents.pop(GROUP_PATH)
            waiting = asyncio.create_task(wait_for_crd(api, 30))
            await until(lambda: len(server.requests) > 2)
            server.documents[GROUP_PATH] = served
            await waiting

    asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("status", "properties", "progress", "properties", "percent"), "status.progress.percent"),
        (("status", "properties", "attempts", "items", "properties", "gpu"), "status.attempts[].gpu"),
        (("status",), "status"),
    ],
    ids=str,
)
def test_an_older_crd_is_named_with_what_it_lacks(path: tuple[str, ...], name: str) -> None:
    def older(server: ApiServer) -> None:
        server.documents[OPENAPI] = published(without(*path))

    with pytest.raises(NotReady) as caught:
        asked(lambda api: check_schema(api, 0), older)
    assert name in str(caught.value)
    assert "helm upgrade" in str(caught.value)


def test_a_newer_crd_with_more_fields_is_fine() -> None:
    def newer(server: ApiServer) -> None:
        schema = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"]["status"]["properties"]["later"] = {"type": "string"}
        server.documents[OPENAPI] = published(schema)

    asked(lambda api: check_schema(api, 0), newer)


def test_a_schema_that_is_published_a_little_later_is_waited_for() -> None:
    async def main() -> None:
        async with api_server() as server, client_of(server) as api:
            whole = server.documents[OPENAPI]
            server.documents[OPENAPI] = {"components": {"schemas": {}}}
            waiting = asyncio.create_task(check_schema(api, 30))
            await until(lambda: len(server.requests) > 2)
            server.documents[OPENAPI] = whole
            await waiting

    asyncio.run(main())
