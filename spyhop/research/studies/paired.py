"""Minutes of a leader and its follower side by side, without holes: the input of every study on bars.

A row is a whole minute of the span that both have; where a venue had no bar the row holds NaN, so that a hole is seen
and its time counts. The leader is taken to be quoted in USDT. A follower in dollars or USDC stands off it by what USDC
is worth in USDT, which is no spread: where the lake has minutes of USDCUSDT, `basis` holds that part.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_MINUTE, iso_ms
from spyhop.errors import MissingInput, UserError
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Flag, Kind, Venue
from spyhop.research.studies.bar_trips import MinuteBars, spreads
from spyhop.storage.lake import END_OF_TIME, START_OF_TIME, Lake

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

MINUTE_S = 60
MANY_IDLE = 0.05
"""A share of bars without a trade above which a follower's prices are stale often enough to warn of."""
_MAX_MINUTES = 10_000_000
_LEADERS = (Venue.BINANCE_USDM, Venue.BINANCE_SPOT)
_FOLLOWERS = (Venue.DYDX,)
_STABLE = ("USDCUSDT",)
_DOLLARS = ("USD", "USDC")
_COLUMNS = ("open", "high", "low", "close", "volume")


class PairQuality(msgspec.Struct, frozen=True, kw_only=True):
    """What the minutes were like. A flat bar has one price; an idle one no trade: its price is an earlier minute's."""

    num_minutes: int
    missing_leader: int
    missing_follower: int
    flat_leader_share: float
    flat_follower_share: float
    idle_leader_share: float
    idle_follower_share: float
    is_basis_needed: bool
    """The two are quoted in different currencies."""
    basis_minutes: int
    """Minutes whose basis was known; elsewhere 0 stood in for it."""
    basis_mean_bps: float | None
    warnings: list[str]


class Span(msgspec.Struct, frozen=True):
    """The first and last instant of the minutes, UTC, and their length."""

    first: str
    last: str
    hours: float


class PairedBars(msgspec.Struct, frozen=True, kw_only=True):
    """Arrays of one length n, minute by minute; prices float64, NaN where there was no bar.

    `ts` is the close of each minute (UTC, ns); `basis` a fraction of the leader's price, 0 where it is not known;
    `funding_ts` and `funding_rates` (m,) are the rates that the follower's venue settled, fractions a settlement.
    """

    leader: str
    follower: str
    is_simulated: bool
    ts: Times
    leader_open: Floats
    leader_high: Floats
    leader_low: Floats
    leader_close: Floats
    leader_volume: Floats
    follower_open: Floats
    follower_high: Floats
    follower_low: Floats
    follower_close: Floats
    follower_volume: Floats
    basis: Floats
    has_basis: npt.NDArray[np.bool_]
    is_basis_needed: bool
    funding_ts: Times
    funding_rates: Floats

    @property
    def spread(self) -> Floats:
        """Return (follower - leader) / leader - basis at each close, float64 (n,)."""
        return spreads(self.trading)

    @property
    def trading(self) -> MinuteBars:
        """Return the columns that trading needs."""
        return MinuteBars(
            self.ts,
            self.leader_close,
            self.follower_open,
            self.follower_high,
            self.follower_low,
            self.follower_close,
            self.basis,
        )

    def last(self, hours: float) -> PairedBars:
        """Return the newest `hours`, or all there is."""
        return self.cut(max(0, len(self.ts) - max(1, round(hours * 60))), len(self.ts))

    def cut(self, start: int, stop: int) -> PairedBars:
        """Return rows `start` to `stop`."""
        columns = {
            name: value[start:stop]
            for name in self.__struct_fields__
            if isinstance(value := getattr(self, name), np.ndarray) and not name.startswith("funding")
        }
        return msgspec.structs.replace(self, **columns)


def paired(lake: Lake, leader: Instrument, follower: Instrument) -> PairedBars:
    """Return the minutes that both have in `lake`; raise MissingInput when one has none or they share none."""
    told = {one.key: minutes(lake, one) for one in (leader, follower)}
    start = max(int(ts[0]) for ts, _ in told.values())
    end = min(int(ts[-1]) for ts, _ in told.values())
    if end < start:
        spans = [f"{key} has {iso_ms(int(ts[0]))} to {iso_ms(int(ts[-1]))}" for key, (ts, _) in told.items()]
        raise MissingInput(f"the two were never recorded in the same minute: {' and '.join(spans)}")
    num = (end - start) // NS_PER_MINUTE + 1
    if num > _MAX_MINUTES:
        raise UserError(f"{num:,} minutes are more than the {_MAX_MINUTES:,} that a study reads; narrow the lake")
    columns: dict[str, Floats] = {}
    for role, one in (("leader", leader), ("follower", follower)):
        ts, prices = told[one.key]
        for name in _COLUMNS:
            columns[f"{role}_{name}"] = _laid_out(ts, prices[name], start, num)
    is_needed = _currency(leader) != _currency(follower)
    basis = _basis(lake, start, num) if is_needed and follower.quote in _DOLLARS else np.full(num, np.nan)
    funding_ts, rates = _funding(lake, follower)
    return PairedBars(
        leader=leader.key,
        follower=follower.key,
        is_simulated=leader.is_simulated or follower.is_simulated,
        ts=start + np.arange(num, dtype=np.int64) * NS_PER_MINUTE,
        basis=np.where(np.isfinite(basis), basis, 0.0),
        has_basis=np.isfinite(basis),
        is_basis_needed=is_needed,
        funding_ts=funding_ts,
        funding_rates=rates,
        **columns,
    )


def chosen(lake: Lake, symbol: str = "", leader: str = "", follower: str = "") -> tuple[Instrument, Instrument]:
    """Return (leader, follower) by their own names, or the ones of `symbol`'s base that have bars.

    Binance leads (USDT-M where it is there, else spot) and dYdX follows. Raises MissingInput or UserError.
    """
    base = symbol.upper().removesuffix("-USD").removesuffix("USDT")
    if not base and not (leader and follower):
        raise UserError("say what to study: --symbol BTC, or --leader and --follower")
    first = lake.instrument(leader) if leader else _of_base(lake, base, _LEADERS, "leader")
    second = lake.instrument(follower) if follower else _of_base(lake, base, _FOLLOWERS, "follower")
    if first.key == second.key:
        raise UserError(f"{first.key} cannot follow itself: --leader and --follower are the same")
    return first, second


def quality(bars: PairedBars) -> PairQuality:
    """Return what was missing, flat or not known, and the sentences that warn of it."""
    num = len(bars.ts)
    missing_follower = int(np.isnan(bars.follower_close).sum())
    idle = _idle_share(bars.follower_volume)
    warnings = [
        "Bars of a minute: nothing below a minute can be told, nor which exit of a bar was reached first; a close is "
        "a last trade, not a price that could be had."
    ]
    if idle > MANY_IDLE:
        warnings.append(
            f"In {100 * idle:.0f} % of its minutes nobody traded the follower: their prices are stale, and part of "
            "what looks like following is a print that nobody could have traded at."
        )
    known = int(bars.has_basis.sum())
    if bars.is_basis_needed and known < num:
        what = "is not known" if known == 0 else f"is known in {known:,} of {num:,} minutes only"
        warnings.append(
            f"The two are quoted in different dollars and what USDC is worth in USDT {what}: the spread holds it. "
            "Import minutes of USDCUSDT to take it out."
        )
    return PairQuality(
        num_minutes=num,
        missing_leader=int(np.isnan(bars.leader_close).sum()),
        missing_follower=missing_follower,
        flat_leader_share=_flat_share(bars.leader_high, bars.leader_low),
        flat_follower_share=_flat_share(bars.follower_high, bars.follower_low),
        idle_leader_share=_idle_share(bars.leader_volume),
        idle_follower_share=idle,
        is_basis_needed=bars.is_basis_needed,
        basis_minutes=known,
        basis_mean_bps=float(bars.basis[bars.has_basis].mean() * 1e4) if known else None,
        warnings=warnings,
    )


def minutes(lake: Lake, instrument: Instrument) -> tuple[Times, Mapping[str, Floats]]:
    """Return (closes in ns, rising; open, high, low, close, volume) of an instrument's minutes; raise MissingInput.

    A minute that was recorded twice is taken as the later recording has it; one that is not closed is left out.
    """
    opens: list[npt.NDArray[np.generic]] = []
    closes: list[npt.NDArray[np.generic]] = []
    channels = ("bars",)
    has_bars = "bars" in lake.channels(instrument.key)
    for events in lake.scan(instrument.key, START_OF_TIME, END_OF_TIME, channels) if has_bars else ():
        whole = events[(events["interval_s"] == MINUTE_S) & (events["flags"] & Flag.PARTIAL == 0)]
        opens.append(whole[whole["kind"] == Kind.BAR_OPEN])
        closes.append(whole[whole["kind"] == Kind.BAR_CLOSE])
    first, second = (np.concatenate(parts) if parts else np.zeros(0, _KEYS) for parts in (opens, closes))
    at, rows, others = _matched(first["id"], second["id"])
    if not len(at):
        raise MissingInput(f"there are no one-minute bars of {instrument.key} in the lake {lake.root}")
    tick = instrument.tick
    return at + NS_PER_MINUTE, {
        "open": first["price"][rows] * tick,
        "high": first["aux"][rows] * tick,
        "low": second["price"][others] * tick,
        "close": second["aux"][others] * tick,
        "volume": first["qty"][rows] * instrument.lot,
    }


_KEYS = np.dtype([("id", "i8"), ("price", "i8"), ("qty", "i8"), ("aux", "i8")])


def _matched(first: Times, second: Times) -> tuple[Times, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the keys that both have, rising, and the last place of each in either."""
    last = [dict(zip(keys.tolist(), itertools.count())) for keys in (first, second)]
    both = sorted(last[0].keys() & last[1].keys())
    at = np.array(both, np.int64)
    places = [np.array([found[key] for key in both], np.intp) for found in last]
    return at, places[0], places[1]


def _of_base(lake: Lake, base: str, venues: Sequence[Venue], role: str) -> Instrument:
    known = lake.instruments()
    for venue in venues:
        for one in known:
            if one.venue == venue and one.base == base and "bars" in lake.channels(one.key):
                return one
    there = ", ".join(one.key for one in known) or "nothing"
    raise MissingInput(
        f"no {role} for {base or 'this'} with bars in the lake {lake.root}: say --{role}; it has {there}"
    )


def _currency(instrument: Instrument) -> str:
    return "USD" if instrument.quote in _DOLLARS else instrument.quote


def _laid_out(ts: Times, prices: Floats, start: int, num: int) -> Floats:
    laid = np.full(num, np.nan)
    places = (ts - start) // NS_PER_MINUTE
    inside = (places >= 0) & (places < num) & ((ts - start) % NS_PER_MINUTE == 0)
    laid[places[inside]] = prices[inside]
    return laid


# a follower priced in USDC stands at leader / (USDC in USDT) when the two agree
def _basis(lake: Lake, start: int, num: int) -> Floats:
    for one in lake.instruments():
        if one.symbol in _STABLE and "bars" in lake.channels(one.key):
            ts, prices = minutes(lake, one)
            return 1.0 / _laid_out(ts, prices["close"], start, num) - 1.0
    return np.full(num, np.nan)


def _funding(lake: Lake, follower: Instrument) -> tuple[Times, Floats]:
    found = []
    if "funding" in lake.channels(follower.key):
        for events in lake.scan(follower.key, START_OF_TIME, END_OF_TIME, ("funding",)):
            found.append(events[events["flags"] & Flag.SETTLED != 0])
    if not found:
        return np.zeros(0, np.int64), np.zeros(0)
    rows = np.concatenate(found)
    order = np.argsort(rows["ts_event"], kind="stable")
    return rows["ts_event"][order].astype(np.int64), rows["aux"][order] * 1e-12


def _flat_share(high: Floats, low: Floats) -> float:
    known = np.isfinite(high)
    return float((high[known] == low[known]).mean()) if known.any() else 0.0


def span(bars: PairedBars) -> Span:
    """Return which minutes these are."""
    return Span(
        first=iso_ms(int(bars.ts[0]) - NS_PER_MINUTE),
        last=iso_ms(int(bars.ts[-1])),
        hours=len(bars.ts) / 60,
    )


def _idle_share(volume: Floats) -> float:
    known = np.isfinite(volume)
    return float((volume[known] == 0.0).mean()) if known.any() else 0.0
