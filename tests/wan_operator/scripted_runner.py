"""A runner that does as it is told: it speaks the task contract and touches no model. Standard library only.

The cluster's scripted container (tests/controlplane/scripted.py) speaks through the same functions; what
loads slowly is imported where it is used. The environment variable SCRIPT says, as a JSON list, how each
attempt goes: an exit code, or one of `WORDS`. What it was given is written to the file that WITNESS names, so
that tests can look at it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

WORDS = ("ok", "kill", "hang", "deaf", "fill")
FILLED = 1 / 32  # of the host memory that the plan needs: "fill" really takes so much
CATEGORIES = {69: "NETWORK_ERROR", 71: "CUDA_OUT_OF_MEMORY", 72: "HOST_OUT_OF_MEMORY", 77: "ACCESS_DENIED"}
STAGES = ("Starting", "Fetching", "Loading", "Denoising", "Uploading")


def report(task: dict, token: str, stage: str, done: int = 0, **more: object) -> None:
    import urllib.request

    body = {
        "version": 1,
        "uid": task["uid"],
        "attempt": task["attempt"],
        "stage": stage,
        "done": done,
        "total": 20,
        "secondsPerStep": 0.01,
        "plan": task["rungs"][0]["plan"]["model"] + "/" + label(task["rungs"][0]["plan"]),
        "device": "a device",
        "time": datetime.now(UTC).isoformat(),
        **more,
    }
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(task["reportUrl"], json.dumps(body).encode(), headers)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5).close()


def label(plan: dict) -> str:
    return plan["device"] + "/" + "+".join(plan["techniques"])


def write_result(path: str, task: dict, category: str | None, **facts: object) -> None:
    """The Result of a video, or of a failure of this category; `facts` are laid over it."""
    canonical = json.dumps(task, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    result = {
        "version": 1,
        "uid": task["uid"],
        "attempt": task["attempt"],
        "taskDigest": hashlib.sha256(canonical.encode()).hexdigest(),
        "plan": task["rungs"][0]["plan"]["model"] + "/" + label(task["rungs"][0]["plan"]),
        "device": "a device",
    }
    if category is None:
        request = task["requests"][task["rungs"][0]["plan"]["model"]]
        size = {key: request[key] for key in ("width", "height", "frames", "fps")}
        result["output"] = {"uri": task["output"] + "video.mp4", **size}
    else:
        result |= {"category": category, "message": f"as scripted: {category}"}
    Path(path).write_text(json.dumps(result | facts))


def witness(facts: dict) -> None:
    if "WITNESS" in os.environ:
        with open(os.environ["WITNESS"], "a") as file:
            file.write(json.dumps(facts) + "\n")


def run(arguments: argparse.Namespace) -> int:
    task_path = Path(arguments.task)
    task, token = json.loads(task_path.read_text()), Path(arguments.report_token_file).read_text()
    witness(
        {
            "pid": os.getpid(),
            "argv": sys.argv,
            "env": dict(os.environ),
            "task": task,
            "token": token,
            "folder_mode": oct(task_path.parent.stat().st_mode & 0o777),
            "task_mode": oct(task_path.stat().st_mode & 0o777),
            "group_leader": os.getpgid(0) == os.getpid(),
        }
    )
    word = json.loads(os.environ["SCRIPT"])[task["attempt"] - 1]
    if word == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if word == "hang":
        signal.signal(signal.SIGTERM, lambda *_: interrupted(arguments.result, task))
    for stage in STAGES[:4] if word in WORDS else STAGES[:1]:
        report(task, token, stage, done=10 if stage == "Denoising" else 0)
    if word == "fill":
        word = fill(int(task["rungs"][0]["memory"]["hostGib"] * FILLED * (1 << 30)))
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while word in ("hang", "deaf"):
        time.sleep(60)
    if word == "ok":
        report(task, token, "Uploading")
    code = 0 if word == "ok" else word
    write_result(arguments.result, task, CATEGORIES.get(code))
    return code


def fill(size: int) -> str | int:
    """Take memory as loading a model does; the word or exit code with which to go on."""
    try:
        memory = bytearray(size)
    except MemoryError:
        return 72
    memory[::4096] = b"x" * len(memory[::4096])  # pages count once they are written
    return "ok"


def interrupted(result: str, task: dict) -> None:
    write_result(result, task, "INTERRUPTED")
    os._exit(75)


def serve(arguments: argparse.Namespace) -> int:
    import tempfile

    if os.environ.get("SERVE") == "dies":
        return 70
    if (
        os.environ.get("SERVE") == "dies once"
        and not (marker := Path(tempfile.gettempdir(), "died")).exists()
    ):
        marker.touch()
        return 75
    images = sorted(
        str(p.relative_to(arguments.inputs)) for p in Path(arguments.inputs).rglob("*") if p.is_file()
    )
    witness({"images": images, "server": os.getpid()})
    draft = Path(arguments.ready + ".draft")
    draft.write_text(
        json.dumps({"endpoint": "http://127.0.0.1:9", "accessKey": "local", "secretKey": "local"})
    )
    draft.rename(arguments.ready)
    sys.stdin.read()
    return 0


def collect(arguments: argparse.Namespace) -> int:
    if os.environ.get("COLLECT") == "fails":
        print("wan-runner: no such video", file=sys.stderr)
        return 77
    Path(arguments.to).write_text(f"a copy of {arguments.uri}")
    Path(arguments.contact_sheet).write_text("its frames")
    return 0


def main() -> int:
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["run", "serve", "collect"])
    for option in (
        "task",
        "result",
        "report-token-file",
        "cache",
        "inputs",
        "ready",
        "uri",
        "to",
        "contact-sheet",
    ):
        parser.add_argument(f"--{option}")
    parser.add_argument("--reference", action="store_true")
    arguments = parser.parse_args()
    return {"run": run, "serve": serve, "collect": collect}[arguments.verb](arguments)


if __name__ == "__main__":
    sys.exit(main())
