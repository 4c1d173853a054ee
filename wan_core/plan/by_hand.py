"""GPUs as a person lists them: `H100-80:4,RTX4090:2` -> an Inventory. Text in, a document out.

Each entry is `NAME[@MEMORY][:COUNT]`, its GPUs in one machine; `cpu` offers the machine's CPU. Memory in GiB
overrides the table's, and is needed for a GPU that the table lacks: `XYZ@24GiB`.
"""

from __future__ import annotations

import re

from wan_core.api.words import printable, shown
from wan_core.catalog.gpu_names import find_gpu_name, refuse_name
from wan_core.errors import InvalidInput
from wan_core.plan.inventory import Gpu, Inventory, Node, share_unified

HOST_MEMORY_GIB = 64.0
"""Of each machine, where nobody says. Assumed."""
ENTRY = re.compile(r"(?P<name>[^:@]+)(?:@(?P<memory>[^:@]*))?(?::(?P<count>[^:@]*))?")
MEMORY = re.compile(r"(?P<gib>[0-9]{1,5}(?:\.[0-9]{1,3})?)\s*(?:gib|gb|g)?", re.IGNORECASE)
COUNT_MAX = 1024
NAME_MAX = 63  # what a label's value holds
CPU = "cpu"


def parse_gpus(text: str, *, host_memory_gib: float | None = None, path: str = "--gpus") -> Inventory:
    """The machines that `text` lists, each with `host_memory_gib`.

    Raises InvalidInput at `path`, with every entry that is wrong and the nearest names.
    """
    host_gib = HOST_MEMORY_GIB if host_memory_gib is None else host_memory_gib
    nodes: list[Node] = []
    problems: list[str] = []
    entries = [part.strip() for part in text.strip().removesuffix(",").split(",")]
    if not any(entries):
        raise InvalidInput(f"{path}: {shown(text)} lists no GPU; such as RTX4090:2,H100-80:4, or {CPU}")
    for entry in entries:
        try:
            nodes.append(_read_entry(entry, host_gib, path))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(problems)
    return Inventory(nodes=tuple(nodes))


def _read_entry(entry: str, host_gib: float, path: str) -> Node:
    match = ENTRY.fullmatch(entry)
    if match is None:
        raise InvalidInput(f"{path}: {shown(entry)} is not NAME[@MEMORY][:COUNT], such as RTX4090:2")
    name, at = match["name"].strip(), f"{path}: {shown(entry)}"
    count = _read_count(match["count"], at)
    if name.lower() == CPU:
        if match["memory"] is not None or count > 1:
            raise InvalidInput(f"{at}: {CPU} stands alone; the machine's memory is --host-memory")
        return Node(name="a machine without a GPU", host_memory_gib=host_gib)
    gpu, host_gib = _read_gpu(name, _read_memory(match["memory"], at), host_gib, path)
    what = f"{count} {gpu.product}" if count > 1 else gpu.product
    return Node(name=f"a machine with {what}", gpus=(gpu,) * count, host_memory_gib=host_gib, gpu_only=True)


def _read_gpu(name: str, memory_gib: float | None, host_gib: float, path: str) -> tuple[Gpu, float]:
    """The GPU, and what is left of the host's memory: of unified memory both have a part."""
    sized = find_gpu_name(f"{name} {memory_gib:.0f}GB", path) if memory_gib is not None else None
    card = sized or find_gpu_name(name, path)
    if card is None:
        if memory_gib is None:
            raise InvalidInput(f"{refuse_name(name, path)}; of another write the memory, as NAME@24GiB")
        if len(name) > NAME_MAX:
            raise InvalidInput(f"{path}: {shown(name)} has {len(name)} characters; the maximum is {NAME_MAX}")
        return Gpu(product=printable(name), memory_gib=memory_gib), host_gib
    gib = memory_gib or card.memory_gib
    if card.unified:
        gib, host_gib = share_unified(gib)
    return Gpu(product=card.name, memory_gib=gib, compute_capability=card.compute_capability), host_gib


def _read_memory(text: str | None, at: str) -> float | None:
    if text is None:
        return None
    match = MEMORY.fullmatch(text.strip())
    if match is None or float(match["gib"]) <= 0:
        raise InvalidInput(f"{at}: {shown(text)} is not an amount of memory, such as 24GiB")
    return float(match["gib"])


def _read_count(text: str | None, at: str) -> int:
    if text is None:
        return 1
    digits = text.strip()
    if not re.fullmatch(r"[0-9]{1,4}", digits) or not 1 <= int(digits) <= COUNT_MAX:
        raise InvalidInput(f"{at}: {shown(text)} is not a number of GPUs from 1 to {COUNT_MAX}")
    return int(digits)
