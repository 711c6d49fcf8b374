from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from cluster.board import Board
from spyhop.model import rows
from spyhop.model.decisions import Intent
from spyhop.model.entries import Entry, Recorded
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fill, FundingPaid, Liquidated, Liquidity, PairEnded
from spyhop.model.rows import RowFlag
from spyhop.model.tape import Side, Venue
from spyhop.model.verdicts import Refused
from tests.spyhop.trades import trade

BTC = Instrument(id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.10"), lot_size=Decimal("0.001"))
INTENT = Intent(
    seq=0, ts=1, instrument=0, decision_seq=0, side=Side.BUY, strategy="WHALE_PUMP", probability=0.8, confidence=0.7,
    reference=600_000, take_profit=600_900, stop=599_400, max_hold_ns=1,
)  # fmt: skip


def board() -> Board:
    return Board([BTC], is_trading=True, is_simulated=True)


def fill(seq: int, side: Side, price: int, lots: int, fee: float = 1.0) -> Entry:
    message: Recorded = Fill(
        ts=1, ts_venue=1, fill_id=str(seq), client_order_id="a", instrument=0, side=side, price=price, lots=lots,
        liquidity=Liquidity.TAKER, fee=fee, slippage=0.0,
    )  # fmt: skip
    return Entry(1, "order", seq, message)


def row(mid: float, ts: int = 5) -> rows.Rows:
    made = rows.empty(1)
    made["mid"], made["ts"] = mid, ts
    return made


def test_fills_make_a_position_that_is_marked_at_the_mid() -> None:
    seen = board()
    seen.append([fill(0, Side.BUY, 600_000, 10), fill(1, Side.BUY, 600_100, 30)])
    seen.rows(row(60_017.5), np.full((1, 23), 1 / 23))
    view = seen.symbols[0]
    assert (view.holding.lots, view.holding.average) == (40, 600_075.0)
    assert view.unrealized == pytest.approx(10.0 * 0.04)
    assert (seen.account.fees, seen.account.net) == (2.0, -2.0)
    seen.append([fill(2, Side.SELL, 600_200, 50)])
    assert (view.holding.lots, view.holding.average) == (-10, 600_200.0)
    assert view.unrealized == pytest.approx(2.5 * 0.01)


def test_what_came_before_changes_nothing() -> None:
    seen = board()
    entries = [fill(0, Side.BUY, 600_000, 10), fill(1, Side.BUY, 600_000, 10)]
    seen.append(entries)
    seen.append(entries)
    assert seen.symbols[0].holding.lots == 20


def test_refusals_are_counted_by_code_and_the_last_is_kept() -> None:
    seen = board()
    for seq, code in enumerate(("min_interval", "min_interval", "daily_loss")):
        refused = Refused(seq=seq, ts=1, intent=INTENT, code=code, measured=1.0, limit=0.0)
        seen.append([Entry(1, "risk", seq, refused)])
    assert seen.account.refusals == {"min_interval": 2, "daily_loss": 1}
    assert seen.account.last_refusal is not None
    assert seen.account.last_refusal.code == "daily_loss"


def test_funding_and_liquidation_are_seen() -> None:
    seen = board()
    seen.append([fill(0, Side.SELL, 600_000, 10, fee=0.0)])
    paid = FundingPaid(ts=2, ts_venue=2, instrument=0, rate=1e-4, lots=-10, amount=-0.06)
    gone = Liquidated(ts=3, ts_venue=3, instrument=0, side=Side.BUY, price=1, lots=10, loss=5.0)
    seen.append([Entry(2, "order", 1, paid), Entry(3, "order", 2, gone)])
    assert seen.account.net == pytest.approx(0.06)
    assert seen.symbols[0].holding.lots == 0


def test_the_row_that_ends_a_session_does_not_wipe_the_screen() -> None:
    seen, even = board(), np.full((1, 23), 1 / 23)
    seen.rows(row(60_000.0), even)
    end = row(60_001.0, ts=6)
    end["flags"] = RowFlag.END
    seen.rows(end, even)
    assert seen.ts == 5
    assert float(seen.symbols[0].row["mid"]) == 60_000.0


def test_two_legs_count_as_one_trade_and_their_money_twice() -> None:
    seen = board()
    leg = trade(0, 2.0, ts=1, gross=2.0, is_leg=True)
    end = PairEnded(
        ts=2, intent_seq=0, instrument=0, hedge=1, num_legs=2, notional=1.0, gross=4.0, fees=0.0, funding=0.0,
        slippage=0.0, net=4.0,
    )  # fmt: skip
    never = replace(end, intent_seq=4, num_legs=0)
    for seq, message in enumerate((leg, replace(leg, trade_id="b"), end, never)):
        seen.append([Entry(message.ts, "order", seq, message)])
    assert (seen.account.num_trades, seen.account.gross, seen.account.net) == (1, 4.0, 4.0)
