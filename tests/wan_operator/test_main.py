"""The command `wan-operator`: its exit codes, and that it ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
import yaml

from tests.controlplane.process import free_port, wait_until

COMMAND = (sys.executable, "-m", "wan_operator")


def settings(folder: Path, **more: object) -> tuple[str, str]:
    path = folder / "settings.yaml"
    given = {
        "namespaces": ["films"],
        "weights": "s3://weights",
        "output": "s3://videos",
        "runner": {"image": "runner:1"},
        "report": {"url": "http://operator/v1/progress", "port": free_port()},
    }
    path.write_text(yaml.safe_dump(given | more))
    return "--settings", str(path)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KUBE")}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def kubeconfig(folder: Path) -> str:
    """A cluster that nobody answers for."""
    path = folder / "config"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_its_version_is_that_of_the_package() -> None:
    done = run("--version")

    assert (done.returncode, done.stdout.split()[0]) == (0, "wan-operator")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param({"namespaces": []}, "namespaces", id="a wrong value"),
        pytest.param({"namespace": "films"}, "namespace", id="an unknown field"),
    ],
)
def test_wrong_settings_are_named_in_one_json_line(
    tmp_path: Path, more: dict[str, object], words: str
) -> None:
    done = run(*settings(tmp_path, **more))

    assert done.returncode == 64
    (line,) = done.stderr.splitlines()
    assert words in json.loads(line)["message"]


def test_of_several_wrong_settings_each_is_named(tmp_path: Path) -> None:
    wrong = {f"field{number}": 1 for number in range(6)}

    (line,) = run(*settings(tmp_path, **wrong)).stderr.splitlines()

    assert all(f"{name}: unknown field" in json.loads(line)["message"] for name in wrong)


def test_settings_that_are_not_there_are_named() -> None:
    done = run("--settings", "/nowhere.yaml")

    assert done.returncode == 64
    assert "/nowhere.yaml" in json.loads(done.stderr)["message"]


def test_without_a_cluster_it_says_so(tmp_path: Path) -> None:
    done = run(*settings(tmp_path))

    assert done.returncode == 64
    assert "KUBECONFIG" in json.loads(done.stderr)["message"]


def test_a_price_of_a_gpu_that_nobody_knows_is_a_warning_at_start(tmp_path: Path) -> None:
    prices = {"NVIDIA-L4": 0.8, "RTX 4091": 0.4}
    first, _ = run(*settings(tmp_path, planning={"pricesPerGpuHour": prices})).stderr.splitlines()
    told = json.loads(first)
    assert told["level"] == "WARNING"
    assert told["message"].startswith('planning.pricesPerGpuHour: "RTX 4091" is not in the table of GPUs')


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to_even_while_it_waits_for_the_api_server(
    tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    environment = os.environ | {"KUBECONFIG": kubeconfig(tmp_path)}
    command = [*COMMAND, *settings(tmp_path, healthPort=port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as operator:
        wait_until(lambda: answers(port), 120, "the operator does not serve /healthz")
        operator.send_signal(number)
        assert operator.wait(120) == 0
        assert operator.stderr is not None
        lines = [json.loads(line) for line in operator.stderr]
    assert any("the API server cannot be asked" in line["message"] for line in lines)
    assert lines[-1]["message"] == "stopped"


def answers(port: int) -> bool:
    """Whether it is alive and says that it is not ready yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60) as healthz:
            alive = healthz.status == 200
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60)
    except HTTPError as refusal:
        return alive and refusal.code == 503
    except (URLError, OSError):
        return False
    return False
