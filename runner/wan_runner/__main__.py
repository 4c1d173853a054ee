"""The command `wan-runner`. Signals are taken over before anything heavy is imported."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from wan_runner.interrupt import Interruption

if TYPE_CHECKING:
    from wan_core.api.status import OutputStatus
    from wan_core.errors import WanError
    from wan_core.task import Result, Task
    from wan_runner.result import Ending, Record

# Nothing is ever downloaded from a hub; idle OpenMP threads sleep instead of spinning (wan-tiny on 2 busy
# cores: 20 steps in 0.9 s instead of 2 to 20 s, torch 2.15.0, 2026-11-21).
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "OMP_WAIT_POLICY": "PASSIVE"}
USAGE_EXIT = 64  # INVALID_INPUT in wan_core.errors.TABLE; argparse would end with 2

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; returns its exit code, which is one of wan_core.errors.TABLE."""
    args = build_parser().parse_args(argv)
    if args.command == "serve":  # takes signals over itself
        return run_server(args)
    interruption = Interruption()
    interruption.end_with(stop_bare)
    interruption.install()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)
    if args.command == "run":
        return run(args, interruption)
    return run_tool(args, interruption)


class Parser(argparse.ArgumentParser):
    """Ends with the exit code of invalid input."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE_EXIT, f"wan-runner: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    """The subcommands run, serve and collect."""
    parser = Parser(prog="wan-runner", description="One attempt at one video, and the tools around it.")
    commands = parser.add_subparsers(dest="command", required=True)
    attempt = commands.add_parser("run", help="make the video of a Task")
    attempt.add_argument("--task", type=Path, required=True, metavar="FILE", help="the Task as JSON")
    attempt.add_argument("--result", type=Path, required=True, metavar="FILE", help="where the Result goes")
    attempt.add_argument(
        "--report-token-file", type=Path, metavar="FILE", help="bearer token for progress reports"
    )
    attempt.add_argument(
        "--cache", type=Path, default=default_cache(), metavar="DIR", help="weights (default: %(default)s)"
    )
    attempt.add_argument(
        "--reference", action="store_true", help="let stock diffusers make it, to compare with ours"
    )
    serve = commands.add_parser("serve", help="an S3 server on loopback with the tiny models in it")
    serve.add_argument(
        "--inputs", type=Path, required=True, metavar="DIR", help="images to put under s3://inputs/"
    )
    serve.add_argument(
        "--ready", type=Path, required=True, metavar="FILE", help="written once it answers: how to reach it"
    )
    collect = commands.add_parser("collect", help="copy a finished video out of S3")
    collect.add_argument("--uri", required=True, metavar="S3URI")
    collect.add_argument("--to", type=Path, required=True, metavar="FILE")
    collect.add_argument("--contact-sheet", type=Path, metavar="FILE", help="a PNG of some of its frames")
    return parser


def default_cache() -> Path:
    """$XDG_CACHE_HOME/wan, or ~/.cache/wan."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "wan"


def run(args: argparse.Namespace, interruption: Interruption) -> int:
    """One attempt. Whatever happens, a Result is written if the Task tells whose it is."""
    from wan_core.errors import InvalidInput
    from wan_runner.result import Ending, Record
    from wan_runner.task_file import read_task, result_of_broken

    ending = Ending(args.result)
    try:
        raw = args.task.read_bytes()
        task = read_task(raw)
    except (OSError, InvalidInput) as error:
        problem = error if isinstance(error, InvalidInput) else InvalidInput(f"--task: {error}")
        result = result_of_broken(b"" if isinstance(error, OSError) else raw, problem)
        return conclude(result, ending) if result is not None else complain(problem)
    record = Record(task)
    interruption.end_with(lambda: stop_hard(record, ending))
    return conclude(record.result(attempt(task, record, args, interruption)), ending)


def attempt(
    task: Task, record: Record, args: argparse.Namespace, interruption: Interruption
) -> OutputStatus | WanError:
    """Make the video; a failure is returned, not raised."""
    from wan_core.errors import InternalError, WanError
    from wan_core.pipeline.faults import typed_faults
    from wan_runner.report import Reporter
    from wan_runner.watch import Watch

    reporter = Reporter(task.report_url, args.report_token_file)
    try:
        with typed_faults():
            with interruption.grace(0):
                from wan_runner.attempt import make_video
            watch = Watch(record, reporter, interruption)
            return make_video(task, args.cache, watch, use_reference=args.reference)
    except WanError as error:
        return error
    except Exception as error:  # a bug of ours: the operator is told so, and the log has the traceback
        log.exception("unexpected failure while %s", record.stage)
        return InternalError(f"while {record.stage}: {type(error).__name__}: {error}")
    finally:
        reporter.close()


def conclude(result: Result, ending: Ending) -> int:
    """Write the Result unless the signal thread was faster; the exit code."""
    from wan_core.errors import TABLE

    if not ending.settle(result):
        wait_for_end()
    if result.category is None:
        log.info("done: %s", result.output.uri if result.output else "")
        return 0
    log.error("%s: %s (%s)", result.category, result.message, result.advice)
    return TABLE[result.category].exit_code


def wait_for_end() -> NoReturn:
    """The signal thread has written the Result and is about to end the process."""
    import threading

    while True:
        threading.Event().wait()


def stop_hard(record: Record, ending: Ending) -> None:
    """Called by the signal thread when the main thread does not come back, or need not: ends the process."""
    from wan_core.errors import TABLE, Category, Interrupted

    if ending.settle(record.result(Interrupted(f"told to stop while {record.stage}"))):
        log.warning("told to stop while %s", record.stage)
        os._exit(TABLE[Category.INTERRUPTED].exit_code)


def stop_bare() -> None:
    """The same where no Task is known: no Result is owed, and nothing can be left half done."""
    from wan_core.errors import TABLE, Category

    os._exit(TABLE[Category.INTERRUPTED].exit_code)


def run_server(args: argparse.Namespace) -> int:
    """The embedded S3, until it is told to end."""
    from wan_core.errors import WanError
    from wan_core.pipeline.faults import typed_faults

    try:
        with typed_faults():
            from wan_runner.store.serve import serve

            serve(args.inputs, args.ready)
    except WanError as error:
        return complain(error)
    return 0


def run_tool(args: argparse.Namespace, interruption: Interruption) -> int:
    """collect; only what it needs is imported."""
    from wan_core.errors import WanError

    try:
        with interruption.grace(0):  # what it writes appears whole or not at all
            from wan_runner.collect import collect

            collect(args.uri, args.to, args.contact_sheet)
    except WanError as error:
        return complain(error)
    return 0


def complain(error: WanError) -> int:
    """One line for people, the category's exit code for programs."""
    with contextlib.suppress(BrokenPipeError):
        print(f"wan-runner: {error.message} ({error.advice})", file=sys.stderr)
    return error.row.exit_code


if __name__ == "__main__":
    sys.exit(main())
