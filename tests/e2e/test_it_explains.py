"""It explains: `kubectl wan explain --cluster` says what the operator has written into the status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

from tests.e2e.bed import SYSTEM, Bed, Options, wait_until
from tests.e2e.films import BIG, Films, script
from tests.e2e.gpus import Join, gpu_node, h200, l4

BED = Options(runner="scripted", namespaces=2)
LONG = {**BIG, "prompt": script({"seconds": 300})}


def explain(bed: Bed, films: Films, name: str) -> dict[str, Any]:
    """As a person with the cluster's kubeconfig asks about a resource, the operator's settings at hand."""
    settings = bed.folder / "settings.yaml"
    settings.write_text(
        bed.api.get(f"/api/v1/namespaces/{SYSTEM}/configmaps/wan-operator")["data"]["settings.yaml"]
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = ["--cluster", "--settings", str(settings), "-o", "json"]
    done = subprocess.run(
        ["kubectl", "wan", "explain", "-f", "-", *options],
        input=json.dumps(films.get(name)),
        env={**os.environ, "PATH": path, "KUBECONFIG": str(bed.control.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 74), done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def agree(bed: Bed, films: Films, name: str) -> list[dict[str, Any]]:
    """The ladder that both tell. A resource that waits for nothing is looked at anew when it is changed."""
    told: list[Any] = []
    hours = count(1)

    def ask() -> bool:
        films.edit(name, retention={"failed": f"{next(hours)}h"})
        told[:] = [explain(bed, films, name)["ladder"], films.status(name)["ladder"]]
        return bool(told[0] == told[1])

    wait_until(ask, 180, lambda: "\n".join(json.dumps(one, sort_keys=True) for one in told))
    return list(told[0])


def test_the_command_and_the_status_never_disagree(films: Films, join: Join, bed: Bed) -> None:
    join(l4(), gpu_node("old", "Tesla-T4", 15360, "7.5"))
    films.apply("video", **BIG, quality="near", fallback={"models": ["t2v-1.3B"]}, suspend=True)
    films.wait("video", lambda s: s.get("phase") == "Suspended" and s["ladder"])
    assert "FitsNow" in {rung["verdict"] for rung in agree(bed, films, "video")}
    join(h200())
    films.wait("video", lambda s: s["ladder"][0]["verdict"] == "FitsNow")
    assert agree(bed, films, "video")[0]["verdict"] == "FitsNow"


def test_what_is_busy_is_seen_by_both(films: Films, join: Join, bed: Bed) -> None:
    join(h200())
    films.apply("first", **LONG)
    films.wait_running_pod()
    films.apply("second", **BIG, suspend=True)
    films.wait("second", lambda s: s.get("phase") == "Suspended" and s["ladder"])
    assert {rung["verdict"] for rung in agree(bed, films, "second")} == {"FitsLater"}
