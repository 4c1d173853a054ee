"""`wan bench parity`. Each fault is one line on stderr, no traceback. torch is loaded to compare only."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from wan_core.api.words import printable
from wan_core.errors import InvalidInput, WanError
from wan_runner.tiny import TINY_MODELS, model_files

if TYPE_CHECKING:
    import torch

    from wan_core.pipeline.parity import Finding

NEEDED = ("torch", "diffusers", "accelerate")
A_GATE_FAILED = 1


class Dtype(StrEnum):
    """In what ours computes."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


def parity(
    model: Annotated[
        str, typer.Option(help="A folder in diffusers layout, or a model that ships with this package.")
    ] = TINY_MODELS[0],
    dtype: Annotated[list[Dtype], typer.Option(help="May be repeated.")] = [Dtype.FP32, Dtype.BF16],  # noqa: B006
    device: Annotated[
        str | None, typer.Option(help="As torch names it, such as cpu; default: a GPU if there is one.")
    ] = None,
    attention: Annotated[str, typer.Option(help="The attention that ours uses.")] = "sdpa",
) -> None:
    """Compare our transformer with diffusers' own, on your weights: a forward at a small shape.

    Exit code 1 if ours is further from diffusers in float32 than the gates allow. Memory: the largest
    transformer of the model in float32.
    """
    try:
        absent = [name for name in NEEDED if find_spec(name) is None]
        if absent:
            raise InvalidInput(
                f"this needs {', '.join(absent)}; install them with: pip install 'wan-operator[local]'"
            )
        where = find_device(device)
        findings = compare(model, dtype, where, attention)
    except InvalidInput as error:
        fail("; ".join(error.problems), error.row.exit_code)
    except WanError as error:
        fail(f"{error.message}. {error.advice}", error.row.exit_code)
    print_findings(Console(), f"{model} on {where}", findings)
    if not all(finding.passes for finding in findings):
        raise typer.Exit(A_GATE_FAILED)


def compare(model: str, dtypes: Sequence[Dtype], device: torch.device, attention: str) -> list[Finding]:
    """What is found of every transformer of the model. Raises InvalidInput for options that cannot be."""
    from diffusers.utils import logging

    from wan_core.kernels.attention import BackendLacks, UnknownBackend
    from wan_core.pipeline.faults import typed_faults
    from wan_core.pipeline.parity import find_parts, measure_parity

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = model_files(model)["model_index.json"].parent if model in TINY_MODELS else Path(model)
    names = [str(dtype) for dtype in dtypes]
    try:
        with typed_faults():
            return [f for part in find_parts(folder) for f in measure_parity(part, names, device, attention)]
    except (UnknownBackend, BackendLacks) as error:
        raise InvalidInput(f"--attention: {error}") from error


def find_device(name: str | None) -> torch.device:
    """The device of this name, or the likeliest. Raises InvalidInput if torch has none such."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise InvalidInput(f"--device: {str(error).splitlines()[0]}") from error


def print_findings(console: Console, title: str, findings: Sequence[Finding]) -> None:
    """A row for each, and above them what the columns are."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("diffusers", "torch"))
    for line in (
        f"{title}, against diffusers in float32 ({versions})",
        "L2: relative error of ours; theirs: of diffusers in the same dtype; ratio: of the two",
    ):
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("transformer", "dtype", "L2", "max abs", "theirs", "ratio", "gate", ""):
        table.add_column(heading, no_wrap=True)
    for found in findings:
        theirs = "" if found.theirs is None else f"{found.theirs:.2e}"
        ratio = "" if found.ratio is None else f"{found.ratio:.3f}"
        numbers = f"{found.relative_l2:.2e}", f"{found.max_abs:.2e}", theirs, ratio
        table.add_row(found.part, found.dtype, *numbers, found.gate, "passes" if found.passes else "FAILS")
    console.print(table)


def fail(what: str, exit_code: int) -> NoReturn:
    """One line on standard error."""
    print(f"wan: {printable(what)}", file=sys.stderr)
    raise typer.Exit(exit_code)
