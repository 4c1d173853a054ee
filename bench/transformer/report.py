"""The document of a run as Markdown, and what it says about the figures that were wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bench.transformer.case import DEFAULT, OUR_OWN
from bench.transformer.workloads import A14B_480P, A14B_720P, TI2V_704P
from wan_core.catalog.gpus import find_gpu

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Gate:
    """Seconds a step that ours must not exceed on one H200, and those that would be better still."""

    workload: str
    must: float
    stretch: float


GATES = (Gate(A14B_480P, 5.1, 4.9), Gate(A14B_720P, 19.4, 18.8), Gate(TI2V_704P, 1.6, 1.5))
TIMES_DEFAULT = 1.5
"""How many times as fast as diffusers' default ours must be, at the first gate's shape."""
BYTES_A_TOKEN = 70_000.0
TIMES_ERROR = 1.1

Column = tuple[str, Callable[[Row], str]]


def number(name: str, places: int, scale: float = 1.0) -> Callable[[Row], str]:
    return lambda row: "" if row.get(name) is None else f"{row[name] * scale:,.{places}f}"


def text(name: str) -> Callable[[Row], str]:
    return lambda row: str(row.get(name, ""))


def spread(row: Row) -> str:
    low, high = row["s_a_step_spread"]
    return f"{row['s_a_step']:.3f} ({low:.3f} to {high:.3f}, {row['steps']})"


def both(name: str) -> Callable[[Row], str]:
    return lambda row: "{:.4f} ({:.4f} to {:.4f})".format(row[f"{name}_s"], *row[f"{name}_spread"])


def scientific(name: str) -> Callable[[Row], str]:
    return lambda row: "" if row.get(name) is None else f"{row[name]:.2e}"


TABLES: Mapping[str, tuple[str, Sequence[Column]]] = MappingProxyType(
    {
        "speed": (
            "A step: two forwards",
            (
                ("shape", text("workload")),
                ("who", text("contestant")),
                ("on", text("runs_on")),
                ("s/step (spread, steps)", spread),
                ("ms/forward", number("ms_a_forward", 1)),
                ("ms/block", number("ms_a_block", 2)),
                ("tokens/s", number("tokens_a_s", 0)),
                ("TFLOP/s", number("tflops", 1)),
                ("% of peak", number("share_of_peak", 1, 100)),
                ("J/step", number("joules_a_step", 0)),
                ("peak GiB", number("peak_gib", 2)),
                ("activations, B/token", number("activation_bytes_a_token", 0)),
                ("first forward, s", number("first_forward_s", 1)),
            ),
        ),
        "operations": (
            "Operations of a block, alone",
            (
                ("shape", text("workload")),
                ("operation", text("operation")),
                ("way", text("way")),
                ("ms", number("ms", 3)),
                ("GB/s", number("gb_a_s", 0)),
                ("error to float32", scientific("error")),
            ),
        ),
        "attention": (
            "Attention, alone",
            (
                ("shape", text("workload")),
                ("keys", number("keys", 0)),
                ("backend", text("backend")),
                ("tier", text("tier")),
                ("ms", number("ms", 3)),
                ("TFLOP/s", number("tflops", 1)),
                ("% of peak", number("share_of_peak", 1, 100)),
                ("error to float32", scientific("error")),
                ("refused", text("refused")),
            ),
        ),
        "sameness": (
            "A forward against diffusers in float32, same weights",
            (
                ("shape", text("workload")),
                ("who", text("contestant")),
                ("on", text("runs_on")),
                ("relative L2", scientific("error")),
                ("times that of diffusers as it comes", number("times_default", 3)),
            ),
        ),
        "activations": (
            "Memory of a forward at true sizes, counted on fake tensors",
            (
                ("shape", text("workload")),
                ("who", text("contestant")),
                ("weights, GiB", number("weights_gib", 2)),
                ("latents and text, GiB", number("inputs_gib", 2)),
                ("activations, GiB", number("activations_gib", 2)),
                ("B/token", number("bytes_a_token", 0)),
            ),
        ),
        "ratio": (
            "A step on a CPU: two forwards",
            (
                ("shape", text("workload")),
                ("ours, s (spread)", both("ours")),
                ("diffusers, s (spread)", both("diffusers")),
                ("diffusers' time / ours", number("ratio", 3)),
                ("load before", number("load", 1)),
            ),
        ),
        "kinds": (
            "A step by kind of kernel, seconds",
            (
                ("shape", text("workload")),
                ("who", text("contestant")),
                ("step", number("s_a_step", 3)),
                *(
                    (kind, lambda row, kind=kind: f"{row['seconds'].get(kind, 0):.3f}")
                    for kind in ("gemm", "attention", "elementwise", "other")
                ),
                ("longest", lambda row: f"`{row['longest'][0]['kernel'][:60]}`" if row["longest"] else ""),
            ),
        ),
    }
)


def as_markdown(document: Mapping[str, Any]) -> str:
    """Circumstances, each table that has rows, gates where they hold, and what is missing."""
    parts = [as_sentence(document)]
    for name, (title, columns) in TABLES.items():
        rows = rows_of(document, name)
        if rows:
            parts.append(f"### {title}\n{as_table(rows, columns)}")
    parts += [f"### {title}\n{body}" for title, body in (("Wanted", verdicts(document)),) if body]
    for name, title in (("failed", "Failed"), ("left_out", "Left out")):
        if document[name]:
            lines = (f"- {entry['case']}: {entry['why']}" for entry in document[name])
            parts.append(f"### {title}\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def as_sentence(document: Mapping[str, Any]) -> str:
    """Circumstances in one line: command, then everything that is known."""
    known = {**document["run"], **circumstances(document)}
    told = ", ".join(f"{key} {value}" for key, value in known.items() if key not in ("command", "table"))
    return f"`{known['command']}`, {told}"


def circumstances(document: Mapping[str, Any]) -> Row:
    rows = rows_of(document, "circumstances")
    return rows[0] if rows else {}


def rows_of(document: Mapping[str, Any], table: str) -> list[Row]:
    return [row for row in document["rows"] if row["table"] == table]


def as_table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    head = "| " + " | ".join(name for name, _ in columns) + " |"
    rule = "| " + " | ".join("---" for _ in columns) + " |"
    return "\n".join(
        [head, rule, *("| " + " | ".join(show(row) for _, show in columns) + " |" for row in rows)]
    )


def verdicts(document: Mapping[str, Any]) -> str:
    """Each gate with pass or fail; nothing on a device for which none is set, or at small shapes."""
    card = find_gpu(str(circumstances(document).get("device", "")))
    if document["run"]["small"] or card is None or card.name != "H200":
        return ""
    lines = [*judge(rows_of(document, "speed")), *judge_sameness(rows_of(document, "sameness"))]
    return "\n".join(f"- {line}" for line in lines)


def judge(rows: Sequence[Row]) -> list[str]:
    """A line for each figure that is wanted of one H200."""
    lines = []
    for gate in GATES:
        best = fastest(rows, gate.workload)
        lines.append(f"{gate.workload}: at most {gate.must} s/step: {_verdict(best, 's_a_step', gate.must)}")
        if best:
            reached = "reached" if best["s_a_step"] <= gate.stretch else "not reached"
            lines.append(f"{gate.workload}: {gate.stretch} s/step: {reached}")
            verdict = _verdict(best, "activation_bytes_a_token", BYTES_A_TOKEN)
            lines.append(
                f"{gate.workload}: at most {BYTES_A_TOKEN:.0f} bytes of activations a token: {verdict}"
            )
    return [*lines, _against_default(rows)]


def judge_sameness(rows: Sequence[Row]) -> list[str]:
    """A line for each of our own."""
    ours = [row for row in rows if row["contestant"] in OUR_OWN]
    wanted = f"at most {TIMES_ERROR} times the error of diffusers as it comes"
    return [f"{row['contestant']}: {wanted}: {_verdict(row, 'times_default', TIMES_ERROR)}" for row in ours]


def _against_default(rows: Sequence[Row]) -> str:
    best = fastest(rows, A14B_480P)
    default = [row for row in rows if (row["workload"], row["contestant"]) == (A14B_480P, DEFAULT)]
    wanted = f"{A14B_480P}: at least {TIMES_DEFAULT} times as fast as diffusers' default"
    if not best or not default:
        return f"{wanted}: not measured"
    times = default[0]["s_a_step"] / best["s_a_step"]
    return f"{wanted}: {'pass' if times >= TIMES_DEFAULT else 'FAIL'} ({times:.2f})"


def fastest(rows: Sequence[Row], workload: str) -> Row | None:
    """Of our own."""
    ours = [row for row in rows if row["workload"] == workload and row["contestant"] in OUR_OWN]
    return min(ours, key=lambda row: row["s_a_step"], default=None)


def _verdict(row: Row | None, name: str, most: float) -> str:
    if row is None or row[name] is None:
        return "not measured"
    return f"{'pass' if row[name] <= most else 'FAIL'} ({row[name]:,.3f})"
