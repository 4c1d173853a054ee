"""GPUs as a person lists them."""

from __future__ import annotations

import re

import pytest

from wan_core.errors import InvalidInput
from wan_core.plan.by_hand import HOST_MEMORY_GIB, parse_gpus


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("H100-80:4,RTX4090:2", [("H100 SXM", 79.65, 4), ("RTX 4090", 23.99, 2)]),
        ("4090", [("RTX 4090", 23.99, 1)]),
        (" 4090 : 2 , L4 ,", [("RTX 4090", 23.99, 2), ("L4", 22.49, 1)]),
        ("XYZ@24GiB:2", [("XYZ", 24.0, 2)]),
        ("4090@48GB", [("RTX 4090", 48.0, 1)]),
        ("3080@12", [("RTX 3080 12GB", 12.0, 1)]),
        ("h100 1g.10gb:7", [("H100 SXM 1g.10gb", 9.46, 7)]),
    ],
    ids=["two kinds", "one", "with spaces", "unknown", "a changed board", "told apart by memory", "slices"],
)
def test_a_list_is_read(text: str, expected: list[tuple[str, float, int]]) -> None:
    nodes = parse_gpus(text).nodes
    found = [(n.gpus[0].product, round(n.gpus[0].memory_gib, 2), len(n.gpus)) for n in nodes]
    assert found == expected
    assert all(node.gpu_only and node.host_memory_gib == HOST_MEMORY_GIB for node in nodes)


def test_no_name_can_steer_a_terminal() -> None:
    (node,) = parse_gpus("XYZ\x1b[31m@24").nodes
    assert node.gpus[0].product == "XYZ\\x1b[31m"
    assert node.name.isprintable()


def test_an_unknown_gpu_is_refused_with_what_would_do() -> None:
    with pytest.raises(InvalidInput, match=r"nearest: RTX 5090.*; of another write the memory, as NAME@"):
        parse_gpus("RTX 5095")


def test_a_machine_without_a_gpu_offers_its_cpu() -> None:
    (node,) = parse_gpus("cpu", host_memory_gib=16).nodes
    assert (node.gpus, node.host_memory_gib, node.gpu_only) == ((), 16, False)


def test_memory_that_both_share_is_not_promised_twice() -> None:
    (node,) = parse_gpus("gb10").nodes
    assert node.gpus[0].memory_gib + node.host_memory_gib == 119


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["lists no GPU"]),
        (",", ["lists no GPU"]),
        ("H100:2,,", ['"" is not NAME']),
        (",H100,,L4", ['"" is not NAME', '"" is not NAME']),
        ("4090:0", ['"4090:0": "0" is not a number of GPUs']),
        ("4090:-1", ['"-1" is not a number']),
        ("4090:99999", ["is not a number of GPUs from 1 to 1024"]),
        ("4090@lots", ['"lots" is not an amount of memory']),
        ("4090@0", ["is not an amount of memory"]),
        ("4090:1:2", ["is not NAME"]),
        (":4", ["is not NAME"]),
        ("a100:2", ["could be A100 SXM 40GB"]),
        ("foo,4090:x,h100", ['"foo" is not in the table', '"x" is not a number']),
        ("4090@\u0662\u0664", ["is not an amount of memory"]),
        ("cpu@24", ["the machine's memory is --host-memory"]),
        ("cpu:4", ["cpu stands alone"]),
        (f"{'x' * 64}@24", ["has 64 characters; the maximum is 63"]),
        ("4090\x1b[31m", [r"\\u001b|\\x1b"]),
    ],
)
def test_each_entry_that_is_wrong_is_told(text: str, problems: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_gpus(text)
    assert len(caught.value.problems) == len(problems)
    for told, expected in zip(caught.value.problems, problems, strict=True):
        assert told.startswith("--gpus: ")
        assert re.search(expected, told)


def test_the_path_is_the_callers() -> None:
    with pytest.raises(InvalidInput, match=r"^gpus\[0\]: "):
        parse_gpus("foo", path="gpus[0]")
