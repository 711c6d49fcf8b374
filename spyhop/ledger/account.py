"""One account: cash, equity at marks, the day's loss and losing streaks, all from facts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from spyhop.clock import NS_PER_DAY
from spyhop.errors import StateError
from spyhop.ledger.positions import Position, filled
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fact, Fill, FundingPaid, Liquidated, PairEnded, TradeClosed
from spyhop.model.tape import Side


class AccountState(msgspec.Struct):
    """Everything an account knows; money in quote currency, marks in ticks, `day` in days since 1970 (UTC)."""

    start_equity: float
    positions: dict[int, Position] = {}
    marks: dict[int, int] = {}
    fees: float = 0.0
    funding: float = 0.0
    forfeited: float = 0.0  # what liquidations cost beyond the move of the price
    day: int = -1
    day_equity: float = 0.0  # at the day's first fact or mark
    peak_equity: float = 0.0
    num_trades: int = 0
    num_trades_today: int = 0
    num_losses_in_row: int = 0


class Account:
    """Folds facts into an `AccountState`; all instruments must share one quote currency."""

    def __init__(self, start_equity: float, instruments: Sequence[Instrument]) -> None:
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self.state = AccountState(start_equity, peak_equity=start_equity)

    def on_fact(self, fact: Fact) -> None:
        """Fold one fact; raise StateError for an instrument that is not this account's."""
        self.roll(fact.ts)
        match fact:
            case Fill():
                self._fill(fact.instrument, fact.side, fact.price, fact.lots)
                self.state.fees += fact.fee
            case FundingPaid():
                self.state.funding += fact.amount
            case Liquidated():
                self._liquidate(fact)
            case TradeClosed() if not fact.is_leg:
                self._count(fact)
            case PairEnded() if fact.num_legs:
                self._count(fact)  # one leg always loses: it is both that won or lost
        self._peak()

    def on_mark(self, ts: int, instrument: int, ticks: int) -> None:
        """Value what is held of `instrument` at `ticks` from `ts` on."""
        self._instrument(instrument)
        self.roll(ts)
        self.state.marks[instrument] = ticks
        self._peak()

    def roll(self, ts: int) -> None:
        """Begin the UTC day of `ts` if it is a later one: its loss is measured from the equity as it stands."""
        day = ts // NS_PER_DAY
        if day > self.state.day:
            self.state.day = day
            self.state.day_equity = self.equity
            self.state.num_trades_today = 0

    def position(self, instrument: int) -> Position:
        """Return what is held of `instrument`."""
        return self.state.positions.get(instrument, Position())

    @property
    def realized(self) -> float:
        """Return realized profit before fees and funding."""
        return sum(position.realized(self._instruments[i]) for i, position in sorted(self.state.positions.items()))

    @property
    def unrealized(self) -> float:
        """Return the profit of closing everything at its mark, fees not counted."""
        return sum(
            position.unrealized(self._instruments[i], self.state.marks[i])
            for i, position in sorted(self.state.positions.items())
        )

    @property
    def cash(self) -> float:
        """Return the start equity with everything that was realized, charged and paid."""
        state = self.state
        return state.start_equity + self.realized - state.fees - state.funding - state.forfeited

    @property
    def equity(self) -> float:
        """Return cash plus unrealized profit at the marks."""
        state = self.state
        held = sum(
            position.value(self._instruments[i], state.marks[i]) for i, position in sorted(state.positions.items())
        )
        return state.start_equity + held - state.fees - state.funding - state.forfeited

    @property
    def daily_loss(self) -> float:
        """Return what was lost since the UTC day began, 0 when it was gained."""
        return max(0.0, self.state.day_equity - self.equity) if self.state.day >= 0 else 0.0

    @property
    def drawdown(self) -> float:
        """Return how far equity stands below its highest."""
        return self.state.peak_equity - self.equity

    def _instrument(self, number: int) -> Instrument:
        if number not in self._instruments:
            raise StateError(f"instrument {number} is not one of this account")
        return self._instruments[number]

    def _fill(self, number: int, side: Side, price: int, lots: int) -> None:
        instrument = self._instrument(number)
        self.state.positions[number] = filled(self.position(number), instrument, side, price, lots)
        self.state.marks[number] = price

    # the margin goes with the position: what was lost beyond the move of the price is forfeited
    def _liquidate(self, fact: Liquidated) -> None:
        held = self.position(fact.instrument)
        lots = min(fact.lots, abs(held.lots))
        if lots == 0:
            return
        before = held.realized(self._instrument(fact.instrument))
        self._fill(fact.instrument, held.side.opposite, fact.price, lots)
        moved = self.position(fact.instrument).realized(self._instrument(fact.instrument)) - before
        self.state.forfeited += moved + fact.loss

    def _count(self, trade: TradeClosed | PairEnded) -> None:
        self.state.num_trades += 1
        self.state.num_trades_today += 1
        self.state.num_losses_in_row = self.state.num_losses_in_row + 1 if trade.net < 0.0 else 0

    def _peak(self) -> None:
        self.state.peak_equity = max(self.state.peak_equity, self.equity)
