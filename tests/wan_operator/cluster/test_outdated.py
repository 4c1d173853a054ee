"""A Job made under other settings is known as such, by those who came after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.wan_operator.cluster.documents import job_document
from tests.wan_operator.cluster.stage import settings_of
from tests.wan_operator.worlds import NOW, waits
from wan_operator.cluster.outdated import digest_settings, mark_outdated
from wan_operator.cluster.pods import JobFacts, read_job

OURS = digest_settings(settings_of())


def job(settings: str = "other", created: datetime = NOW) -> JobFacts:
    facts = read_job(job_document(annotations={"wan.video/settings": settings}))
    assert facts is not None
    return replace(facts, created=created)


CASES = [
    pytest.param(job(), NOW + timedelta(seconds=1), True, id="made before us, under other settings"),
    pytest.param(job(OURS), NOW + timedelta(seconds=1), False, id="under the same settings"),
    pytest.param(job(), NOW, False, id="by a later operator, under its own settings"),
    pytest.param(job(""), NOW + timedelta(seconds=1), True, id="by an operator that told no settings"),
]


@pytest.mark.parametrize(("found", "since", "outdated"), CASES)
def test_a_job_counts_as_outdated(found: JobFacts, since: datetime, outdated: bool) -> None:
    (attempt,) = mark_outdated((waits(1),), (found,), OURS, since)
    assert attempt.outdated is outdated


@pytest.mark.parametrize(
    ("more", "same"),
    [
        ({"runner": {"image": "runner:2"}}, False),
        ({"runner": {"image": "runner:1", "podTemplate": {"spec": {"nodeSelector": {"a": "b"}}}}}, False),
        ({"s3": {"secretName": "other"}}, False),
        ({"namespaces": ["films", "more"]}, True),
        ({"logLevel": "DEBUG", "healthPort": 9000}, True),
    ],
)
def test_the_digest_tells_settings_apart_that_make_other_jobs(more: dict[str, object], same: bool) -> None:
    assert (digest_settings(settings_of(**more)) == OURS) is same
