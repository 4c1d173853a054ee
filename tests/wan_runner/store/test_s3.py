"""Names of objects, the client's settings, and what each answer of S3 becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_runner.store.faulty_s3 import FaultyS3
from wan_core.errors import (
    AccessDenied,
    InvalidInput,
)
from wan_runner.store.s3 import (
    Location,
    connect,
    parse_uri,
    read_input,
    require_bucket,
)


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://weights/wan-tiny", "weights", "wan-tiny"),
        ("s3://my.bucket-1/a/b c/d.png", "my.bucket-1", "a/b c/d.png"),
        ("s3://weights", "weights", ""),
        ("s3://weights/", "weights", ""),
    ],
)
def test_an_address_names_a_bucket_and_a_key(uri: str, bucket: str, key: str) -> None:
    assert parse_uri(uri) == Location(bucket, key)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "weights/x",
        "http://weights/x",
        "S3://weights/x",
        "s3:/weights/x",
        "s3:///x",
        "s3://We/x",
        "s3://a_b/x",
        "s3://ab/x",
        "s3://weights/../x",
        "s3://weights/a/./x",
        "s3://weights/x/..",
        "s3://weights/\0",
        "s3://weights/a\nb",
        "s3://weights/\ud800",
        "s3://weights/" + "x" * 1025,
    ],
    ids=lambda uri: ascii(uri)[:24],
)
def test_what_is_no_address_is_invalid_input_that_names_the_field(uri: str) -> None:
    with pytest.raises(InvalidInput, match=r"spec\.image: "):
        parse_uri(uri, "spec.image")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_invalid_input(text: str) -> None:
    try:
        place = parse_uri("s3://" + text)
    except InvalidInput:
        return
    assert place.uri.rstrip("/") == f"s3://{text}".rstrip("/")


@given(st.sampled_from(["", "wan", "wan/", "a/b"]))
def test_a_child_lies_one_slash_below(key: str) -> None:
    assert Location("b", key).child("x.json").key == (f"{key.rstrip('/')}/x.json" if key else "x.json")


def test_the_client_reads_the_ordinary_environment(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ENDPOINT_URL", "http://minio.example:9000")
    aws.setenv("AWS_REGION", "eu-central-1")
    client = connect()
    assert client.meta.endpoint_url == "http://minio.example:9000"
    assert client.meta.region_name == "eu-central-1"
    assert client.meta.config.s3["addressing_style"] == "path"


def test_a_password_in_the_endpoint_is_refused_and_not_repeated(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ENDPOINT_URL", "http://me:hidden@minio.example:9000")
    with pytest.raises(InvalidInput, match="AWS_ENDPOINT_URL: there is a user") as caught:
        connect()
    assert "hidden" not in str(caught.value)


def test_without_an_endpoint_it_is_amazon_and_the_region_has_a_default(aws: pytest.MonkeyPatch) -> None:
    client = connect()
    assert client.meta.endpoint_url.endswith("amazonaws.com")
    assert client.meta.region_name == "us-east-1"


def test_the_s3_endpoint_wins_over_the_general_one(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ENDPOINT_URL", "http://other.example")
    aws.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example")
    assert connect().meta.endpoint_url == "http://s3.example"


def test_a_proxy_is_not_asked_for_this_machine(faulty: FaultyS3, aws: pytest.MonkeyPatch) -> None:
    aws.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    aws.setenv("http_proxy", "http://127.0.0.1:9")
    faulty.objects["/inputs/a.png"] = b"image"
    assert read_input("s3://inputs/a.png", max_bytes=10) == b"image"


@pytest.mark.parametrize("endpoint", ["not a url", "localhost:9000", "ftp//x"])
def test_an_endpoint_that_is_no_url_is_invalid_input(aws: pytest.MonkeyPatch, endpoint: str) -> None:
    aws.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(InvalidInput, match="AWS_ENDPOINT_URL"):
        connect()


def test_an_addressing_style_that_is_none_is_invalid_input(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("WAN_S3_ADDRESSING_STYLE", "paths")
    with pytest.raises(InvalidInput, match="WAN_S3_ADDRESSING_STYLE: 'paths'; expected path, virtual, auto"):
        connect()


def test_a_profile_may_say_where_s3_is(aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "[default]\nregion = eu-west-3\nendpoint_url = http://of-profile.example\n"
    )
    aws.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    client = connect()
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://of-profile.example", "eu-west-3")
    assert client.meta.config.s3["addressing_style"] == "path"


def test_a_profile_that_does_not_exist_is_access_denied(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AccessDenied, match="nobody"):
        connect()


def test_a_bucket_to_write_to_is_missed_before_it_is_needed(s3: Any) -> None:
    require_bucket("s3://videos/default/u-1/1/")
    with pytest.raises(AccessDenied, match="cannot write: there is no bucket 'nowhere'") as caught:
        require_bucket("s3://nowhere/default/u-1/1/")
    assert caught.value.advice == "Create the bucket, or correct its name."


def test_an_image_is_read_whole(s3: Any) -> None:
    s3.put_object(Bucket="inputs", Key="a.png", Body=b"image")
    assert read_input("s3://inputs/a.png", max_bytes=5) == b"image"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        pytest.param("s3://inputs/none.png", "spec.image: there is no s3://inputs/none.png", id="no object"),
        pytest.param("s3://nowhere/a.png", "spec.image: there is no bucket 'nowhere'", id="no bucket"),
        pytest.param("s3://inputs/a.png", "has 6 bytes; at most 5 are read", id="too large"),
        pytest.param("s3://inputs/", "names no object", id="a folder"),
        pytest.param("corgi.png", "expected s3://bucket/key", id="a local file"),
    ],
)
def test_an_image_that_cannot_be_read_is_the_authors_to_mend(s3: Any, uri: str, said: str) -> None:
    s3.put_object(Bucket="inputs", Key="a.png", Body=b"6bytes")
    with pytest.raises(InvalidInput) as caught:
        read_input(uri, max_bytes=5)
    assert said in caught.value.message
