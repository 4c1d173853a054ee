"""The bench of fetching: its server answers as S3 does, a small run measures, and its arithmetic is right."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from bench.loading.contestants import CONTESTANTS, OURS, RAW, is_here
from bench.loading.fetch import CHUNK_BYTES, SCENARIOS, Scenario, Served, measure, serving, turned
from bench.loading.fetch_report import Findings, Sample, Search, ceiling, render, verdicts, when_found
from bench.loading.server import ANY, choose_span, key_of

CAP = 90 * 2**20


def sample(seconds: float, *, rss: int = 2**26, trace: tuple = ()) -> Sample:
    return Sample(10**9, seconds, cpu_s=0.9, rss=rss, rss_before=2**25, server_cpu_s=0.2, trace=trace)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), CHUNK_BYTES, CAP) as running:
        yield running


def ask(served: Served, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", served.ports["http"], timeout=20)
    connection.request(
        method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_a_range_beyond_the_source_is_the_source_again(served: Served) -> None:
    path = f"/{ANY}/{key_of(3 * CHUNK_BYTES)}"
    status, headers, body = ask(served, "GET", path, Range=f"bytes={CHUNK_BYTES - 2}-{CHUNK_BYTES + 1}")
    assert (status, headers["Content-Range"]) == (
        206,
        f"bytes {CHUNK_BYTES - 2}-{CHUNK_BYTES + 1}/{3 * CHUNK_BYTES}",
    )
    assert body[2:] == ask(served, "GET", path, Range="bytes=0-1")[2]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (f"/{ANY}/{key_of(10)}", {}, 200),
        ("/weights/model/manifest.json", {}, 200),
        ("/weights/none", {}, 404),
        (f"/{ANY}/{key_of(10)}", {"If_Match": '"another"'}, 412),
        (f"/{ANY}/{key_of(10)}", {"Range": "bytes=10-"}, 416),
    ],
    ids=["bytes", "a file", "missing", "another version", "beyond its end"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_answers_as_s3_does(
    served: Served, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    assert ask(served, method, path, **headers)[0] == status


@pytest.mark.parametrize(
    ("wanted", "span"),
    [("", (0, 10)), ("bytes=2-4", (2, 5)), ("bytes=2-", (2, 10)), ("bytes=-3", (7, 10)), ("bytes=10-", None)],
)
def test_ranges_are_cut_to_the_object(wanted: str, span: tuple[int, int] | None) -> None:
    assert choose_span(wanted, 10) == span


@pytest.mark.slow
def test_a_small_run_measures_every_contestant_and_a_cached_model() -> None:
    scenario = Scenario("http", "http", (f"{RAW}, 4", OURS))
    found = measure([scenario], {False: 2 * CHUNK_BYTES}, 1, 1, CHUNK_BYTES, CAP)
    assert set(found.samples["http"]) == {f"{RAW}, 4", OURS}
    assert all(run["misses"] == 0 for process in found.hits for run in process)
    assert "| ours |" in render(found)
    assert asdict(found)["cap"] == CAP


def test_only_a_package_that_is_not_ours_may_be_absent() -> None:
    assert all(is_here(name) for name in CONTESTANTS if "obstore" not in name)


def test_every_contestant_goes_first_once() -> None:
    names = SCENARIOS[0].contestants
    assert {turned(names, turn)[0] for turn in range(len(names))} == set(names)


def test_the_ceiling_is_the_best_median_of_raw_sockets() -> None:
    assert ceiling({f"{RAW}, 1": [sample(1)], f"{RAW}, 4": [sample(0.5)], OURS: [sample(0.1)]}) == 2e9


def test_the_number_is_found_when_it_is_first_told_and_the_rate_is_that_of_so_many() -> None:
    begun, tried = (0.5, 0, 4, None), (1.0, 10**8, 64, 16)
    steady = [(1.5, 4 * 10**8, 16, 16), (2.0, 7 * 10**8, 16, 16), (2.5, 10**9, 0, 16)]
    assert when_found(sample(2.5, trace=(begun, tried, *steady))) == Search(0.5, 16, 6e8)
    assert when_found(sample(2.5, trace=(begun,))) is None


@pytest.mark.parametrize(
    ("seconds", "rss", "missed"),
    [(1.0, 2**26, []), (1.3, 2**26, ["http, of raw, at best"]), (1.0, 2**28, ["http, RSS"])],
    ids=["all met", "too slow", "too much memory"],
)
def test_what_is_missed_is_told(seconds: float, rss: int, missed: list[str]) -> None:
    found = Findings(
        "here", (), CAP, {"http": {f"{RAW}, 4": [sample(1.0)], OURS: [sample(seconds, rss=rss)]}}, []
    )
    assert [verdict.what for verdict in verdicts(found) if not verdict.is_met] == missed
