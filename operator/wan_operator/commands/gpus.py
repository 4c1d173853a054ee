"""`wan gpus`: the GPUs that are known, and what runs on one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from wan_core.catalog.gpu_card import GpuCard, Precision
from wan_core.catalog.gpu_names import read_gpu_name
from wan_core.catalog.gpu_sources import SOURCES
from wan_core.catalog.gpus import GPUS
from wan_core.planning import HOST_MEMORY_GIB, Setting, profile
from wan_operator.catalogs import CatalogFile, read_models
from wan_operator.commands.answers import Format, Output, answer, told
from wan_operator.commands.documents import gpu_document, setting_document
from wan_operator.commands.places import HOST_MEMORY_MAX_GIB
from wan_operator.commands.tables import Column, show_facts, show_heading, show_lines, show_table
from wan_operator.commands.words import settings_words, shape_words, share_words, time_words

PEAKS: tuple[Precision, ...] = ("fp32", "tf32", "bf16", "fp16", "fp8", "fp4")


def gpus(
    gpu: Annotated[str | None, typer.Argument(metavar="GPU", help="One GPU by name, as RTX4090.")] = None,
    host_memory: Annotated[
        float,
        typer.Option(
            "--host-memory", metavar="GIB", help="Host memory of its node.", min=1, max=HOST_MEMORY_MAX_GIB
        ),
    ] = HOST_MEMORY_GIB,
    catalog: CatalogFile = None,
    output: Output = Format.TEXT,
) -> None:
    """List the GPUs that are known; of one, tell what runs there.

    Of each model the largest shape that fits, how fast, with which settings.
    """
    with told():
        if gpu is None:
            listed = {"gpus": [gpu_document(card) for card in GPUS], "sources": dict(SOURCES)}
            answer(output, lambda: listed, show_list)
            return
        card = read_gpu_name(gpu, "GPU")
        settings = profile(card, read_models(catalog), host_memory)
        answer(
            output,
            lambda: profile_document(card, settings, host_memory),
            lambda console: show_gpu(console, card, settings, host_memory),
        )


def profile_document(card: GpuCard, settings: Sequence[Setting], host_memory: float) -> dict[str, Any]:
    """What the GPU is, and what runs there."""
    performance = [setting_document(setting) for setting in settings]
    return gpu_document(card) | {"hostMemoryGib": host_memory, "performance": performance}


def show_list(console: Console) -> None:
    """One line a GPU; peaks are dense TFLOP/s."""
    columns = (
        Column("GPU", wraps=True),
        Column("ARCHITECTURE"),
        Column("GiB", "right"),
        Column("GB/s", "right"),
        *(Column(name, "right", yields=name == "fp16") for name in ("bf16", "fp16", "fp8", "fp4")),
        Column("PROFILE"),
    )
    show_table(console, columns, [_row(card) for card in GPUS])


def show_gpu(console: Console, card: GpuCard, settings: Sequence[Setting], host_memory: float) -> None:
    """What it is, then what runs there."""
    peaks = [f"{name} {card.tflops[name]:g}" for name in PEAKS if name in card.tflops]
    show_facts(
        console,
        (
            ("GPU", f"{card.vendor} {card.name}"),
            ("architecture", _architecture(card)),
            ("profile", card.profile),
            ("memory", f"{card.memory_gib:.1f} GiB as the driver reports it{_unified(card)}"),
            ("bandwidth", f"{card.bandwidth_gbps:g} GB/s" if card.bandwidth_gbps else ""),
            ("peaks", f"{', '.join(peaks)} TFLOP/s, dense"),
            ("cannot", ", ".join(card.cannot)),
            ("sources", "; ".join(SOURCES[key] for key in card.source.split())),
        ),
    )
    show_heading(console, f"What runs there, in a node with {host_memory:g} GiB of memory and nothing else")
    show_settings(console, settings)


def show_settings(console: Console, settings: Sequence[Setting]) -> None:
    """A table of what fits, and why the rest does not."""
    columns = (
        Column("MODEL", wraps=True),
        Column("SHAPE"),
        Column("QUALITY"),
        Column("SETTINGS", wraps=True),
        Column("GiB", "right"),
        Column("HOST", "right", yields=True),
        Column("TIME", "right"),
        Column("BASIS", yields=True),
    )
    fitting = [setting for setting in settings if setting.fits]
    if fitting:
        show_table(console, columns, [_setting_row(s) for s in fitting])
    short = sorted({s.model for s in fitting if s.shortened})
    if short:
        show_lines(console, [f"shorter than the model's own length, which does not fit: {', '.join(short)}"])
    show_lines(console, [f"{s.model}: does not fit; {s.rung.reason}" for s in settings if not s.fits])


def _row(card: GpuCard) -> list[str]:
    peaks = [f"{card.tflops[p]:g}" if p in card.tflops else "-" for p in ("bf16", "fp16", "fp8", "fp4")]
    bandwidth = f"{card.bandwidth_gbps:g}" if card.bandwidth_gbps else ""
    return [card.name, card.architecture, f"{card.memory_gib:.1f}", bandwidth, *peaks, card.profile]


def _setting_row(setting: Setting) -> list[str]:
    rung = setting.rung
    return [
        setting.model,
        shape_words(setting.width, setting.height, setting.frames),
        setting.quality.value,
        settings_words(rung.plan),
        share_words(rung),
        f"{rung.need.host_gib:.1f}",
        time_words(rung),
        rung.time.basis if rung.time is not None else "",
    ]


def _architecture(card: GpuCard) -> str:
    if card.compute_capability is None:
        return card.architecture
    return "{}, compute capability {}.{}".format(card.architecture, *card.compute_capability)


def _unified(card: GpuCard) -> str:
    return ", shared with the host" if card.unified else ""
