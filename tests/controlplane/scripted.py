"""A container that speaks the task contract and does what the prompt says. Standard library, no model.

It is run with the arguments of the real runner. A prompt that is a JSON object {"attempts": [...]} says how
each attempt goes, the last entry standing for all that follow; with any other prompt every attempt succeeds
after a moment. An entry may say (all optional):

    seconds         how long the attempt takes, with reports (0.2)
    stage           the stage in which it spends them (Denoising)
    allocate_mib    memory that it really takes first
    ignore_sigterm  true: it ends only by SIGKILL; else SIGTERM ends it with 75, as it does the real runner
    exit            exit code (0, or the one of `category`)
    category        of the Result (the one of `exit`)
    message         of the Result
    device          of the Result: the GPU's product ("a device")
    result          false: it leaves none
    signal          the signal by which it ends itself
    upload          true: a small object and a manifest are put where the real runner puts its own
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tests.wan_operator.scripted_runner import report, write_result

if TYPE_CHECKING:
    from collections.abc import Mapping

ORDINARY = {"seconds": 0.2}
WORDS = (
    "seconds",
    "stage",
    "allocate_mib",
    "ignore_sigterm",
    "exit",
    "category",
    "message",
    "device",
    "result",
    "signal",
    "upload",
)
STAGES = (
    "Starting",
    "Fetching",
    "Loading",
    "EncodingText",
    "Denoising",
    "Decoding",
    "EncodingVideo",
    "Uploading",
)
REPORT_EVERY_S = 0.5
STEPS = 20
Task = dict[str, Any]
Script = dict[str, Any]


class Conflict(Exception):
    """The object is there already: somebody else has written this attempt's output."""


def read_script(task: Task) -> Script:
    """What the prompt says of this attempt."""
    prompt = task["requests"][task["rungs"][0]["plan"]["model"]]["prompt"]
    try:
        attempts = json.loads(prompt)["attempts"]
    except (ValueError, TypeError, KeyError):
        return dict(ORDINARY)
    script: Script = attempts[min(task["attempt"], len(attempts)) - 1]
    if unknown := set(script) - set(WORDS):
        raise SystemExit(
            f"scripted: the prompt says {', '.join(sorted(unknown))}; known are {', '.join(WORDS)}"
        )
    return ORDINARY | script


def main(argv: list[str]) -> int:
    """One attempt; its exit code."""
    options = read_options(argv)
    stop = {"now": lambda: 75}
    signal.signal(signal.SIGTERM, lambda *_: os._exit(stop["now"]()))
    task: Task = json.loads(Path(options["--task"]).read_text())
    script = read_script(task)
    stop["now"] = lambda: interrupted(options["--result"], task)
    if script.get("ignore_sigterm"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    memory = take(script.get("allocate_mib", 0))
    play(task, script, options)
    if "signal" in script:
        os.kill(os.getpid(), script["signal"])
    uploaded = upload(task) if script.get("upload") else {}
    del memory
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from here on it ends as it was going to
    return conclude(options["--result"], task, script, uploaded)


def read_options(argv: list[str]) -> dict[str, str]:
    """`run --name value ...`, as the real runner is called."""
    if argv[:1] != ["run"] or "--task" not in argv or "--result" not in argv:
        print(f"scripted: not called as the runner is: {argv}", file=sys.stderr)
        raise SystemExit(64)
    return dict(zip(argv[1::2], argv[2::2], strict=True))


def interrupted(result: str, task: Task) -> int:
    print("scripted: told to stop", file=sys.stderr, flush=True)
    write_result(result, task, "INTERRUPTED", message="told to stop, as scripted")
    return 75


def take(mib: int) -> bytearray:
    """So much memory, each page written."""
    memory = bytearray(mib << 20)
    memory[::4096] = b"x" * len(memory[::4096])
    return memory


def play(task: Task, script: Script, options: Mapping[str, str]) -> None:
    """Go through the stages and stay in one of them."""
    long = script.get("stage", "Denoising")
    for stage in (*STAGES[: STAGES.index(long)], long):
        tell(task, options, stage)
    began = time.monotonic()
    while (left := began + script["seconds"] - time.monotonic()) > 0:
        time.sleep(min(left, REPORT_EVERY_S))
        share = min(1.0, (time.monotonic() - began) / script["seconds"])
        tell(task, options, long, done=int(share * STEPS), etaSeconds=max(left, 0.0))
    for stage in STAGES[STAGES.index(long) + 1 :]:
        tell(task, options, stage)


def tell(task: Task, options: Mapping[str, str], stage: str, done: int = 0, **more: float) -> None:
    """A report, if somebody wants it; one that is lost is no failure."""
    print(f"scripted: attempt {task['attempt']}: {stage} {done}/{STEPS}", file=sys.stderr, flush=True)
    if task.get("reportUrl") is None:
        return
    try:
        report(task, Path(options["--report-token-file"]).read_text(), stage, done, **more)
    except OSError as error:
        print(f"scripted: progress could not be reported: {error}", file=sys.stderr, flush=True)


def conclude(result: str, task: Task, script: Script, uploaded: Mapping[str, object]) -> int:
    """Leave the Result that the script wants."""
    code, category = read_end(script)
    if script.get("result", True):
        facts = {word: script[word] for word in ("message", "device") if word in script}
        write_result(result, task, category, **facts)
        if category is None and uploaded:
            document = json.loads(Path(result).read_text())
            document["output"] |= uploaded
            Path(result).write_text(json.dumps(document))
    return code


def read_end(script: Script) -> tuple[int, str | None]:
    """Exit code and category; the one follows from the other as wan_core.errors has it."""
    code, category = script.get("exit"), script.get("category")
    if not code and category is None:
        return 0, None
    from wan_core.errors import TABLE, category_of_exit

    if code is None:
        return next(row.exit_code for known, row in TABLE.items() if known == category), category
    found = category_of_exit(code)
    return code, category or (None if found is None else found.value)


def upload(task: Task) -> dict[str, object]:
    """Two objects where the real runner puts its own; what the Result says of them."""
    who = {key: task[key] for key in ("namespace", "name", "uid", "attempt")}
    video = b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + json.dumps(who).encode()
    digest = hashlib.sha256(video).hexdigest()
    put(task["output"] + "video.mp4", video)
    manifest = {"version": 1, "resource": who, "output": {"sha256": digest, "bytes": len(video)}}
    put(task["output"] + "manifest.json", json.dumps(manifest).encode())
    return {"sha256": digest, "bytes": len(video), "manifest": task["output"] + "manifest.json"}


def put(uri: str, body: bytes) -> None:
    """Write an object that must not be there yet. Raises Conflict."""
    import urllib.error
    import urllib.request

    from tests.controlplane.signature import sign

    request = urllib.request.Request(
        os.environ["AWS_ENDPOINT_URL_S3"].rstrip("/") + "/" + uri.removeprefix("s3://"),
        body,
        {"If-None-Match": "*", "Content-Type": "application/octet-stream"},
        method="PUT",
    )
    sign(request, body)
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=600).close()
    except urllib.error.HTTPError as error:
        if error.code == 412:
            raise Conflict(f"{uri} is there already") from error
        raise


def run() -> NoReturn:
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
