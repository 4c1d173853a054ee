"""Into S3 without a key in the cluster: a role by web identity, over TLS with an authority of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.e2e.bed import Bed, Options
from tests.e2e.films import TINY, Films
from tests.e2e.tls_front import tls_front
from tests.e2e.witness import Witness
from tests.wan_runner.store.answering import Request, Response, answering, sts_refusal
from tests.wan_runner.store.certificates import Authority, make_authority

BED = Options(namespaces=4)
ROLE, AUDIENCE = "arn:aws:iam::123456789012:role/wan", "sts.example.com"
CALL = "AssumeRoleWithWebIdentity"


class Sts:
    """Gives S3's key to whom the API server knows: the runners' service account, with a token for us.

    There is no session token with it: versitygw, which has no STS, refuses every one.
    """

    def __init__(self, bed: Bed) -> None:
        self.bed, self.users = bed, set[str]()

    def answer(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        review = {"spec": {"token": form["WebIdentityToken"], "audiences": [AUDIENCE]}}
        document = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", **review}
        status = self.bed.api.create("/apis/authentication.k8s.io/v1/tokenreviews", document)["status"]
        if form["RoleArn"] != ROLE or not status.get("authenticated"):
            return sts_refusal(400, "InvalidIdentityToken", status.get("error", "another role"))
        self.users.add(status["user"]["username"])
        return self._grant()

    def _grant(self) -> Response:
        end = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        s3 = self.bed.s3
        keys = f"<AccessKeyId>{s3.access_key}</AccessKeyId><SecretAccessKey>{s3.secret_key}</SecretAccessKey>"
        told = f"<Credentials>{keys}<SessionToken/><Expiration>{end}</Expiration></Credentials>"
        result = f"<{CALL}Result>{told}</{CALL}Result>"
        return Response(200, f"<{CALL}Response>{result}</{CALL}Response>".encode())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"), "our-authority")


@pytest.fixture(scope="module")
def sts(beds: tuple[Bed, Witness], authority: Authority, tmp_path_factory: Any) -> Iterator[Sts]:
    """The chart installed so that runners are to come by web identity, over TLS of ours."""
    bed, folder = beds[0], tmp_path_factory.mktemp("tls")
    pair, sts = authority.sign(folder, "127.0.0.1"), Sts(bed)
    with tls_front(bed.s3.endpoint, pair) as s3, answering(sts.answer, tls=pair) as server:
        bed.install(
            s3={
                "endpointUrl": s3,
                "credentials": "webIdentity",
                "webIdentity": {"roleArn": ROLE, "audience": AUDIENCE, "stsEndpointUrl": server.endpoint},
                "caBundle": {"name": "roots"},
            }
        )
        yield sts
        bed.install()


@pytest.fixture
def keyless(beds: tuple[Bed, Witness], sts: Sts) -> Iterator[Films]:
    """A served namespace in which there is no Secret."""
    bed, witness = beds
    films = Films(bed, witness, bed.take_namespace(secret=False))
    yield films
    witness.check(films.namespace)


def give_roots(films: Films, file: Path) -> None:
    films.bed.control.kubectl(
        "create", "configmap", "roots", "-n", films.namespace, f"--from-file=ca.crt={file}"
    )


def test_a_video_is_made_without_any_key_in_the_cluster(
    keyless: Films, sts: Sts, authority: Authority
) -> None:
    give_roots(keyless, authority.file)
    keyless.apply("tiny", **TINY)
    keyless.wait_end("tiny", "Succeeded")
    assert sts.users == {f"system:serviceaccount:{keyless.namespace}:wan-runner"}
    assert keyless.keys("tiny")


def test_an_authority_that_did_not_sign_is_named(keyless: Films, tmp_path: Path) -> None:
    give_roots(keyless, make_authority(tmp_path, "another-authority").file)
    keyless.apply("distrustful", **TINY, fallback={"maxAttempts": 1})
    status = keyless.wait_end("distrustful", "Failed")
    assert status["reason"] == "NetworkError"
    assert "s3.caBundle" in status["message"]
    assert "STS at https://127.0.0.1" in status["message"]
    assert "is not by an authority that is trusted here" in status["message"]
