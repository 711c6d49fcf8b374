"""What was measured of each number of symbols, what follows from it for a thousand, and the page that says both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

NOT_COUNTED = ("venue_simulator", "driver")
"""Who is on the machine only because it is measured, or waits for the end."""
SHARED = ("ensemble", "risk", "executor", "ledger", "conductor")
"""One a session, whatever the number of symbols: the first to fill a core bounds the session."""
SATURATED_MS = 1_000.0
"""Rows that come this late at the median, or so much later at the end of the window than at its begin."""
TARGET = 1_000
BUSY_FRAC = 0.5
"""How much of its cores a host that trades may use: what is left answers to bursts in time."""
HOST_CORES, HOST_GB = 8, 32


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """One number of symbols: cores and memory by kind of process, the same without Ray, how late rows came."""

    symbols: int
    frames_per_s: float
    cores: dict[str, float]
    memory_mb: dict[str, float]
    bare_cores: float
    bare_mb: float
    lag_p50_ms: float
    lag_p99_ms: float
    lag_growth_ms: float
    neighbours_cores: float
    machine_used_frac: float

    @property
    def total_cores(self) -> float:
        """Return what the session and its Ray took."""
        return sum(taken for kind, taken in self.cores.items() if kind not in NOT_COUNTED)

    @property
    def total_mb(self) -> float:
        """Return what the session and its Ray hold."""
        return sum(held for kind, held in self.memory_mb.items() if kind not in NOT_COUNTED)

    @property
    def ray_share(self) -> float:
        """Return the fraction of the cores that Ray takes: what the same work without it does not."""
        return max(0.0, 1.0 - self.bare_cores / self.total_cores) if self.total_cores else 0.0

    @property
    def is_saturated(self) -> bool:
        """Say whether the machine no longer kept up."""
        return self.lag_p50_ms < 0 or self.lag_p50_ms > SATURATED_MS or self.lag_growth_ms > SATURATED_MS


class Line(msgspec.Struct, frozen=True):
    """What no symbols take, and what each one adds."""

    fixed: float
    each: float

    def at(self, symbols: float) -> float:
        """Return what so many take."""
        return self.fixed + self.each * symbols


def line(counts: Sequence[Count], values: Sequence[float]) -> Line:
    """Fit a line by least squares of relative errors, neither part of it below zero.

    Relative, because a run of 32 symbols would else drown the one of a single symbol.
    """
    symbols = np.array([one.symbols for one in counts], np.float64)
    taken = np.maximum(np.array(values, np.float64), 1e-6)
    if len(counts) == 1:
        return Line(0.0, float(taken[0] / symbols[0]))
    design = np.stack([1.0 / taken, symbols / taken], axis=1)
    (fixed, each), *_ = np.linalg.lstsq(design, np.ones(len(taken)), rcond=None)
    if each < 0.0:
        return Line(float(1.0 / np.mean(1.0 / taken)), 0.0)
    if fixed < 0.0:
        weights = symbols / taken
        return Line(0.0, float(weights.sum() / (weights**2).sum()))
    return Line(float(fixed), float(each))


def keep(path: Path, count: Count) -> None:
    """Append one count to a file of JSON lines."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(count) + b"\n")


def kept(path: Path) -> dict[int, Count]:
    """Return what a file holds, by the number of symbols; nothing when it is not there."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    counts = [msgspec.json.decode(one, type=Count) for one in lines]
    return {one.symbols: one for one in counts}


def page(counts: Sequence[Count], num_cores: int) -> str:
    """Return the page: the measured table, where the cores go, and what a thousand symbols take."""
    sound = [one for one in counts if not one.is_saturated] or list(counts[:1])
    return "\n".join([*_head(num_cores), *_measured(counts), *_where(counts), *_memory(sound), *_thousand(sound), ""])


def _head(num_cores: int) -> list[str]:
    return [
        "# How far it scales",
        "",
        "Written by `python -m benchmarks.scale --write docs/scale.md`; every number is from it. Each run is a paper",
        f"session on Ray, live against the venue simulator at real time on the same machine ({num_cores} shared",
        "x86-64 cores); processor time and memory of the simulator are not counted. How it is measured is in",
        "`benchmarks/scale.py`.",
    ]


def _measured(counts: Sequence[Count]) -> list[str]:
    rows = [
        f"| {one.symbols} | {one.frames_per_s:.0f} | {one.total_cores:.2f} | {_a_core(one)} | "
        f"{one.bare_cores:.2f} | {100 * one.ray_share:.0f} % | {one.total_mb:,.0f} | "
        f"{one.symbols / one.total_mb * 1024:.1f} | {_lags(one)} | "
        f"{one.neighbours_cores:.2f} | {'yes' if one.is_saturated else 'no'} |"
        for one in counts
    ]
    full = next((one.symbols for one in counts if one.is_saturated), 0)
    verdict = f"This machine is saturated at {full} symbols." if full else "No run saturated this machine."
    return [
        "",
        "## Measured",
        "",
        "| symbols | frames/s each | cores | symbols a core | cores without Ray | Ray's share | MB (PSS) | symbols "
        "a GB | frame to row p50 / p99 | growth of it | neighbours' cores | saturated |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"{verdict} Saturated: rows come more than {SATURATED_MS:,.0f} ms late at the median, or that much later in",
        "the last third of the window than in the first. Neighbours are all other processes but the simulator.",
        '"Without Ray" is a session in one process over the same simulator (`--local`): same sockets, nodes,',
        "tape and ledger; the rest of what the session on Ray takes is Ray's share. That counts as Ray's also what",
        "checkpoints and metrics of the actors cost, so it is somewhat too high.",
    ]


def _a_core(one: Count) -> str:
    # who does not keep up would look the thriftier the less gets done
    return "-" if one.is_saturated else f"{one.symbols / one.total_cores:.1f}"


def _lags(one: Count) -> str:
    if one.lag_p50_ms < 0:
        return "none came | -"
    return f"{one.lag_p50_ms:,.0f} / {one.lag_p99_ms:,.0f} ms | {one.lag_growth_ms:+,.0f} ms"


def _where(counts: Sequence[Count]) -> list[str]:
    kinds = ["feeds", *SHARED, "ray"]
    others = sorted({kind for one in counts for kind in one.cores} - {*kinds, *NOT_COUNTED})
    rows = [
        f"| {one.symbols} | " + " | ".join(f"{one.cores.get(kind, 0.0):.3f}" for kind in [*kinds, *others]) + " |"
        for one in counts
    ]
    return [
        "",
        "## Where the cores go",
        "",
        f"| symbols | {' | '.join([*kinds[:-1], 'Ray services', *others])} |",
        "|" + "---|" * (1 + len(kinds) + len(others)),
        *rows,
        "",
        _rays(counts[-1]),
    ]


def _rays(one: Count) -> str:
    services = one.cores.get("ray", 0.0)
    inside = max(0.0, one.total_cores - services - one.bare_cores)
    return (
        f"Of {one.total_cores:.2f} cores with {one.symbols} symbols Ray's services take {services:.2f}, Ray inside the "
        f"actors {inside:.2f}, our work {one.bare_cores:.2f}."
    )


def _memory(sound: Sequence[Count]) -> list[str]:
    last = sound[-1]
    kinds = [kind for kind in last.memory_mb if kind not in NOT_COUNTED]
    each = {"feeds": last.memory_mb.get("feeds", 0.0) / last.symbols}
    said = [f"a feed {each['feeds']:.0f}"]
    said += [
        f"{'Ray services' if kind == 'ray' else kind} {last.memory_mb[kind]:.0f}" for kind in kinds if kind != "feeds"
    ]
    return ["", f"MB (PSS) with {last.symbols} symbols: {', '.join(said)}; without Ray all of it {last.bare_mb:.0f}."]


def _thousand(sound: Sequence[Count]) -> list[str]:
    cores = line(sound, [one.total_cores for one in sound])
    memory = line(sound, [one.total_mb for one in sound])
    shared = {kind: line(sound, [one.cores.get(kind, 0.0) for one in sound]) for kind in SHARED}
    kind, most = min(
        ((kind, math.inf if one.each <= 0 else (BUSY_FRAC - one.fixed) / one.each) for kind, one in shared.items()),
        key=lambda found: found[1],
    )
    largest = max(1, min(TARGET, math.floor(min(most, TARGET))))
    sessions = math.ceil(TARGET / largest)
    all_cores = sessions * cores.fixed + TARGET * cores.each
    all_gb = (sessions * memory.fixed + TARGET * memory.each) / 1024.0
    hosts = math.ceil(max(all_cores / (HOST_CORES * BUSY_FRAC), all_gb / (HOST_GB * 0.8)))
    reach = max(one.symbols for one in sound)
    named = ", ".join(f"{name} {one.fixed:.3f} + {one.each:.5f} a symbol" for name, one in shared.items())
    return [
        "",
        f"## What {TARGET:,} symbols would take",
        "",
        f"Computed as straight lines from the runs that were not saturated (up to {reach} symbols); nobody has run it.",
        "",
        f"- cores: {cores.fixed:.2f} + {cores.each:.4f} a symbol: {1 / cores.each:.0f} more symbols a core",
        f"- memory: {memory.fixed:,.0f} MB + {memory.each:.0f} MB a symbol: {1024 / memory.each:.1f} more symbols a GB",
        f"- cores of the actors that a session has once: {named}",
        f"- the first of them to fill {BUSY_FRAC:.0%} of a core is the {kind}, at {most:,.0f} symbols: "
        f"{sessions} sessions of {math.ceil(TARGET / sessions)} symbols",
        f"- together {all_cores:.0f} cores and {all_gb:,.0f} GB: {hosts} hosts of {HOST_CORES} such cores and "
        f"{HOST_GB} GB, {BUSY_FRAC:.0%} busy",
    ]
