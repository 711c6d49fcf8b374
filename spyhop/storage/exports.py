"""The risk engine's two files of seed 002, written from the ledger.

    risk_state.json   {"days": {"2025-11-28": {"cards_count": 2, "realized_loss_usdt": 12.5}},
                       "last_trigger_by_symbol": {"BTCUSDT": "2025-11-28T17:15:00.123456+00:00"}}
    pnl.csv           date,pnl_usdt: a line for each trade that closed, in order

A card is an entry that was approved; days are UTC, a trade's that of its exit; a day's realized loss is the sum of its
losing trades. What is paper and what is live are told apart: ask for one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from spyhop.clock import utc
from spyhop.ledger.pairs import joined
from spyhop.model.orders import PairEnded, TradeClosed
from spyhop.model.verdicts import Approved
from spyhop.storage.database import Ledger
from spyhop.storage.files import replace_durably

RISK_STATE_FILE = "risk_state.json"
PNL_FILE = "pnl.csv"
_HEAD = "date,pnl_usdt"


class DayState(msgspec.Struct):
    """What one UTC day has used of its limits."""

    cards_count: int = 0
    realized_loss_usdt: float = 0.0


class RiskStateFile(msgspec.Struct, kw_only=True):
    """The whole of risk_state.json; days are YYYY-MM-DD, triggers ISO times in UTC."""

    days: dict[str, DayState]
    last_trigger_by_symbol: dict[str, str]


def export_risk_files(ledger: Ledger, folder: Path, mode: str = "paper") -> tuple[Path, Path]:
    """Write both files of all sessions of `mode` to `folder` and return their paths; raise StorageFailed."""
    sessions = [name for name in ledger.sessions() if ledger.session(name).mode == mode]
    state, pnl = folder / RISK_STATE_FILE, folder / PNL_FILE
    replace_durably(state, msgspec.json.format(msgspec.json.encode(risk_state(ledger, sessions)), indent=2))
    replace_durably(pnl, "".join(f"{line}\n" for line in pnl_lines(ledger, sessions)).encode())
    return state, pnl


def risk_state(ledger: Ledger, sessions: Sequence[str]) -> RiskStateFile:
    """Return what the approvals and trades of `sessions` make of the seed's state."""
    days: dict[str, DayState] = {}
    newest: dict[str, int] = {}
    for session in sessions:
        symbols = {instrument.id: instrument.symbol for instrument in ledger.session(session).instruments}
        for entry in ledger.entries(session, Approved):
            assert isinstance(entry.message, Approved)
            symbol = symbols[entry.message.intent.instrument]
            days.setdefault(_day(entry.ts), DayState()).cards_count += 1
            newest[symbol] = max(entry.ts, newest.get(symbol, 0))
    for trade in _trades(ledger, sessions):
        if trade.net < 0.0:
            days.setdefault(_day(trade.ts_exit), DayState()).realized_loss_usdt -= trade.net
    return RiskStateFile(
        days=dict(sorted(days.items())),
        last_trigger_by_symbol={symbol: utc(ts).isoformat() for symbol, ts in sorted(newest.items())},
    )


def pnl_lines(ledger: Ledger, sessions: Sequence[str]) -> list[str]:
    """Return the lines of pnl.csv, its head first; money is net of fees and funding, to the last bit."""
    return [_HEAD, *(f"{_day(trade.ts_exit)},{trade.net!r}" for trade in _trades(ledger, sessions))]


def _trades(ledger: Ledger, sessions: Sequence[str]) -> list[TradeClosed]:
    told = [entry.message for one in sessions for entry in joined(ledger.entries(one, TradeClosed, PairEnded))]
    trades = [message for message in told if isinstance(message, TradeClosed)]
    return sorted(trades, key=lambda trade: trade.ts_exit)


def _day(ts: int) -> str:
    return utc(ts).date().isoformat()
