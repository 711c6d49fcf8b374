"""What a simulator is asked to be, and the floor and fronts that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from spyhop.clock import NS_PER_MINUTE, NS_PER_S, Clock, WallClock
from spyhop.errors import MissingInput
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.simulation.feed import MarketParams
from spyhop.simulation.followers import FollowerParams
from spyhop.storage.lake import Lake
from spyhop.venues.endpoints import ClockSpec
from spyhop.venuesim import faults
from spyhop.venuesim.binance.front import SpotFront, UsdmFront
from spyhop.venuesim.dydx.front import DydxFront
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.faults import Faults
from spyhop.venuesim.floor import Floor, Front
from spyhop.venuesim.keys import TEST_KEY, ApiKey
from spyhop.venuesim.markets import (
    FollowerMarket,
    GeneratedMarket,
    LakeMarket,
    Market,
    SpotMarket,
    dydx_instrument,
    spot_instrument,
)

SYMBOLS = ("BTCUSDT",)
"""What is generated unless symbols are asked for."""
LOOPBACK = "127.0.0.1"
VENUES = (Venue.BINANCE_USDM, Venue.BINANCE_SPOT, Venue.DYDX)


class SimOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `spyhop venue-sim` was asked for.

    It listens on `host`, an address of this machine; loopback, unless machines beside it shall reach it. Ports are
    `port`, `port` + 1, `port` + 2, or any when it is 0. A `lake` is played with the instruments that
    `symbols` names (default: all of the three venues), moved by whole minutes so that it begins at `start_ns`. Without
    one the market is generated from `seed` for `symbols`, and has run for `history_s` when it opens; one that `is_calm`
    is a random walk, which no whale and no trade moves. What follows at dYdX is `lag_ms` behind. The exchange's clock
    starts at `start_ns` (0 = the machine's time) and runs `speed` times as fast as the machine's.
    """

    host: str = LOOPBACK
    port: Annotated[int, msgspec.Meta(ge=0, le=65_533)] = 0
    lake: Path | None = None
    symbols: tuple[str, ...] = ()
    speed: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    seed: int = 0
    faults: Path | None = None
    start_ns: int = 0
    history_s: Annotated[float, msgspec.Meta(ge=0)] = 7_500.0
    lag_ms: Annotated[float, msgspec.Meta(ge=0)] = FollowerParams().lag_ms
    is_calm: bool = False
    keys: tuple[ApiKey, ...] = (TEST_KEY,)


CALM = MarketParams(impact_bps=0.0, episode_gap_s=0.0)
"""A market whose price is a random walk: nothing in its past tells where it goes."""


def floor(wanted: SimOptions) -> tuple[Floor, ClockSpec]:
    """Return the floor that `wanted` describes and the clock it lives by; raise UserError for what cannot be had.

    The clock begins when everything is built: what is slow to build is not owed to anybody.
    """
    planned = faults.load(wanted.faults) if wanted.faults else ()
    start = wanted.start_ns or WallClock().now_ns()
    if wanted.lake is not None:
        lake = Lake(wanted.lake)
        kept = played(lake, wanted.symbols)
        # recordings move by whole minutes, so that bars stay on their grid: begin with the first event, not before it
        start -= (start - min(lake.span(one.key)[0] for one in kept)) % NS_PER_MINUTE
        exchange = Exchange(recorded(lake, kept, wanted.seed, start, wanted.lag_ms), start)
    else:
        law = CALM if wanted.is_calm else None
        symbols = wanted.symbols or SYMBOLS
        exchange = generated(symbols, wanted.seed, start, wanted.history_s, lag_ms=wanted.lag_ms, law=law)
    spec = ClockSpec()
    if wanted.start_ns or wanted.lake is not None or wanted.speed != 1.0:
        spec = ClockSpec(WallClock().now_ns(), start, wanted.speed)
    clock: Clock = spec.clock()
    return Floor(exchange, clock, Faults(clock.now_ns, np.random.default_rng(wanted.seed), planned)), spec


def fronts(floor: Floor, wanted: SimOptions) -> tuple[Front, ...]:
    """Return the fronts of all three venues: Binance USDT-M, Binance spot, dYdX."""
    return (UsdmFront(floor, wanted.keys, wanted.seed), SpotFront(floor, wanted.keys), DydxFront(floor))


def played(lake: Lake, symbols: Sequence[str]) -> list[Instrument]:
    """Return what the lake holds of the three venues, or the instruments named; raise MissingInput for nothing."""
    kept = [one for one in lake.instruments() if one.venue in VENUES]
    if symbols:
        kept = [one for one in kept if one.symbol in symbols or one.key in symbols]
    if not kept:
        raise MissingInput(f"the lake has no {', '.join(symbols) or 'instrument'} of a venue that can be simulated")
    return kept


def recorded(
    lake: Lake, kept: Sequence[Instrument], seed: int, start: int, lag_ms: float = FollowerParams().lag_ms
) -> list[Market]:
    """Return the recorded markets of `kept`, keeping their times to each other.

    Where there is a USDT-M perpetual and not the spot or dYdX market of the same base, that market follows it.
    """
    firsts = {one.key: lake.span(one.key)[0] for one in kept}
    earliest = min(firsts.values())
    leaders = [LakeMarket(lake, one.key, start + firsts[one.key] - earliest) for one in kept]
    perpetuals = [one for one in leaders if one.instrument.venue is VENUES[0]]
    return [*leaders, *_followers(perpetuals, kept, seed, start, lag_ms)]


def generated(
    symbols: Sequence[str],
    seed: int,
    start: int,
    history_s: float,
    *,
    lag_ms: float = FollowerParams().lag_ms,
    law: MarketParams | None = None,
) -> Exchange:
    """Return an exchange of generated markets that has already run for `history_s` when its clock shows `start`."""
    opened = start - int(history_s * NS_PER_S)
    leaders = [GeneratedMarket(symbol, seed, opened, law) for symbol in symbols]
    exchange = Exchange([*leaders, *_followers(leaders, [], seed, opened, lag_ms)], opened)
    for now in range(opened, start, NS_PER_MINUTE):  # in pieces, so that little is held at a time
        exchange.advance(now)
    exchange.advance(start)
    return exchange


def _followers(
    leaders: Sequence[GeneratedMarket | LakeMarket], there: Sequence[Instrument], seed: int, start: int, lag_ms: float
) -> list[Market]:
    behind = FollowerParams(lag_ms=lag_ms)
    taken = {(one.venue, one.symbol) for one in there}
    markets: list[Market] = []
    for leader in leaders:
        for venue in (Venue.BINANCE_SPOT, Venue.DYDX):
            is_spot = venue is Venue.BINANCE_SPOT
            one = (spot_instrument if is_spot else dydx_instrument)(leader.instrument)
            if (venue, one.symbol) in taken:
                continue
            taken.add((venue, one.symbol))
            markets.append(
                SpotMarket(leader, seed, start) if is_spot else FollowerMarket(one, leader, seed, start, behind)
            )
    return markets
