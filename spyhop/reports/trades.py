"""The part of a report that is about closed trades: money, win rate, expectancy, drawdown, holding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from spyhop.clock import NS_PER_DAY, NS_PER_S
from spyhop.ledger.liquidation import isolated_price
from spyhop.model.instruments import Instrument
from spyhop.model.orders import TradeClosed
from spyhop.numerics import statistics
from spyhop.numerics.statistics import Array
from spyhop.reports.model import (
    BySymbol,
    Expectancy,
    Holding,
    Interval,
    Money,
    Point,
    Risk,
    Sensitivity,
    WinRate,
)
from spyhop.reports.verdict import MIN_TRADES

MIN_SHARPE_DAYS = 90
MIN_RESAMPLED = 10
"""Resamples of fewer trades repeat the same few numbers and give an interval that is far too narrow."""
_BOOTSTRAP_SEED = 20251128
_TOP = 5


def money(trades: Sequence[TradeClosed]) -> Money:
    """Return what was made and what it cost."""
    gross, slippage = _total(trades, "gross"), _total(trades, "slippage")
    fees, funding = _total(trades, "fees"), _total(trades, "funding")
    before = gross + slippage
    return Money(
        before_slippage=before,
        slippage=slippage,
        gross=gross,
        fees=fees,
        funding=funding,
        net=_total(trades, "net"),
        notional=_total(trades, "notional"),
        cost_share=(slippage + fees + funding) / before if before > 0.0 else None,
    )


def win_rate(trades: Sequence[TradeClosed], planned: tuple[float, float] | None, taker_fee: float | None) -> WinRate:
    """Return the wins after costs beside p*.

    `planned` is (take profit, stop) as fractions of the entry price; without it they are read off the trades.
    """
    wins = sum(trade.net > 0.0 for trade in trades)
    exits = planned or _mean_exits(trades)
    plan = observed = cost = None
    if exits is not None:
        take_profit, stop = exits
        if taker_fee is not None:
            plan = statistics.break_even(*statistics.trip_outcomes(take_profit, stop, *[taker_fee] * 3))
        if trades:
            costs = [(trade.fees + trade.funding + trade.slippage) / trade.notional for trade in trades]
            cost = float(np.mean(costs))
            observed = statistics.break_even(take_profit - cost, stop + cost)
    rate = wins / len(trades) if trades else None
    needed = None
    if rate is not None and plan is not None and rate != plan and len(trades) >= MIN_TRADES:
        needed = statistics.trades_needed(plan, rate)
    return WinRate(
        wins=wins,
        trades=len(trades),
        rate=rate,
        interval=Interval(*statistics.wilson(wins, len(trades))),
        break_even=plan,
        break_even_observed=observed,
        take_profit_bps=None if exits is None else exits[0] * 1e4,
        stop_loss_bps=None if exits is None else exits[1] * 1e4,
        cost_bps=None if cost is None else cost * 1e4,
        trades_needed=needed,
    )


def _mean_exits(trades: Sequence[TradeClosed]) -> tuple[float, float] | None:
    # a hedge alone has no exits
    aimed = [trade for trade in trades if trade.take_profit_price > 0.0 and trade.stop_loss_price > 0.0]
    if not aimed:
        return None
    gains = [trade.side * (trade.take_profit_price / trade.entry_price - 1.0) for trade in aimed]
    losses = [-trade.side * (trade.stop_loss_price / trade.entry_price - 1.0) for trade in aimed]
    return float(np.mean(gains)), float(np.mean(losses))


def net_bps(trades: Sequence[TradeClosed]) -> Array:
    """Return the net result of each trade in bp of its notional, float64 (n,)."""
    return np.array([trade.net / trade.notional * 1e4 for trade in trades], np.float64)


def expectancy(trades: Sequence[TradeClosed], risks: Mapping[int, float]) -> Expectancy:
    """Return the mean net result with its intervals; `risks` is the approved risk by intent, for R."""
    bps = net_bps(trades)
    known = [trade.net / risks[trade.intent_seq] for trade in trades if risks.get(trade.intent_seq, 0.0) > 0.0]
    r = np.array(known, np.float64)
    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    return Expectancy(
        mean_bps=float(bps.mean()) if len(bps) else None,
        median_bps=float(np.median(bps)) if len(bps) else None,
        by_student=_interval(statistics.t_interval(bps)),
        by_bootstrap=_interval(statistics.bootstrap_interval(bps, rng)) if len(bps) >= MIN_RESAMPLED else None,
        mean_r=float(r.mean()) if len(r) else None,
        r_interval=_interval(statistics.t_interval(r)),
        profit_factor=statistics.profit_factor(np.array([trade.net for trade in trades], np.float64)),
    )


def _interval(found: tuple[float, float] | None) -> Interval | None:
    return None if found is None else Interval(*found)


def risk(
    trades: Sequence[TradeClosed],
    start_equity: float | None,
    instruments: Mapping[int, Instrument],
    max_leverage: float | None,
    first_ts: int,
    last_ts: int,
    held: Sequence[TradeClosed] | None = None,
) -> Risk:
    """Return how deep it went; trades in the order they closed.

    `held` are the same with each leg of a pair by itself, as it has its margin and can be liquidated.
    """
    held = trades if held is None else held
    net = np.array([trade.net for trade in trades], np.float64)
    equity = (start_equity or 0.0) + np.concatenate([[0.0], np.cumsum(net)])
    points = [Point(first_ts or (trades[0].ts_entry if trades else 0), float(equity[0]))]
    points += [Point(trade.ts, float(value)) for trade, value in zip(trades, equity[1:], strict=True)]
    is_solvent = start_equity is not None and bool((equity > 0.0).all())
    margins = [trade.notional / trade.margin for trade in held if trade.margin > 0.0]
    distances = [found for trade in held if (found := _distance(trade, instruments[trade.instrument])) is not None]
    ratio, note = _sharpe(points, first_ts, last_ts) if is_solvent else (None, "no start equity is known")
    return Risk(
        start_equity=start_equity,
        equity=points,
        max_drawdown=float((np.maximum.accumulate(equity) - equity).max()),
        max_drawdown_frac=-statistics.max_drawdown(equity) if is_solvent else None,
        with_open_frac=_with_open(trades, equity) if is_solvent else None,
        worst_trade=float(net.min()) if len(net) else None,
        best_trade=float(net.max()) if len(net) else None,
        worst_day=min(_by_day(trades).values(), default=None),
        top5_share=_top_share(net),
        max_leverage=max_leverage,
        max_margin_leverage=max(margins, default=None),
        liquidation_distance_frac=min(distances, default=None),
        num_liquidated=sum(trade.exit_purpose == "liquidation" for trade in trades),
        sharpe=ratio,
        sharpe_note=note,
    )


# the equity at each trade's worst price, had it been marked there, against the peak before it
def _with_open(trades: Sequence[TradeClosed], equity: Array) -> float:
    peaks = np.maximum.accumulate(equity)
    deepest = -statistics.max_drawdown(equity)
    for k, trade in enumerate(trades):
        marked = equity[k] + trade.max_drawdown_frac * trade.notional - trade.fees
        deepest = max(deepest, 1.0 - float(marked / peaks[k]))
    return deepest


def _distance(trade: TradeClosed, instrument: Instrument) -> float | None:
    if instrument.is_inverse or not instrument.margin_tiers or trade.margin <= 0.0:
        return None
    quantity = trade.notional / trade.entry_price
    price = isolated_price(trade.margin, int(trade.side), quantity, trade.entry_price, instrument.margin_tiers)
    if price <= 0.0:
        return None
    return trade.side * (1.0 - price / trade.entry_price) + trade.max_drawdown_frac


def _by_day(trades: Sequence[TradeClosed]) -> dict[int, float]:
    days: dict[int, float] = {}
    for trade in trades:
        days[trade.ts // NS_PER_DAY] = days.get(trade.ts // NS_PER_DAY, 0.0) + trade.net
    return days


def _top_share(net: Array) -> float | None:
    won = net[net > 0.0]
    if len(won) <= _TOP:
        return None
    return float(np.sort(won)[-_TOP:].sum() / won.sum())


def _sharpe(points: Sequence[Point], first_ts: int, last_ts: int) -> tuple[float | None, str]:
    days = (last_ts - first_ts) / NS_PER_DAY
    if days < MIN_SHARPE_DAYS:
        return (
            None,
            f"not shown: {days:.2f} days are fewer than {MIN_SHARPE_DAYS}, so annualising would invent a number",
        )
    first = first_ts // NS_PER_DAY
    closes = np.full(last_ts // NS_PER_DAY - first + 1, np.nan)
    for point in points:
        closes[min(len(closes) - 1, max(0, point.ts // NS_PER_DAY - first))] = point.equity
    for day in range(1, len(closes)):
        if np.isnan(closes[day]):
            closes[day] = closes[day - 1]
    daily = np.diff(closes, prepend=points[0].equity) / np.concatenate([[points[0].equity], closes[:-1]])
    return statistics.sharpe(daily), f"from {len(daily)} daily returns, annualised by the root of 365"


def holding(trades: Sequence[TradeClosed]) -> Holding:
    """Return how long trades were held and how they ended."""
    held = np.array([(trade.ts_exit - trade.ts_entry) / NS_PER_S for trade in trades], np.float64)
    return Holding(
        min_s=float(held.min()) if len(held) else None,
        median_s=float(np.median(held)) if len(held) else None,
        max_s=float(held.max()) if len(held) else None,
        exits=dict(sorted(Counter(trade.exit_purpose for trade in trades).items())),
    )


def by_symbol(trades: Sequence[TradeClosed], instruments: Mapping[int, Instrument]) -> list[BySymbol]:
    """Return one line an instrument, those without trades too."""
    lines = []
    for number, instrument in sorted(instruments.items()):
        own = [trade for trade in trades if trade.instrument == number]
        total = money(own)
        lines.append(
            BySymbol(
                symbol=instrument.symbol,
                trades=len(own),
                wins=sum(trade.net > 0.0 for trade in own),
                before_slippage=total.before_slippage,
                slippage=total.slippage,
                fees=total.fees,
                funding=total.funding,
                net=total.net,
            )
        )
    return lines


def sensitivities(total: Money, entered: float) -> list[Sensitivity]:
    """Return the net result of the same trades under higher costs; `entered` is the notional of all legs."""
    if not entered:
        return []
    # an exit's notional is that of the entry but for the move
    sides = 2.0 * entered
    return [
        Sensitivity("as it was", total.net),
        Sensitivity("fees x 1.25", total.net - 0.25 * total.fees),
        Sensitivity("fees x 1.5", total.net - 0.5 * total.fees),
        Sensitivity("slippage + 1 bp a side", total.net - sides * 1e-4),
        Sensitivity("slippage + 2 bp a side", total.net - sides * 2e-4),
    ]


def _total(trades: Sequence[TradeClosed], name: str) -> float:
    return float(sum(getattr(trade, name) for trade in trades))
