"""From what a session said and what its data was like to a report; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from spyhop.clock import NS_PER_DAY, iso_ms
from spyhop.ledger.pairs import joined
from spyhop.model.control import Session
from spyhop.model.decisions import Decision, Intent
from spyhop.model.entries import Entry
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Comparison
from spyhop.model.orders import Fill, FundingPaid, Liquidated, OrderChanged, TradeClosed
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved, EpochBegan, Refused
from spyhop.reports import conduct, tails, trades
from spyhop.reports.model import Benchmark, Head, Quality, Report
from spyhop.reports.verdict import judge

T = TypeVar("T", bound=msgspec.Struct)

_MONEY_DIFFERS = 1e-6


def build(session: Session, entries: Sequence[Entry], qualities: Sequence[Quality] = ()) -> Report:
    """Return the report of a session from its entries, in canonical order, and the quality of its tapes.

    Settings that the session's head does not tell (fees, exits, start equity) leave numbers out, never guessed. The two
    legs of a pair are one trade.
    """
    held = _of(entries, TradeClosed)
    closed = sorted(_of(joined(entries), TradeClosed), key=lambda trade: (trade.ts, trade.trade_id))
    approved = _of(entries, Approved)
    instruments = {instrument.id: instrument for instrument in session.instruments}
    first, last = _span(entries, qualities)
    head = head_of(session, first, last)
    taker_fee = setting(session.settings, "venue.taker_fee_frac")
    total = trades.money(closed)
    rate = trades.win_rate(closed, planned_exits(session), taker_fee)
    expected = trades.expectancy(closed, {verdict.intent.seq: verdict.risk for verdict in approved})
    leverages = [verdict.leverage for verdict in approved]
    return Report(
        head=head,
        verdict=judge(head, rate, expected),
        money=total,
        win_rate=rate,
        expectancy=expected,
        risk=trades.risk(
            closed,
            setting(session.settings, "session.equity_usdt"),
            instruments,
            max(leverages, default=None),
            first,
            last,
            held,
        ),
        holding=trades.holding(closed),
        net_bps=trades.net_bps(closed).tolist(),
        decisions=conduct.decisions(_of(entries, Decision), _of(entries, Intent), approved, _of(entries, Refused)),
        orders=conduct.orders(_of(entries, OrderChanged), _of(entries, Fill)),
        by_symbol=trades.by_symbol(closed, instruments),
        quality=list(qualities),
        benchmarks=_benchmarks(qualities, taker_fee),
        sensitivities=trades.sensitivities(total, sum(trade.notional for trade in held)),
        notes=_notes(entries, instruments, closed, qualities),
        tails=tails.tests(session.settings, _of(entries, Comparison), instruments),
    )


def _of(entries: Sequence[Entry], kind: type[T]) -> list[T]:
    return [entry.message for entry in entries if isinstance(entry.message, kind)]


def _span(entries: Sequence[Entry], qualities: Sequence[Quality]) -> tuple[int, int]:
    starts = [quality.first_ts for quality in qualities if quality.num_events]
    ends = [quality.last_ts for quality in qualities if quality.num_events]
    times = [entry.ts for entry in entries]
    return min(starts or times, default=0), max([*ends, *times], default=0)


def head_of(session: Session, first: int, last: int) -> Head:
    """Return which session a report is about, and of when; `first` and `last` are 0 when nothing happened."""
    quotes = sorted({instrument.quote for instrument in session.instruments})
    return Head(
        session=session.id,
        mode=session.mode,
        source=session.source,
        is_simulated=session.is_simulated,
        runner=session.runner,
        version=session.version,
        started=iso_ms(session.started),
        symbols=[instrument.symbol for instrument in session.instruments],
        currency="/".join(quotes),
        first_event=iso_ms(first) if first else "",
        last_event=iso_ms(last) if last else "",
        days=(last - first) / NS_PER_DAY,
    )


def setting(settings: Mapping[str, Any], path: str) -> float | None:
    """Return a number of a session's settings by path, None where the session's head does not tell it."""
    value: Any = settings
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def planned_exits(session: Session) -> tuple[float, float] | None:
    """Return take profit and stop of the ensemble's entries as fractions, None where they are not told."""
    take_profit = setting(session.settings, "decision.exits.take_profit_frac")
    stop = setting(session.settings, "decision.exits.stop_loss_frac")
    return (take_profit, stop) if take_profit is not None and stop is not None else None


def _benchmarks(qualities: Sequence[Quality], taker_fee: float | None) -> list[Benchmark]:
    found = [Benchmark(name="no trade", gross_bps=0.0, cost_bps=0.0, net_bps=0.0)]
    fee = (taker_fee or 0.0) * 1e4
    for quality in qualities:
        if quality.first_price is None or quality.last_price is None:
            continue
        move = (quality.last_price / quality.first_price - 1.0) * 1e4
        cost = fee + fee * quality.last_price / quality.first_price
        found.append(
            Benchmark(name=f"buy and hold {quality.symbol}", gross_bps=move, cost_bps=cost, net_bps=move - cost)
        )
    held = found[1:]
    if len(held) > 1:
        gross, cost = (
            float(np.mean([each.gross_bps for each in held])),
            float(np.mean([each.cost_bps for each in held])),
        )
        found.append(Benchmark(name="buy and hold, equal parts", gross_bps=gross, cost_bps=cost, net_bps=gross - cost))
    return found


def _notes(
    entries: Sequence[Entry],
    instruments: Mapping[int, Instrument],
    closed: Sequence[TradeClosed],
    qualities: Sequence[Quality],
) -> list[str]:
    notes = [*_open_positions(entries, instruments), *_unsettled(entries, closed)]
    epochs = _of(entries, EpochBegan)
    if epochs:
        notes.append(f"The risk supervisor was restarted: {len(epochs)} fencing epochs began during the session.")
    if len({instrument.quote for instrument in instruments.values()}) > 1:
        notes.append("The instruments are quoted in several currencies; sums over them mix these.")
    inferred = [instrument.symbol for instrument in instruments.values() if instrument.is_inferred]
    if inferred:
        notes.append(f"Tick and lot of {', '.join(inferred)} were read off the recording, not told by the venue.")
    if not qualities:
        notes.append("No tape was read, so data quality and buy-and-hold are not known.")
    for quality in qualities:
        if quality.clock_offset_ms is not None and quality.clock_offset_ms < 0.0:
            notes.append(
                f"{quality.symbol}: events were received up to {-quality.clock_offset_ms:,.0f} ms before the venue "
                "says that they happened, so the recording clock ran behind and latencies are known only but for that."
            )
    return notes


def _open_positions(entries: Sequence[Entry], instruments: Mapping[int, Instrument]) -> list[str]:
    lots = dict.fromkeys(instruments, 0)
    for fill in _of(entries, Fill):
        lots[fill.instrument] += fill.side * fill.lots
    for lost in _of(entries, Liquidated):
        # the side of a liquidation is that of the position that was taken
        lots[lost.instrument] -= (1 if lost.side is Side.BUY else -1) * lost.lots
    return [
        f"{instruments[number].symbol}: {held:+d} lots were still open when the journal ends; no number here has them."
        for number, held in lots.items()
        if held
    ]


def _unsettled(entries: Sequence[Entry], closed: Sequence[TradeClosed]) -> list[str]:
    fees = sum(fill.fee for fill in _of(entries, Fill)) - sum(trade.fees for trade in closed)
    funding = sum(paid.amount for paid in _of(entries, FundingPaid)) - sum(trade.funding for trade in closed)
    found = []
    if abs(fees) > _MONEY_DIFFERS:
        found.append(f"Fees of {fees:.4f} belong to no closed trade.")
    if abs(funding) > _MONEY_DIFFERS:
        found.append(f"Funding of {funding:.4f} belongs to no closed trade.")
    return found
