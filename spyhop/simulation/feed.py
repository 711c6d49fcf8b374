"""The generative market as a feed: one symbol, seeded, the same events whenever and however it is cut."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MS, NS_PER_S
from spyhop.errors import InvalidSetting, SnapshotMismatch
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import EVENT, Events, Venue
from spyhop.simulation import draws, episodes, makers, market
from spyhop.simulation.episodes import Episode

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]

_STEPS_PER_YEAR = 365.0 * 86_400.0 * NS_PER_S / makers.STEP_NS
_STEP_S = makers.STEP_NS / NS_PER_S
_NEVER = 1 << 62

PLAN_NS = NS_PER_DAY
"""How far ahead the episodes of a market without an end are planned; doubled each time it gets there."""


class MarketParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the generative market behaves; defaults resemble a large USDT perpetual."""

    price: Positive | None = None
    """Opening price, quote currency; by default what is usual for the symbol's base currency."""
    annual_vol_frac: Positive = 0.45
    """Of the fundamental; price impact adds to it."""
    vol_of_vol_frac: NotNegative = 0.3
    vol_half_life_s: Positive = 1_800.0
    common_frac: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.6
    """Correlation of this symbol's fundamental with the shock that all symbols of a seed share, squared root."""
    orders_per_s: Positive = 4.0
    """Aggressive orders that nothing excited, both sides together; the mean rate is this / (1 - branching)."""
    branching_self: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.5
    branching_cross: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.15
    excitement_half_life_s: Positive = 0.4
    pressure_half_life_s: Positive = 20.0
    """Of the hidden lean of traders to one side, which displayed depth betrays a little."""
    mean_trade_usdt: Positive = 3_000.0
    trade_tail: Annotated[float, msgspec.Meta(gt=1)] = 1.7
    max_trade_means: Positive = 150.0
    impact_bps: NotNegative = 0.05
    """Move by one mean trade; grows with the square root of size."""
    impact_kept_frac: Fraction = 0.4
    impact_half_life_s: Positive = 30.0
    level_usdt: Positive = 30_000.0
    occupancy_frac: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.35
    depth_bps: Positive = 20.0
    refreshes_per_frame: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    wide_spread_frac: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.12
    mark_interval_s: Annotated[float, msgspec.Meta(ge=0.1)] = 1.0
    open_interest_interval_s: Annotated[float, msgspec.Meta(ge=0.1)] = 5.0
    open_interest_usdt: Positive = 4e9
    funding_interval_s: Annotated[int, msgspec.Meta(ge=60)] = 28_800
    liquidations_per_s: NotNegative = 0.05
    """Of each side while the last minute's move is one deviation against it; grows with its square."""
    latency_ms: NotNegative = 6.0
    latency_jitter_ms: NotNegative = 2.0
    episode_gap_s: NotNegative = 300.0
    """Mean quiet time between planted whale episodes (20 s at least); 0 plants none."""


_USUAL_PRICE = {"BTC": 60_000.0, "ETH": 2_500.0, "BNB": 550.0, "SOL": 140.0, "XRP": 0.6, "DOGE": 0.12, "ADA": 0.4}
_USUAL_GRID = {"BTC": ("0.1", "0.001"), "ETH": ("0.01", "0.001"), "BNB": ("0.01", "0.01"), "SOL": ("0.001", "0.1")}
_TIERS = (
    (0, "0.004", 125, 0),
    (50_000, "0.005", 100, 50),
    (500_000, "0.01", 50, 2_550),
    (10_000_000, "0.025", 20, 152_550),
)


def usual_instrument(symbol: str, number: int = 0) -> Instrument:
    """Return a made-up perpetual such as BTCUSDT at the venue `simulated`, with a grid usual for its price."""
    base = symbol.upper().removesuffix("USDT").removesuffix("USDC")
    tick, lot = _USUAL_GRID.get(base) or _grid(_USUAL_PRICE.get(base, 1.0))
    return Instrument(
        id=number,
        venue=Venue.SIMULATED,
        symbol=symbol,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        base=base,
        quote=symbol[len(base) :] or "USDT",
        min_qty=Decimal(lot),
        min_notional=Decimal(5),
        margin_tiers=tuple(
            MarginTier(
                floor=Decimal(floor),
                maintenance_rate=Decimal(rate),
                max_leverage=Decimal(leverage),
                amount=Decimal(amount),
            )
            for floor, rate, leverage, amount in _TIERS
        ),
    )


def _grid(price: float) -> tuple[str, str]:
    # a tick of a third of a basis point to three, a lot of about a dollar
    exponent = math.floor(math.log10(price * 1e-4))
    return f"1e{exponent}", f"1e{-math.floor(math.log10(price))}"


class GenerativeFeed:
    """A seeded market of one instrument; implements `ports.Feed`.

    `seed` (at least 0) is the session's: the symbol's own stream and the shock it shares with other symbols follow
    from it. `planted` replaces the episodes that the seed would plant. Ends after `hours`; 0 means never.
    """

    def __init__(
        self,
        instrument: Instrument,
        seed: int,
        start_ts: int,
        params: MarketParams | None = None,
        hours: float = 0.0,
        planted: Sequence[Episode] | None = None,
        batch_ns: int = NS_PER_S,
    ) -> None:
        self.instrument, self.params = instrument, params or MarketParams()
        if self.params.branching_self + self.params.branching_cross >= 0.95:
            raise InvalidSetting("simulation.branching_self", "with branching_cross it must stay below 0.95")
        own = _own_seed(seed, instrument.symbol)
        self._seed, self._start = own, start_ts
        self._end = start_ts + int(hours * NS_PER_HOUR) if hours > 0 else _NEVER
        self._planned_to = _NEVER
        self._planted = list(planted or ())
        self._plan = episodes.plan(self._planted)
        if planted is None:
            self._plan_to(min(self._end, start_ts + PLAN_NS))
        self._calm = np.array([(1.0, 0.0, 0.0, 0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0)], episodes.PHASE)
        price = self.params.price or _USUAL_PRICE.get(instrument.base, 1.0)
        self._law = _law(instrument, self.params, price, seed)
        self._state = np.zeros(1, makers.MARKET)
        self._rows: Events = np.zeros(2 * market.MAX_STEP_ROWS, EVENT)
        self._batch, self._until = batch_ns, start_ts
        draws.begin(self._state[0]["draws"], own, 0)
        lots = self.params.open_interest_usdt / price / instrument.lot
        market.open_market(self._state[0], self._law[0], price, lots, start_ts)

    def next_batch(self) -> Events | None:
        """Return the events of the next `batch_ns` of event time, None after the last hour."""
        if self._until >= self._end:
            return None
        self._until = min(self._until + self._batch, self._end)
        while self._until > self._planned_to:
            # a longer plan begins with the shorter one, so what is under way stays as it is
            self._plan_to(min(self._end, 2 * self._planned_to - self._start))
        parts = []
        while True:
            count = market.advance(self._state[0], self._law[0], self._calm[0], self._plan, self._rows, self._until)
            if count == 0:
                break
            parts.append(self._rows[:count].copy())
        return np.concatenate(parts) if parts else np.zeros(0, EVENT)

    def _plan_to(self, end: int) -> None:
        self._planned_to = end
        self._planted = episodes.planned(self._seed, self._start, end, self.params.episode_gap_s)
        self._plan = episodes.plan(self._planted)

    def episodes(self) -> list[Episode]:
        """Return the truth: every episode planted from the start to the end, or so far without one."""
        return list(self._planted)

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((_LAYOUT, self._until, zlib.compress(self._state.tobytes(), 1)))

    def restore(self, snapshot: bytes) -> None:
        layout, self._until, state = msgspec.msgpack.decode(snapshot, type=tuple[str, int, bytes])
        if layout != _LAYOUT:
            raise SnapshotMismatch("generative feed", _LAYOUT, layout)
        self._state = np.frombuffer(zlib.decompress(state), makers.MARKET).copy()


_LAYOUT = hashlib.sha256(repr(makers.MARKET).encode()).hexdigest()[:12]


def _own_seed(seed: int, symbol: str) -> int:
    if seed < 0:
        raise InvalidSetting("seed", "must be 0 or more")
    return int.from_bytes(hashlib.sha256(f"{seed}:{symbol}".encode()).digest()[:7], "big")


def _keep(half_life_s: float) -> float:
    return math.exp(-math.log(2.0) * _STEP_S / half_life_s)


def _law(instrument: Instrument, p: MarketParams, price: float, seed: int) -> np.ndarray[Any, Any]:
    law = np.zeros(1, makers.LAW)
    lot_usdt = price * instrument.lot
    beta = math.log(2.0) / p.excitement_half_life_s
    vol_keep, pressure_keep = _keep(p.vol_half_life_s), _keep(p.pressure_half_life_s)
    numbers: dict[str, float] = {
        "instrument": instrument.id,
        "venue": int(instrument.venue),
        "tick": instrument.tick,
        "common_seed": seed,
        "common_load": p.common_frac,
        "own_load": math.sqrt(1.0 - p.common_frac**2),
        "sigma_step": p.annual_vol_frac / math.sqrt(_STEPS_PER_YEAR),
        "vol_keep": vol_keep,
        "vol_noise": p.vol_of_vol_frac * math.sqrt(1.0 - vol_keep**2),
        "base_rate": 0.5 * p.orders_per_s,
        "self_jump": p.branching_self * beta,
        "cross_jump": p.branching_cross * beta,
        "beta": beta,
        "pressure_keep": pressure_keep,
        "pressure_noise": math.sqrt(1.0 - pressure_keep**2),
        "pressure_gain": 0.5,
        "trade_lots": max(p.mean_trade_usdt / lot_usdt, 1.0),
        "trade_tail": p.trade_tail,
        "trade_cap": p.max_trade_means,
        "impact": p.impact_bps * 1e-4,
        "impact_kept": p.impact_kept_frac,
        "impact_keep": _keep(p.impact_half_life_s),
        "level_lots": max(p.level_usdt / lot_usdt, 1.0),
        "occupancy": p.occupancy_frac,
        "reach": min(max(int(p.depth_bps * 1e-4 * price / instrument.tick), 20), makers.RING // 4),
        "refreshes": p.refreshes_per_frame,
        "wide_chance": p.wide_spread_frac,
        "mark_steps": round(p.mark_interval_s / _STEP_S),
        "open_interest_steps": round(p.open_interest_interval_s / _STEP_S),
        "funding_interval": p.funding_interval_s * NS_PER_S,
        "liquidation_rate": p.liquidations_per_s,
        "latency": p.latency_ms * NS_PER_MS,
        "latency_jitter": p.latency_jitter_ms * NS_PER_MS,
    }
    for name, number in numbers.items():
        law[name] = number
    return law
