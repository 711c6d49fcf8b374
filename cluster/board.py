"""What a terminal shows, as plain data: folds rows and entries, knows no terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.ledger.positions import Position, filled
from spyhop.model.decisions import Decision
from spyhop.model.entries import Entry
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fill, FundingPaid, Liquidated, PairEnded, TradeClosed
from spyhop.model.rows import RowFlag, Rows
from spyhop.model.verdicts import Approved, Refused


class SymbolView:
    """The newest that is known of one instrument."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.row: np.void | None = None
        self.probabilities: npt.NDArray[Any] | None = None
        self.decision: Decision | None = None
        self.holding = Position()

    @property
    def unrealized(self) -> float:
        """Return the quote currency that closing at the mid would bring, before costs."""
        if self.row is None:
            return 0.0
        return self.holding.unrealized(self.instrument, float(self.row["mid"]) / self.instrument.tick)


class Account(msgspec.Struct):
    """What trading has come to, in quote currency."""

    gross: float = 0.0
    fees: float = 0.0
    funding: float = 0.0
    net: float = 0.0
    num_trades: int = 0
    num_approved: int = 0
    refusals: Counter[str] = msgspec.field(default_factory=Counter)
    last_refusal: Refused | None = None


class Board:
    """Everything on the screen. `is_trading` says whether there is an account to show."""

    def __init__(self, instruments: Sequence[Instrument], *, is_trading: bool, is_simulated: bool) -> None:
        self.symbols = {instrument.id: SymbolView(instrument) for instrument in instruments}
        self.is_trading, self.is_simulated = is_trading, is_simulated
        self.account = Account()
        self.ts = 0
        self._taken: dict[str, int] = {}

    def rows(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        """Take judged rows, with 23 probabilities each; the newest of an instrument stays."""
        for row, chances in zip(rows, probabilities, strict=True):
            view = self.symbols[int(row["instrument"])]
            if int(row["flags"]) & RowFlag.END and view.row is not None:
                # the last word of a session closes every gate; what stays on the screen is what came before
                continue
            view.row, view.probabilities = row.copy(), chances.copy()
            self.ts = max(self.ts, int(row["ts"]))

    def append(self, entries: Sequence[Entry]) -> None:
        """Take what the stages said, each in the order of its numbers; what came before changes nothing."""
        for entry in entries:
            if entry.seq > self._taken.get(entry.stage, -1):
                self._taken[entry.stage] = entry.seq
                self._take(entry.message)

    def _take(self, message: object) -> None:
        account = self.account
        match message:
            case Decision():
                self.symbols[message.instrument].decision = message
            case Approved():
                account.num_approved += 1
            case Refused():
                account.refusals[message.code] += 1
                account.last_refusal = message
            case Fill():
                view = self.symbols[message.instrument]
                view.holding = filled(view.holding, view.instrument, message.side, message.price, message.lots)
                account.fees += message.fee
                account.net -= message.fee
            case FundingPaid():
                account.funding += message.amount
                account.net -= message.amount
            case Liquidated():
                self.symbols[message.instrument].holding = Position()
            case PairEnded():
                account.num_trades += message.num_legs > 0
            case TradeClosed():
                account.num_trades += not message.is_leg
                account.gross += message.gross
                account.net += message.gross
            case _:
                pass
