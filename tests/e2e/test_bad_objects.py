"""Bad objects around a good request: names, sizes, bytes, finalizers, statuses.

They are refused at admission or judged; the operator never dies and never loops.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.controlplane.client import MERGE, ApiError, Document
from tests.e2e.bed import GRACE_S, Bed, Options, wait_until
from tests.e2e.films import TINY, Films
from tests.e2e.rest import NO_RESYNC, assert_at_rest, log_lines, the_same_operator

BED = Options(namespaces=14, values=NO_RESYNC)
LONG_NAME = ".".join(["a" * 63] * 3 + ["b" * 61])  # 253 characters, the most that a name may have
ASLEEP = {**TINY, "suspend": True}
SLOW = {**TINY, "steps": 200}
FINALIZER = "example.com/x"

ODD_PROMPTS = {
    "ansi": "\x1b[31mred\x1b[0m",
    "line-breaks": 'one\r\ntwo\n{"level": "ERROR", "message": "forged"}\n',
    "right-to-left": "\u202eevil\u202c",
    "emoji": "\U0001f436" * 8192,
    "shell": "$(rm -rf /); `id`; {{ .Values }}; $(RANDOM) $$(HOME)",
    "longest": "x" * 8192,
    "escapes": "\\" * 8192,
    "quotes": '"' * 8192,
    "separators": "a\u2028b\u2029c\u0085d\x7f\x01",
}
OF_CONTROLS = ("ansi", "separators")  # which hold control characters that no prompt may have
# Bytes that no ordinary client sends: what they take the place of in a good request, and the answer.
RAW: dict[str, tuple[bytes, bytes, int]] = {
    "nul": (b'"a red', b'"\\u0000a red', 422),
    "lone-surrogate": (b"a red", b"a \\ud800 red", 201),
    "no-utf-8": (b"a red", b"\xff\xfe\xed\xa0\x80", 201),
    "key-twice": (b'"prompt"', b'"prompt": "another", "prompt"', 201),
    "unknown-field": (b'"prompt"', b'"evil": {"a": [1]}, "prompt"', 201),
    "exponent": (b'"prompt"', b'"seed": 4.294967295e9, "prompt"', 201),
    "minus-zero": (b'"prompt"', b'"seed": -0.0, "prompt"', 201),
    "many-digits": (b'"prompt"', b'"shift": 5.' + b"0" * 2000 + b'1, "prompt"', 201),
    "infinite": (b'"prompt"', b'"shift": 1e400, "prompt"', 400),
    "deep": (b'"prompt"', b'"evil": ' + b"[" * 9000 + b"]" * 9000 + b', "prompt"', 201),
    "half-a-document": (b"}}", b"", 400),
    "1.5-mib-prompt": (b"a red", b"a red" * 320_000, 422),
    "nul-in-an-annotation": (b'"metadata": {', b'"metadata": {"annotations": {"a": "x\\u0000y"}, ', 201),
}
TOO_LARGE: dict[str, Document] = {
    "annotations": {"annotations": {"example.com/much": "x" * 262_084}},
    "finalizers": {"finalizers": [f"{n}.{'a' * 60}.{'b' * 60}.com/{'k' * 63}" for n in range(6_000)]},
    "owner": {"ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "n" * 1_400_000, "uid": "u"}]},
}
TAKEN_FOR_KOPFS: dict[str, Document] = {
    "no-json": {"annotations": {"kopf.zalando.org/last-handled-configuration": "{"}},
    "deep-json": {"annotations": {"kopf.zalando.org/last-handled-configuration": "[" * 100_000}},
    "finalizer": {"finalizers": ["kopf.zalando.org/KopfFinalizerMarker"]},
}
FORGED: dict[str, Document] = {
    "another-phase": {"phase": "Running", "message": "forged", "attempts": [{"number": 7, "job": "none"}]},
    "a-late-plan": {"phase": "Planned", "observedGeneration": 9_000_000_000},
    "no-times": {
        "phase": "Pending",
        "conditions": [
            {
                "type": "Finished",
                "status": "True",
                "reason": "X",
                "message": "",
                "lastTransitionTime": "9999-12-31T23:59:59Z",
            }
        ],
    },
    "last-attempt": {"attempts": [{"number": 10_000, "job": "none", "outcome": "Cancelled"}]},
}


@pytest.fixture(autouse=True)
def the_operator_stays(bed: Bed) -> Iterator[None]:
    with the_same_operator(bed):
        yield


def named(name: str, spec: Document = ASLEEP, **metadata: Any) -> Document:
    return {
        "apiVersion": "wan.video/v1alpha1",
        "kind": "VideoGeneration",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def test_odd_prompts_are_judged_and_forge_no_line_of_the_log(films: Films) -> None:
    for name, prompt in ODD_PROMPTS.items():
        films.apply(name, **{**ASLEEP, "prompt": prompt})
    for name in ODD_PROMPTS:
        status = films.wait_phase(name, "Suspended", "Failed")
        assert (status["phase"] == "Failed") == (name in OF_CONTROLS), (name, status["message"])
    assert not [line for line in log_lines(films.bed) if line["message"] == "forged"]
    assert_at_rest(films)


def test_an_odd_prompt_reaches_the_runner_as_it_is(films: Films) -> None:
    prompt = 'a red circle; \\ " $(HOME) {{ x }} %s \u2028 \u202e \U0001f436'
    films.apply("exact", **{**TINY, "prompt": prompt})
    films.wait_end("exact", "Succeeded")
    manifest = next(key for key in films.keys("exact") if key.endswith("manifest.json"))
    body = films.bed.s3.client().get_object(Bucket="videos", Key=manifest)["Body"].read()
    assert json.loads(body)["request"]["prompt"] == prompt


def test_odd_bytes_are_refused_or_judged(films: Films) -> None:
    for name, (old, new, answer) in RAW.items():
        body = json.dumps(named(name)).encode()
        assert old in body, name
        assert send(films, body.replace(old, new)) == answer, name
    for name, (_, _, answer) in RAW.items():
        if answer == 201:
            films.wait_phase(name, "Suspended")
    assert_at_rest(films)


def test_a_key_twice_or_an_unknown_field_is_refused_where_the_client_is_strict(films: Films) -> None:
    for name in ("key-twice", "unknown-field"):
        old, new, _ = RAW[name]
        body = json.dumps(named(name)).encode().replace(old, new)
        assert send(films, body, "?fieldValidation=Strict") == 400


def test_a_name_of_253_characters_becomes_a_video(films: Films) -> None:
    films.apply(LONG_NAME, **TINY)
    status = films.wait_end(LONG_NAME, "Succeeded")
    assert len(status["attempts"][0]["job"]) <= 63
    assert len(films.keys(LONG_NAME)) == 2


def test_what_is_too_large_is_refused_and_the_largest_that_is_not_is_judged(films: Films) -> None:
    for name, metadata in TOO_LARGE.items():
        with pytest.raises(ApiError) as refusal:
            films.bed.api.create(films.path, named(name, **metadata))
        assert refusal.value.status == 422, name
    films.bed.api.create(films.path, named("near", annotations={"example.com/much": "x" * 131_000}))
    films.wait_phase("near", "Suspended")
    assert_at_rest(films)


def test_without_the_policies_the_largest_objects_neither_stop_it_nor_keep_it_busy(
    films: Films, bed: Bed
) -> None:
    bed.install(admissionPolicies={"enabled": False})
    try:
        wait_until(lambda: admitted(films), 120, lambda: "the policies are still in force")
        for name, metadata in TOO_LARGE.items():
            films.bed.api.create(films.path, named(name, **metadata))
        for name in TOO_LARGE:
            films.wait_phase(name, "Suspended")
        assert_at_rest(films)
        for name in TOO_LARGE:
            take_off_finalizers(films, name)
            films.delete(name)
    finally:
        bed.install()


def admitted(films: Films) -> bool:
    try:
        films.bed.api.create(films.path, named("probe", **TOO_LARGE["annotations"]), dryRun="All")
    except ApiError:
        return False
    return True


def test_an_administrator_can_bound_how_many_there_are(films: Films, bed: Bed) -> None:
    quota = ("create", "quota", "videos", "--hard=count/videogenerations.wan.video=2")
    bed.control.kubectl(*quota, "-n", films.namespace)

    def refusal() -> str:
        try:
            films.bed.api.create(films.path, {**named(""), "metadata": {"generateName": "many-"}})
        except ApiError as error:
            if error.status != 403:
                raise
            return "" if "status unknown" in error.message else error.message  # nobody has counted yet
        return ""

    words = wait_until(refusal, 300, lambda: f"there are {len(films.bed.api.list(films.path))}")
    assert "exceeded quota: videos" in words


def test_a_status_that_somebody_wrote_by_hand_is_put_right(films: Films) -> None:
    for name in FORGED:
        films.apply(name, **ASLEEP)
    for name, status in FORGED.items():
        films.wait_phase(name, "Suspended")
        films.bed.api.patch(f"{films.path}/{name}/status", {"status": status}, MERGE)
    for name in FORGED:
        films.wait(name, lambda s: s.get("phase") == "Suspended" and s["observedGeneration"] == 1)
        assert films.status(name)["message"].startswith("planned"), films.status(name)
    assert_at_rest(films)


def test_a_running_one_whose_status_was_wiped_goes_on(films: Films) -> None:
    films.apply("wiped", **SLOW)
    films.wait_phase("wiped", "Running")
    films.bed.api.patch(f"{films.path}/wiped/status", {"status": None}, MERGE)
    status = films.wait_end("wiped", "Succeeded")
    assert [(a["number"], a["outcome"]) for a in status["attempts"]] == [(1, "Succeeded")]


def test_a_status_given_at_creation_is_not_taken(films: Films) -> None:
    films.bed.api.create(films.path, {**named("early"), "status": {"phase": "Succeeded"}})
    films.wait_phase("early", "Suspended")


def test_nothing_that_a_user_writes_is_taken_for_the_frameworks_own(films: Films) -> None:
    """kopf, as it comes, reads its annotations back and removes its finalizer from whatever has it."""
    for name, metadata in TAKEN_FOR_KOPFS.items():
        films.bed.api.create(films.path, named(name, **metadata))
    for name, metadata in TAKEN_FOR_KOPFS.items():
        films.wait_phase(name, "Suspended")
        assert films.get(name)["metadata"].get("finalizers", []) == metadata.get("finalizers", [])
    assert_at_rest(films)


def test_a_foreign_finalizer_holds_the_resource_and_nothing_of_ours(films: Films) -> None:
    films.bed.api.create(films.path, named("held", SLOW, finalizers=[FINALIZER]))
    films.wait_phase("held", "Running")
    films.delete("held")
    wait_until(
        lambda: not films.jobs() and not films.pods(), GRACE_S + 10, lambda: "its Job or pod is still there"
    )
    assert "deletionTimestamp" in films.get("held")["metadata"]
    assert_at_rest(films)
    take_off_finalizers(films, "held")
    wait_until(lambda: not films.bed.api.exists(f"{films.path}/held"), 120, lambda: "it is still there")


def take_off_finalizers(films: Films, name: str) -> None:
    films.bed.api.patch(f"{films.path}/{name}", {"metadata": {"finalizers": None}}, MERGE)


def send(films: Films, body: bytes, query: str = "") -> int:
    """POST these very bytes; the answer's status."""
    api = films.bed.api
    where = urlsplit(api.url)
    trust = ssl.create_default_context(cafile=str(api.ca))
    connection = http.client.HTTPSConnection(where.hostname or "", where.port, context=trust, timeout=30)
    try:
        headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
        connection.request("POST", films.path + query, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()
