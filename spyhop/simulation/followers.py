"""A follower as a source of events: the second venue of the generative market, or the spot beside a perpetual."""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.errors import InvalidSetting
from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events, Kind, joined
from spyhop.simulation import draws, follower
from spyhop.simulation.makers import RING

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]

_STEP_S = follower.STEP_NS / NS_PER_S


class FollowerParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a market follows; defaults resemble a perpetual of the second rank that follows the largest one."""

    lag_ms: NotNegative = 400.0
    """From the leader's tape (receive time) to quotes that know of it."""
    noise_bps: NotNegative = 0.3
    noise_half_life_s: Positive = 2.0
    basis_bps: float = 1.0
    """Mean of the follower's premium over the leader."""
    basis_swing_bps: NotNegative = 1.5
    basis_half_life_s: Positive = 1_800.0
    orders_per_s: Positive = 0.8
    """Aggressive orders without a gap to close, both sides together."""
    orders_per_s_per_bp: NotNegative = 1.5
    """More of them, on the side that closes the gap, for each basis point of it (20 at most count)."""
    mean_trade_usdt: Positive = 1_500.0
    trade_tail: Annotated[float, msgspec.Meta(gt=1)] = 1.7
    max_trade_means: Positive = 50.0
    level_usdt: Positive = 8_000.0
    occupancy_frac: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.6
    depth_bps: Positive = 25.0
    refreshes_per_step: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    wide_spread_frac: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.3
    is_perpetual: bool = True
    """Whether it has an oracle price, funding, open interest and liquidations."""
    mark_interval_s: Annotated[float, msgspec.Meta(ge=0.05)] = 1.0
    funding_interval_s: Annotated[int, msgspec.Meta(ge=60)] = 3_600
    open_interest_usdt: Positive = 3e7


SPOT = FollowerParams(
    lag_ms=50.0,
    noise_bps=0.1,
    basis_bps=-2.0,
    basis_swing_bps=1.0,
    orders_per_s=3.0,
    orders_per_s_per_bp=4.0,
    mean_trade_usdt=2_000.0,
    level_usdt=15_000.0,
    occupancy_frac=0.05,  # a fine grid is mostly empty; a full one would be 160 levels in every frame
    refreshes_per_step=4,
    wide_spread_frac=0.05,
    is_perpetual=False,
)
"""A spot market: follows quickly, a little below the perpetual."""


class Follower:
    """A seeded market of `instrument` that follows the tape of `leader` from `start` on.

    It opens once it has heard a price. Book frames have contiguous ids of their own and no `pu` (-1), as spot's.
    """

    def __init__(
        self, instrument: Instrument, leader: Instrument, seed: int, start: int, params: FollowerParams | None = None
    ) -> None:
        if seed < 0:
            raise InvalidSetting("seed", "must be 0 or more")
        self.instrument, self.params = instrument, params or FollowerParams()
        self._leader = leader
        self._state = np.zeros(1, follower.STATE)
        self._rules: np.ndarray[Any, Any] | None = None
        self._rows: Events = np.zeros(2 * follower.MAX_STEP_ROWS, EVENT)
        self._unheard: Events = np.zeros(0, EVENT)
        market = self._state[0]["market"]
        digest = hashlib.sha256(f"{seed}:{instrument.key}".encode()).digest()
        draws.begin(market["draws"], int.from_bytes(digest[:7], "big"), 0)
        market["start"] = start

    def advance(self, rows: Events, until: int) -> Events:
        """Return the follower's rows up to `until`; `rows` are the leader's up to then that it was not given before."""
        waiting = joined([self._unheard, rows]) if len(self._unheard) else rows
        if self._rules is None:
            self._begin(waiting)
        if self._rules is None:
            self._unheard = waiting
            return np.zeros(0, EVENT)
        parts: list[Events] = []
        while True:
            count, heard = follower.advance(self._state[0], self._rules[0], waiting, self._rows, until)
            waiting = waiting[heard:]
            if count:
                parts.append(self._rows[:count].copy())
            if self._state["market"]["start"][0] + self._state["market"]["step"][0] * follower.STEP_NS > until:
                break
        self._unheard = waiting.copy()
        told = joined(parts)
        told["aux2"][told["kind"] == Kind.LEVEL] = -1
        return told

    def _begin(self, rows: Events) -> None:
        """Scale sizes by the first price that the leader tells."""
        is_price = (rows["kind"] == Kind.QUOTE) | (rows["kind"] == Kind.TRADE)
        first = np.flatnonzero(is_price & (rows["price"] > 0))
        if len(first):
            price = int(rows["price"][first[0]]) * self._leader.tick
            self._rules = _rules(self.instrument, self._leader, self.params, price)
            self._state["market"]["open_interest"] = self.params.open_interest_usdt / (price * self.instrument.lot)


def _rules(instrument: Instrument, leader: Instrument, p: FollowerParams, price: float) -> np.ndarray[Any, Any]:
    rules = np.zeros(1, follower.RULES)
    lot_usdt = price * instrument.lot
    noise_keep, basis_keep = _keep(p.noise_half_life_s), _keep(p.basis_half_life_s)
    numbers: dict[str, float] = {
        "lag": p.lag_ms * NS_PER_MS,
        "leader_tick": leader.tick,
        "noise_keep": noise_keep,
        "noise_jump": p.noise_bps * 1e-4 * math.sqrt(1.0 - noise_keep**2),
        "basis_mean": p.basis_bps * 1e-4,
        "basis_keep": basis_keep,
        "basis_jump": p.basis_swing_bps * 1e-4 * math.sqrt(1.0 - basis_keep**2),
        "orders": p.orders_per_s,
        "orders_per_bp": p.orders_per_s_per_bp,
        "is_perpetual": p.is_perpetual,
        "mark_steps": max(round(p.mark_interval_s / _STEP_S), 1),
        "oracle_keep": _keep(1.0),
        "forced_lots": max(20.0 * p.mean_trade_usdt / lot_usdt, 1.0),
    }
    law: dict[str, float] = {
        "instrument": instrument.id,
        "venue": int(instrument.venue),
        "tick": instrument.tick,
        "trade_lots": max(p.mean_trade_usdt / lot_usdt, 1.0),
        "trade_tail": p.trade_tail,
        "trade_cap": p.max_trade_means,
        "level_lots": max(p.level_usdt / lot_usdt, 1.0),
        "occupancy": p.occupancy_frac,
        "reach": min(max(int(p.depth_bps * 1e-4 * price / instrument.tick), 20), RING // 4),
        "refreshes": p.refreshes_per_step,
        "wide_chance": p.wide_spread_frac,
        "funding_interval": p.funding_interval_s * NS_PER_S,
    }
    for name, number in numbers.items():
        rules[name] = number
    for name, number in law.items():
        rules["law"][name] = number
    return rules


def _keep(half_life_s: float) -> float:
    return math.exp(-math.log(2.0) * _STEP_S / half_life_s)
