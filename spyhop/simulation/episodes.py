"""Whale episodes that the generative market plants: known kind, known time, so that detectors meet the truth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec
import numpy as np

from spyhop.clock import NS_PER_S
from spyhop.simulation import draws

_STREAM = 7


class EpisodeKind(IntEnum):
    """What a whale does; the number is on the tape (`qty` of the STATUS/EPISODE row)."""

    WHALE_PUMP = 1
    WHALE_DUMP = 2
    WHALE_ACCUMULATE = 3  # buys a lot into a wall that refills: volume without a price
    WHALE_DISTRIBUTE = 4
    STEALTH_ACCUMULATE = 5  # buys in many small orders
    STOP_HUNT_LONG = 6  # down through the lows, and back: who bought below was right
    STOP_HUNT_SHORT = 7
    CASCADE_LONG = 8  # longs are liquidated
    CASCADE_SHORT = 9
    BREAKOUT_UP = 10  # quiet, then out
    BREAKOUT_DOWN = 11


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One planted episode: `start` <= event time < `end`; `strength` multiplies its moves and flow (about 1)."""

    kind: EpisodeKind
    start: int
    end: int
    strength: float = 1.0

    @property
    def flow_sign(self) -> int:
        """Return the sign of the aggressive volume that the episode adds, 0 where it turns half-way."""
        return _FLOW_SIGN[self.kind]


_FLOW_SIGN = {
    EpisodeKind.WHALE_PUMP: 1,
    EpisodeKind.WHALE_DUMP: -1,
    EpisodeKind.WHALE_ACCUMULATE: 1,
    EpisodeKind.WHALE_DISTRIBUTE: -1,
    EpisodeKind.STEALTH_ACCUMULATE: 1,
    EpisodeKind.STOP_HUNT_LONG: 0,
    EpisodeKind.STOP_HUNT_SHORT: 0,
    EpisodeKind.CASCADE_LONG: -1,
    EpisodeKind.CASCADE_SHORT: 1,
    EpisodeKind.BREAKOUT_UP: 1,
    EpisodeKind.BREAKOUT_DOWN: -1,
}
_LENGTH_S = {
    EpisodeKind.WHALE_PUMP: 60,
    EpisodeKind.WHALE_DUMP: 60,
    EpisodeKind.WHALE_ACCUMULATE: 120,
    EpisodeKind.WHALE_DISTRIBUTE: 120,
    EpisodeKind.STEALTH_ACCUMULATE: 180,
    EpisodeKind.STOP_HUNT_LONG: 60,
    EpisodeKind.STOP_HUNT_SHORT: 60,
    EpisodeKind.CASCADE_LONG: 45,
    EpisodeKind.CASCADE_SHORT: 45,
    EpisodeKind.BREAKOUT_UP: 150,
    EpisodeKind.BREAKOUT_DOWN: 150,
}

PHASES = 3
PHASE = np.dtype(
    [
        ("until", "f8"),  # share of the episode at which the phase ends
        ("drift_bps", "f8"),  # move of the fundamental over the whole phase
        ("whale_rate", "f8"),  # aggressive orders a second
        ("whale_side", "i8"),
        ("whale_size", "f8"),  # in mean trades
        ("impact", "f8"),  # factor on price impact (0: absorbed)
        ("volatility", "f8"),  # factor
        ("skew", "f8"),  # of displayed quantity, > 0: bids
        ("open_interest", "f8"),  # share of the whale's volume that opens (+) or closes (-) positions
        ("is_forced", "f8"),  # 1: the orders are liquidations
    ]
)
PLAN = np.dtype([("kind", "i8"), ("start", "i8"), ("end", "i8"), ("strength", "f8"), ("phases", PHASE, (PHASES,))])

# until, drift bp, rate, side, size, impact, volatility, skew, open interest, forced
_CALM = (1.0, 0.0, 0.0, 0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0)
_SCRIPTS: dict[EpisodeKind, list[tuple[float, ...]]] = {
    EpisodeKind.WHALE_PUMP: [(1.0, 30.0, 2.5, 1, 25.0, 1.0, 1.3, 0.6, 0.9, 0.0)],
    EpisodeKind.WHALE_ACCUMULATE: [(1.0, 0.0, 1.5, 1, 25.0, 0.0, 0.4, 0.5, 0.9, 0.0)],
    EpisodeKind.STEALTH_ACCUMULATE: [(1.0, 3.0, 8.0, 1, 0.6, 0.3, 0.8, 0.2, 0.7, 0.0)],
    EpisodeKind.STOP_HUNT_LONG: [
        (0.35, -28.0, 2.5, -1, 20.0, 1.0, 1.3, 0.3, -0.7, 0.0),
        (0.65, 32.0, 2.5, 1, 20.0, 1.0, 1.3, 0.6, -0.3, 0.0),
        (1.0, 6.0, 0.3, 1, 10.0, 1.0, 1.0, 0.4, 0.3, 0.0),
    ],
    EpisodeKind.CASCADE_LONG: [
        (0.6, -70.0, 5.0, -1, 12.0, 1.0, 2.0, -0.6, -1.0, 1.0),
        (1.0, 18.0, 1.0, -1, 5.0, 0.5, 1.6, 0.2, -1.0, 1.0),
    ],
    EpisodeKind.BREAKOUT_UP: [
        (0.5, 0.0, 0.0, 0, 0.0, 0.5, 0.3, 0.0, 0.0, 0.0),
        (1.0, 35.0, 3.0, 1, 12.0, 1.0, 1.2, 0.5, 0.7, 0.0),
    ],
}
_MIRROR = {
    EpisodeKind.WHALE_DUMP: EpisodeKind.WHALE_PUMP,
    EpisodeKind.WHALE_DISTRIBUTE: EpisodeKind.WHALE_ACCUMULATE,
    EpisodeKind.STOP_HUNT_SHORT: EpisodeKind.STOP_HUNT_LONG,
    EpisodeKind.CASCADE_SHORT: EpisodeKind.CASCADE_LONG,
    EpisodeKind.BREAKOUT_DOWN: EpisodeKind.BREAKOUT_UP,
}


def script(kind: EpisodeKind) -> np.ndarray[Any, Any]:
    """Return the phases (PHASES,) of an episode of `kind`."""
    rows = [*_SCRIPTS[_MIRROR.get(kind, kind)], *[_CALM] * PHASES][:PHASES]
    phases = np.array(rows, PHASE)
    if kind in _MIRROR:
        for name in ("drift_bps", "whale_side", "skew"):
            phases[name] = -phases[name]
    return phases


def planned(seed: int, start: int, end: int, mean_gap_s: float) -> list[Episode]:
    """Return the episodes that `seed` plants in start..end: exponential gaps of `mean_gap_s`, kinds alike.

    The plan of a shorter session is the beginning of that of a longer one; the last episode may outlast `end`.
    """
    episodes: list[Episode] = []
    at = start
    k = 0
    while mean_gap_s > 0:
        at += int((20.0 - mean_gap_s * math.log(draws.uniform_at(seed, _STREAM, 3 * k))) * NS_PER_S)
        if at >= end:
            break
        kind = EpisodeKind(1 + int(draws.uniform_at(seed, _STREAM, 3 * k + 1) * len(EpisodeKind)))
        strength = 0.7 + 0.6 * draws.uniform_at(seed, _STREAM, 3 * k + 2)
        until = at + _LENGTH_S[kind] * NS_PER_S
        episodes.append(Episode(kind=kind, start=at, end=until, strength=strength))
        at = until
        k += 1
    return episodes


def episode(kind: EpisodeKind, start: int, strength: float = 1.0) -> Episode:
    """Return an episode of the usual length of its kind."""
    return Episode(kind=kind, start=start, end=start + _LENGTH_S[kind] * NS_PER_S, strength=strength)


def plan(episodes: Sequence[Episode]) -> np.ndarray[Any, Any]:
    """Return the episodes as PLAN records for the kernel; raise ValueError unless they follow one another."""
    ordered = all(a.end <= b.start for a, b in itertools.pairwise(episodes))
    if not ordered or any(e.end <= e.start for e in episodes):
        raise ValueError("episodes must have a length and follow one another in time")
    out = np.zeros(len(episodes), PLAN)
    for row, e in zip(out, episodes, strict=True):
        row["kind"], row["start"], row["end"], row["strength"] = e.kind, e.start, e.end, e.strength
        row["phases"] = script(e.kind)
    return out
