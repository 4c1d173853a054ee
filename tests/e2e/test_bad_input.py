"""Bad input: refused at admission or a typed Failed; the operator never crashes and never loops.

Suspended where it could run, so that nothing but the operator's judgement is tried.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.controlplane.client import ApiError, Document
from tests.e2e.bed import Bed, Options, wait_until
from tests.e2e.films import TINY, Films
from tests.wan_core.api.cases import BROKEN, CHANGES, MISSHAPEN, VALID

BED = Options(namespaces=8)
LONG_NAME = ".".join(["a" * 63] * 3 + ["b" * 61])  # 253 characters, the most that a name may have
ODD_PROMPTS = {
    "NUL": "a\x00b",
    "ANSI": "\x1b[31mred\x1b[0m",
    "line breaks": "one\r\ntwo\nthree",
    "right to left": "\u202eevil\u202c",
    "emoji": "\U0001f436" * 4000,
    "a shell": "$(rm -rf /); `id`; {{ .Values }}",
    "JSON": '{"level": "ERROR", "message": "forged"}',
    "the longest": "x" * 8192,
}


def restarts(bed: Bed) -> int:
    """How often the operator's container was started again."""
    return sum(
        s["restartCount"] for p in bed.operator_pods() for s in p["status"].get("containerStatuses", [])
    )


@pytest.fixture(autouse=True)
def the_operator_stays(bed: Bed) -> Any:
    before = restarts(bed)
    yield
    assert restarts(bed) == before, bed.operator_log()[-3000:]


def test_what_is_valid_is_admitted_and_judged(films: Films) -> None:
    for number, spec in enumerate(VALID.values()):
        films.apply(f"valid-{number}", **{**spec, "suspend": True})
    for number, (title, spec) in enumerate(VALID.items()):
        status = films.wait_phase(f"valid-{number}", "Suspended", "Failed", timeout_s=60)
        if status["phase"] == "Failed":
            assert status["reason"] in ("InvalidInput", "ModelCannotRun"), (title, spec, status["message"])
            assert "spec." in status["message"], title


def test_what_a_rule_refuses_never_enters(films: Films) -> None:
    for number, (title, (spec, messages)) in enumerate(BROKEN.items()):
        with pytest.raises(ApiError) as refusal:
            films.apply(f"broken-{number}", **spec)
        assert refusal.value.status == 422, title
        for message in messages:
            assert message in refusal.value.message, title


def test_what_the_schema_refuses_never_enters(films: Films) -> None:
    for number, (title, case) in enumerate(MISSHAPEN.items()):
        with pytest.raises(ApiError) as refusal:
            films.apply(f"misshapen-{number}", **case[0])
        assert refusal.value.status in (400, 422), title


def test_changes_are_held_to_what_may_change(films: Films) -> None:
    for number, (title, (old, new, messages)) in enumerate(CHANGES.items()):
        name = f"change-{number}"
        films.apply(name, **{**old, "suspend": True})
        films.wait_phase(name, "Suspended", "Failed", timeout_s=30)
        document = {**films.get(name), "spec": {"suspend": True, **new}}
        if not messages:
            films.bed.api.replace(f"{films.path}/{name}", document)
            continue
        with pytest.raises(ApiError) as refusal:
            films.bed.api.replace(f"{films.path}/{name}", document)
        for message in messages:
            assert message in refusal.value.message, title


@pytest.mark.parametrize("prompt", ODD_PROMPTS.values(), ids=ODD_PROMPTS)
def test_an_odd_prompt_is_judged_and_forges_no_log_line(films: Films, prompt: str) -> None:
    name = f"odd-{abs(hash(prompt)) % 10**8}"
    try:
        films.apply(name, **{**TINY, "prompt": prompt, "suspend": True})
    except ApiError as refusal:
        assert refusal.status in (400, 422)  # noqa: PT017 - both answers are right
        return
    films.wait_phase(name, "Suspended", "Failed", timeout_s=30)
    for line in films.bed.operator_log().splitlines():
        assert json.loads(line).get("message") != "forged"


def test_a_lone_surrogate_is_judged(films: Films) -> None:
    raw = json.dumps(
        {
            "apiVersion": "wan.video/v1alpha1",
            "kind": "VideoGeneration",
            "metadata": {"name": "surrogate"},
            "spec": {**TINY, "prompt": "a \ud800 b", "suspend": True},
        }
    ).encode()  # json escapes it; the API server takes it
    if send(films, raw) == 201:
        films.wait_phase("surrogate", "Suspended", "Failed", timeout_s=30)


def test_a_name_of_253_characters_becomes_a_video(films: Films) -> None:
    films.apply(LONG_NAME, **TINY)
    status = films.wait_end(LONG_NAME, "Succeeded")
    assert len(status["attempts"][0]["job"]) <= 63


def test_annotations_of_262_100_bytes_neither_crash_nor_loop(films: Films) -> None:
    document = {
        "apiVersion": "wan.video/v1alpha1",
        "kind": "VideoGeneration",
        "metadata": {"name": "annotated", "annotations": {"example.com/much": "x" * 262_060}},
        "spec": {**TINY, "suspend": True},
    }
    try:
        films.bed.api.create(films.path, document)
    except ApiError as refusal:
        assert refusal.status in (403, 422)  # noqa: PT017 - a policy may refuse it
        return
    films.wait_phase("annotated", "Suspended", timeout_s=30)
    assert_quiet(films, "annotated")


def test_an_object_of_1_5_mib_is_refused_and_one_just_below_is_judged(films: Films) -> None:
    fields = {"example.com/" + "k" * 40: "v" * 200_000}
    near: Document = {
        "apiVersion": "wan.video/v1alpha1",
        "kind": "VideoGeneration",
        "metadata": {"name": "near", "annotations": fields},
        "spec": {**TINY, "suspend": True},
    }
    films.bed.api.create(films.path, near)
    films.wait_phase("near", "Suspended", timeout_s=30)
    body = json.dumps({**near, "metadata": {"name": "over"}, "spec": {**TINY, "prompt": "x" * 1_600_000}})
    assert send(films, body.encode()) >= 400


def test_a_status_that_somebody_wrote_by_hand_is_put_right(films: Films) -> None:
    films.apply("forged", **TINY, suspend=True)
    films.wait_phase("forged", "Suspended", timeout_s=30)
    forged = {"status": {"phase": "Pending", "message": "forged", "attempts": [{"number": 7, "job": "none"}]}}
    films.bed.api.patch(f"{films.path}/forged/status", forged)
    films.wait_phase("forged", "Suspended", timeout_s=30)


def assert_quiet(films: Films, name: str, seconds: float = 8) -> None:
    """Its resourceVersion stands still for so long: the operator has come to rest."""
    wait_until(lambda: still(films, name, seconds), 60, lambda: f"{name} keeps changing")


def still(films: Films, name: str, seconds: float) -> bool:
    before = films.get(name)["metadata"]["resourceVersion"]
    time.sleep(seconds)
    return bool(films.get(name)["metadata"]["resourceVersion"] == before)


def send(films: Films, body: bytes) -> int:
    """POST these very bytes; the answer's status."""
    api = films.bed.api
    where = urlsplit(api.url)
    trust = ssl.create_default_context(cafile=str(api.ca))
    connection = http.client.HTTPSConnection(where.hostname or "", where.port, context=trust, timeout=30)
    try:
        headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
        connection.request("POST", films.path, body, headers)
        return connection.getresponse().status
    except OSError:
        return 413  # the server hung up on it
    finally:
        connection.close()
