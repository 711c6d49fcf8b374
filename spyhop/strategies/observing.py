"""Observations: how a market stood at an analysis, beside the market that leads it.

Binance leads (its price discovery precedes other venues' by a tenth of a second and more): a market elsewhere is led
by the one of the same base at the first of `LEADING` that the session has.

Where the two are quoted in different currencies, the session may hold the market of one in the other (such as
USDCUSDT): its price takes the currencies' basis out of the spread. dYdX names its quote USD and settles in USDC, whose
worth its prices are.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from math import inf

import msgspec
import numpy as np

from spyhop.clock import NS_PER_S
from spyhop.model.decisions import Hedge
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Leader, LeadFeatures, Observation
from spyhop.model.rows import TIMEFRAME, Health
from spyhop.model.tape import Side, Venue
from spyhop.strategies.lag_meter import LagMeter
from spyhop.strategies.lead import LeadParams, side_of

LEADING = (Venue.BINANCE_USDM, Venue.BINANCE_SPOT, Venue.BINANCE_COINM)
_UNSOUND = int(Health.NO_BOOK | Health.CROSSED)
_HAS_RSI = 1 << (TIMEFRAME.names or ()).index("rsi")


class Sight(msgspec.Struct, frozen=True):
    """What is kept of the newest row of a leader, or of a market of currencies; times are nanoseconds."""

    ts: int
    mid: float
    last: float
    ts_venue: int
    ts_book: int
    lag: int
    is_sound: bool = True
    spread_frac: float = 0.0

    def age(self, ts: int) -> int:
        """Return how old its book is at `ts`."""
        return max(ts - self.ts_book, self.lag + ts - self.ts)


class Known(msgspec.Struct):
    """All that an observer remembers: newest sights, and the leaders' mids of the window, by instrument."""

    sights: dict[int, Sight] = {}
    trails: dict[int, list[tuple[int, float]]] = {}
    meter: bytes = b""


class Exchange(msgspec.Struct, frozen=True):
    """The market that tells a follower's currency in its leader's; -1: they are one currency."""

    instrument: int
    is_inverted: bool = False


def leaders(instruments: Sequence[Instrument]) -> dict[int, int]:
    """Return the leader's number by the number of each instrument that has one."""
    first: dict[str, Instrument] = {}
    for venue in reversed(LEADING):
        for instrument in reversed(instruments):
            if instrument.venue is venue and instrument.base:
                first[instrument.base] = instrument
    led = [one for one in instruments if one.venue not in LEADING and one.base in first]
    return {one.id: first[one.base].id for one in led}


def data_age(row: np.void) -> int:
    """Return the age of a row's book, nanoseconds: the worse of how long we heard nothing and how late we hear."""
    return max(int(row["ts"]) - int(row["ts_book"]), int(row["venue_lag"]))


def exchanges(instruments: Sequence[Instrument]) -> dict[int, Exchange]:
    """Return where to learn the currencies' basis, by the number of each led instrument that has it."""
    numbered = {instrument.id: instrument for instrument in instruments}
    pairs = {(one.base, one.quote): one.id for one in reversed(instruments) if one.venue in LEADING}
    found: dict[int, Exchange] = {}
    for follower, leader in leaders(instruments).items():
        ours, theirs = _currency(numbered[follower]), _currency(numbered[leader])
        if not ours or not theirs:
            continue
        if ours == theirs:
            found[follower] = Exchange(-1)
        elif (ours, theirs) in pairs:
            found[follower] = Exchange(pairs[ours, theirs])
        elif (theirs, ours) in pairs:
            found[follower] = Exchange(pairs[theirs, ours], is_inverted=True)
    return found


def _currency(instrument: Instrument) -> str:
    is_dydx = instrument.venue in (Venue.DYDX, Venue.DYDX_V3)
    return "USDC" if is_dydx and instrument.quote == "USD" else instrument.quote


class Observer:
    """Remembers the leaders and makes observations and features of those that are led."""

    def __init__(self, instruments: Sequence[Instrument], params: LeadParams | None = None) -> None:
        self._params = params or LeadParams()
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self.leaders = leaders(instruments)
        self._leading = frozenset(self.leaders.values())
        self._exchanges = exchanges(instruments)
        self._noted = self._leading | {one.instrument for one in self._exchanges.values()}
        self._meter = LagMeter(self.leaders, self._params.meter)
        self._known = Known()

    def note(self, row: np.void) -> None:
        """Keep the row if others are measured by its market and it has a price."""
        number = int(row["instrument"])
        if self.leaders:
            self._meter.note(row)
        if number not in self._noted or not row["mid"] > 0.0:
            return
        sight = Sight(
            ts=int(row["ts"]),
            mid=float(row["mid"]),
            last=float(row["last"]),
            ts_venue=int(row["ts_exchange"]),
            ts_book=int(row["ts_book"]),
            lag=int(row["venue_lag"]),
            is_sound=not int(row["health"]) & _UNSOUND,
            spread_frac=(int(row["ask"]) - int(row["bid"])) * self._instruments[number].tick / float(row["mid"]),
        )
        self._known.sights[number] = sight
        if number in self._leading and sight.is_sound:
            trail = self._known.trails.setdefault(number, [])
            trail.append((sight.ts, sight.mid))
            # one that is as old as the window, or older, stays
            del trail[: max(0, bisect_right(trail, (sight.ts - self._params.window_ns, inf)) - 1)]

    def features(self, row: np.void, entry_spread: float = 0.0) -> LeadFeatures | None:
        """Return what the row's market is to its leader, the lag left out; None without enough of either.

        `entry_spread` is the spread at which what is held was entered, 0.0 for nothing held.
        """
        number, ts, mid = int(row["instrument"]), int(row["ts"]), float(row["mid"])
        leader = self.leaders.get(number)
        sight = self._known.sights.get(leader) if leader is not None else None
        if leader is None or sight is None or not sight.is_sound or not mid > 0.0:
            return None
        trail = self._known.trails.get(leader, [])
        at = bisect_right(trail, (ts - self._params.window_ns, inf)) - 1
        # a hole at the beginning of the window is no price of that moment
        if at < 0 or ts - self._params.window_ns - trail[at][0] > self._params.max_age_s * NS_PER_S:
            return None
        leader_return = sight.mid / trail[at][1] - 1.0
        basis = self._basis(number, ts)
        spread = (mid - sight.mid) / sight.mid - (basis or 0.0)
        return LeadFeatures(
            spread=spread,
            basis=basis or 0.0,
            is_basis_known=basis is not None,
            leader_return=leader_return,
            window_ns=self._params.window_ns,
            age_ns=max(data_age(row), sight.age(ts)),
            side=int(side_of(leader_return, spread, self._params)),
            compression=1.0 - spread / entry_spread if entry_spread else 0.0,
        )

    def hedge(self, number: int, side: Side) -> Hedge | None:
        """Return the hedge of an entry on `side` of a market that is led: its leader, at the mid toward our side."""
        leader = self.leaders.get(number)
        sight = self._known.sights.get(leader) if leader is not None else None
        if leader is None or sight is None or not sight.is_sound:
            return None
        ticks = sight.mid / self._instruments[leader].tick
        # the hedge is on the other side: a sale is decided at the mid rounded up
        reference = math.ceil(ticks - 1e-6) if side is Side.BUY else math.floor(ticks + 1e-6)
        return Hedge(instrument=leader, reference=reference, spread_frac=sight.spread_frac)

    def _basis(self, follower: int, ts: int) -> float | None:
        exchange = self._exchanges.get(follower)
        if exchange is None:
            return None
        if exchange.instrument < 0:
            return 0.0
        sight = self._known.sights.get(exchange.instrument)
        if sight is None or not sight.is_sound or sight.age(ts) > self._params.max_basis_age_s * NS_PER_S:
            return None
        # a follower priced in USDC stands at leader / (USDC in USDT) when the two agree
        return sight.mid - 1.0 if exchange.is_inverted else 1.0 / sight.mid - 1.0

    def snapshot(self) -> Known:
        """Return all that is remembered."""
        self._known.meter = self._meter.snapshot() if self.leaders else b""
        return self._known

    def restore(self, known: Known) -> None:
        """Go on from what `snapshot` gave."""
        if self.leaders:
            self._meter.restore(known.meter)
        self._known = known

    def observed(
        self, row: np.void, side: Side, probability: float, features: LeadFeatures | None = None
    ) -> Observation:
        """Return how the row's market stands, with what the strategies think of it."""
        ts, number, evidence = int(row["ts"]), int(row["instrument"]), row["evidence"]
        lag = int(row["venue_lag"])
        rsi_1m, rsi_5m, rsi_15m = (_rsi(row["timeframes"][k]) for k in range(3))
        return Observation(
            ts=ts,
            instrument=number,
            mid=float(row["mid"]),
            last=float(row["last"]),
            ts_venue=int(row["ts_exchange"]),
            age_ns=data_age(row),
            spread=(int(row["ask"]) - int(row["bid"])) * self._instruments[number].tick,
            depth_bid=float(evidence["depth_bid"]),
            depth_ask=float(evidence["depth_ask"]),
            fill_buy=float(row["fill_buy"]),
            fill_sell=float(row["fill_sell"]),
            sigma_1m=float(evidence["sigma_1m"]),
            volatility_rank=float(evidence["vol_pct"]),
            atr=float(evidence["atr"]),
            # the lag is ts + skew - ts_exchange, and 0 while the skew is unknown
            clock_skew_ns=lag - ts + int(row["ts_exchange"]) if lag else 0,
            score=int(side) * probability,
            aligned=float(row["aligned"]),
            rsi_1m=rsi_1m,
            rsi_5m=rsi_5m,
            rsi_15m=rsi_15m,
            leader=self._leader(number, ts, features),
        )

    def _leader(self, number: int, ts: int, features: LeadFeatures | None) -> Leader | None:
        leader = self.leaders.get(number)
        sight = self._known.sights.get(leader) if leader is not None else None
        if leader is None or sight is None:
            return None
        return Leader(
            instrument=leader,
            mid=sight.mid,
            last=sight.last,
            ts=sight.ts_venue,
            age_ns=sight.age(ts),
            features=None if features is None else msgspec.structs.replace(features, lag=self._meter.lag(number)),
        )


def _rsi(timeframe: np.void) -> float:
    return float(timeframe["rsi"]) if int(timeframe["ready"]) & _HAS_RSI else -1.0
