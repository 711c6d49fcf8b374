"""Our orders against a tape whose every row is known."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import Events, Flag, Kind, Side, Venue, empty, event, joined
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.views import IncomeKind, MarginMode
from spyhop.venuesim.words import (
    Change,
    Execution,
    Lasting,
    Order,
    OrderKind,
    OrderRequest,
    OrderState,
    RefusalCode,
    Refused,
)

START = 1_760_000_000 * NS_PER_S
D = Decimal

PERP = Instrument(
    id=0,
    venue=Venue.BINANCE_USDM,
    symbol="BTCUSDT",
    tick_size=D("0.1"),
    lot_size=D("0.001"),
    base="BTC",
    min_qty=D("0.001"),
    min_notional=D(5),
    margin_tiers=(
        MarginTier(D(0), D("0.004"), D(125)),
        MarginTier(D(50_000), D("0.005"), D(100), D(50)),
    ),
)
SPOT = Instrument(id=0, venue=Venue.BINANCE_SPOT, symbol="BTCUSDT", tick_size=D("0.1"), lot_size=D("0.001"), base="BTC")


class Tape:
    """Rows by hand: a book of one-tick levels around 600,000, ten lots each, then whatever a test says."""

    def __init__(self, instrument: Instrument = PERP) -> None:
        self.instrument = instrument
        self.ts, self._id, self._trade = START, 100, 0
        self._rows: list[Events] = []
        self._at = 0
        levels = [(Side.BUY, 600_000 - k, 10) for k in range(5)] + [(Side.SELL, 600_001 + k, 10) for k in range(5)]
        self._add(Kind.SNAPSHOT, qty=len(levels), id=100)
        self._levels(levels, Flag.FROM_SNAPSHOT, 100, -1)

    def _add(self, kind: Kind, **columns: int) -> None:
        self._rows.append(event(kind, self.ts, **columns))

    def _levels(self, levels: Sequence[tuple[Side, int, int]], flags: int, first: int, before: int) -> None:
        for place, (side, price, qty) in enumerate(levels):
            last = Flag.LAST if place == len(levels) - 1 else 0
            self._add(
                Kind.LEVEL, side=side, price=price, qty=qty, id=self._id, aux=first, aux2=before, flags=flags | last
            )

    def after(self, seconds: float) -> Tape:
        self.ts += int(seconds * NS_PER_S)
        return self

    def depth(self, *levels: tuple[Side, int, int]) -> Tape:
        before, self._id = self._id, self._id + 1
        self._levels(levels, 0, before + 1, before)
        return self

    def quote(self, bid: int, bid_lots: int, ask: int, ask_lots: int) -> Tape:
        self._add(Kind.QUOTE, price=bid, qty=bid_lots, aux=ask, aux2=ask_lots, id=self._id)
        return self

    def trade(self, side: Side, price: int, lots: int) -> Tape:
        self._trade += 1
        self._add(Kind.TRADE, side=side, price=price, qty=lots, id=self._trade)
        return self

    def mark(self, price: int) -> Tape:
        self._add(Kind.MARK, price=price, aux=price * 10_000_000, aux2=price * 10_000_000, id=START + 3_600 * NS_PER_S)
        return self

    def funding(self, rate_e12: int, stamp: int) -> Tape:
        self._add(Kind.FUNDING, id=stamp, aux=rate_e12, aux2=8 * 3_600 * NS_PER_S, flags=Flag.SETTLED)
        return self

    def read(self, until: int) -> Events:
        found = [row for row in self._rows[self._at :] if row["ts_recv"][0] <= until]
        self._at += len(found)
        return joined(found) if found else empty()


class Heard:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.fills: list[Execution] = []
        self.rows = 0

    def on_market(self, instrument: int, events: Events) -> None:
        self.rows += len(events)
        self.said.append(("market", str(len(events))))

    def on_order(self, order: Order, change: Change, execution: Execution | None) -> None:
        self.said.append(("order", f"{order.request.client_id} {change}"))
        if execution:
            self.fills.append(execution)

    def on_account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None:
        self.said.append(("account", f"{account} {change}"))


class Bench:
    def __init__(self, *tapes: Tape) -> None:
        self.tapes = tapes
        self.exchange = Exchange(tapes, START - 1)
        self.heard = Heard()
        self.exchange.subscribe(self.heard)
        for name in ("a", "b"):
            self.exchange.open_account(name, Venue.BINANCE_USDM, {"USDT": D(100_000)})
        self.exchange.advance(START)

    def order(self, client_id: str, side: Side, lots: int, price: int = 0, account: str = "a", **more: object) -> Order:
        kind = OrderKind.LIMIT if price else OrderKind.MARKET
        fields = {"kind": kind, "price": price, "lots": lots, "side": side, "instrument": 0, **more}
        return self.exchange.submit(OrderRequest(account=account, client_id=client_id, **fields))  # type: ignore[arg-type]

    def run(self, seconds: float = 1.0) -> None:
        self.exchange.advance(self.exchange.now + int(seconds * NS_PER_S))


@pytest.fixture
def tape() -> Tape:
    return Tape()


def refused(bench: Bench, *args: object, **more: object) -> RefusalCode:
    before = bench.exchange.balances("a"), bench.exchange.open_orders("a"), list(bench.heard.said)
    with pytest.raises(Refused) as caught:
        bench.order(*args, **more)  # type: ignore[arg-type]
    assert before == (bench.exchange.balances("a"), bench.exchange.open_orders("a"), bench.heard.said)
    return caught.value.code


def prices(bench: Bench) -> list[tuple[int, int, bool]]:
    return [(fill.price, fill.lots, fill.is_maker) for fill in bench.heard.fills]


# aggressors


def test_a_market_order_walks_the_book(tape: Tape) -> None:
    bench = Bench(tape)
    order = bench.order("1", Side.BUY, 25)
    assert order.state is OrderState.FILLED
    assert prices(bench) == [(600_001, 10, False), (600_002, 10, False), (600_003, 5, False)]
    assert order.tick_lots == 10 * 600_001 + 10 * 600_002 + 5 * 600_003


def test_a_limit_order_takes_what_it_may_and_rests(tape: Tape) -> None:
    bench = Bench(tape)
    order = bench.order("1", Side.BUY, 25, 600_002)
    assert order.state is OrderState.PARTIALLY_FILLED
    assert prices(bench) == [(600_001, 10, False), (600_002, 10, False)]
    assert order.left == 5
    assert bench.exchange.open_orders("a") == [order]


def test_what_was_eaten_stays_eaten_until_the_tape_tells_the_level_anew(tape: Tape) -> None:
    tape.after(1).depth((Side.SELL, 600_002, 7))
    bench = Bench(tape)
    bench.order("1", Side.BUY, 12)
    bench.order("2", Side.BUY, 3)
    assert prices(bench)[-1] == (600_002, 3, False)
    bench.run(1)
    bench.order("3", Side.BUY, 8)
    assert prices(bench)[3:] == [(600_002, 7, False), (600_003, 1, False)]


@pytest.mark.parametrize(
    ("lasting", "lots", "state", "got"),
    [
        (Lasting.IOC, 25, OrderState.EXPIRED, 20),
        (Lasting.IOC, 15, OrderState.FILLED, 15),
        (Lasting.FOK, 20, OrderState.FILLED, 20),
    ],
)
def test_what_does_not_wait(tape: Tape, lasting: Lasting, lots: int, state: OrderState, got: int) -> None:
    bench = Bench(tape)
    order = bench.order("1", Side.BUY, lots, 600_002, lasting=lasting)
    assert (order.state, order.filled) == (state, got)
    assert bench.exchange.open_orders("a") == []


def test_what_cannot_be_done_is_refused_and_changes_nothing(tape: Tape) -> None:
    tape.mark(600_000)
    bench = Bench(tape)
    assert refused(bench, "1", Side.BUY, 21, 600_002, lasting=Lasting.FOK) is RefusalCode.NOT_FILLABLE
    assert refused(bench, "1", Side.BUY, 1, 600_001, lasting=Lasting.POST_ONLY) is RefusalCode.WOULD_TAKE
    assert refused(bench, "1", Side.BUY, 1, 640_000) is RefusalCode.BAD_PRICE
    assert refused(bench, "1", Side.BUY, 0, 600_000) is RefusalCode.BAD_QTY
    assert refused(bench, "1", Side.BUY, 1, 40_000) is RefusalCode.MIN_NOTIONAL
    assert refused(bench, "1", Side.BUY, 40_000, 600_000) is RefusalCode.MARGIN
    assert refused(bench, "1", Side.SELL, 1, 600_010, reduce_only=True) is RefusalCode.REDUCE_ONLY
    stop = {"kind": OrderKind.STOP_MARKET, "trigger": 599_000, "trigger_by": "mark"}
    assert refused(bench, "1", Side.BUY, 1, **stop) is RefusalCode.WOULD_TRIGGER
    bench.order("1", Side.BUY, 1, 599_000)
    assert refused(bench, "1", Side.BUY, 1, 599_000) is RefusalCode.DUPLICATE_ID
    bench.exchange.cancel_all("a")
    bench.order("1", Side.BUY, 1, 599_000)
    for number in range(199):
        bench.order(f"x{number}", Side.BUY, 1, 599_000)
    assert refused(bench, "y", Side.BUY, 1, 599_000) is RefusalCode.TOO_MANY_ORDERS


def test_a_market_order_needs_somebody() -> None:
    bench = Bench(Tape())
    order = bench.order("0", Side.BUY, 51)
    assert (order.state, order.filled) == (OrderState.EXPIRED, 50)
    assert refused(bench, "1", Side.BUY, 1) is RefusalCode.NO_COUNTERPARTY


# resting orders and the tape


def test_trades_eat_the_queue_before_an_order_then_it(tape: Tape) -> None:
    tape.after(1).trade(Side.SELL, 600_000, 8)
    tape.after(1).trade(Side.SELL, 600_000, 4)
    tape.after(1).trade(Side.SELL, 600_000, 9)
    bench = Bench(tape)
    order = bench.order("1", Side.BUY, 5, 600_000)
    bench.run(1)
    assert order.filled == 0
    bench.run(1)
    assert (order.filled, order.state) == (2, OrderState.PARTIALLY_FILLED)
    bench.run(1)
    assert order.state is OrderState.FILLED
    assert prices(bench) == [(600_000, 2, True), (600_000, 3, True)]
    assert [fill.ts for fill in bench.heard.fills] == [START + 2 * NS_PER_S, START + 3 * NS_PER_S]


def test_trades_of_the_other_side_at_the_price_do_not_fill(tape: Tape) -> None:
    tape.after(1).trade(Side.BUY, 600_000, 100)
    bench = Bench(tape)
    order = bench.order("1", Side.BUY, 5, 600_000)
    bench.run(1)
    assert order.filled == 0


def test_a_trade_through_the_price_fills_no_more_than_it_traded(tape: Tape) -> None:
    tape.after(1).trade(Side.SELL, 599_998, 6)
    bench = Bench(tape)
    first = bench.order("1", Side.BUY, 4, 600_000)
    second = bench.order("2", Side.BUY, 4, 599_999)
    bench.run(1)
    assert (first.filled, second.filled) == (4, 2)
    assert prices(bench) == [(600_000, 4, True), (599_999, 2, True)]


def test_our_orders_at_one_price_fill_in_order_of_arrival(tape: Tape) -> None:
    tape.after(1).trade(Side.SELL, 600_000, 13)
    bench = Bench(tape)
    first = bench.order("1", Side.BUY, 2, 600_000, account="a")
    second = bench.order("2", Side.BUY, 2, 600_000, account="b")
    bench.run(1)
    assert (first.filled, second.filled) == (2, 1)


def test_a_quote_that_comes_through_the_price_trades_with_us(tape: Tape) -> None:
    tape.after(1).depth((Side.BUY, 600_000, 0), (Side.BUY, 599_999, 0), (Side.SELL, 599_999, 3))
    tape.after(1).depth((Side.SELL, 599_999, 4))
    bench = Bench(tape)
    order = bench.order("1", Side.BUY, 9, 600_000)
    bench.run(1)
    assert prices(bench) == [(600_000, 3, True)]
    bench.run(1)
    assert order.filled == 7


def test_a_queue_shrinks_with_the_level(tape: Tape) -> None:
    tape.after(1).depth((Side.BUY, 600_000, 4))
    tape.after(1).trade(Side.SELL, 600_000, 5)
    bench = Bench(tape)
    order = bench.order("1", Side.BUY, 5, 600_000)
    bench.run(2)
    assert order.filled == 1


def test_an_amended_order_keeps_its_place_only_when_it_becomes_smaller(tape: Tape) -> None:
    tape.after(1).trade(Side.SELL, 600_000, 10)
    tape.after(1).trade(Side.SELL, 600_000, 1)
    bench = Bench(tape)
    kept = bench.order("1", Side.BUY, 5, 600_000)
    lost = bench.order("2", Side.BUY, 1, 600_000)
    bench.run(1)
    bench.exchange.amend("a", kept.order_id, 3, 600_000)
    bench.exchange.amend("a", lost.order_id, 2, 600_000)
    bench.run(1)
    assert (kept.filled, lost.filled) == (1, 0)
    bench.exchange.amend("a", kept.order_id, 1, 600_000)
    assert kept.state is OrderState.CANCELED


def test_an_amended_price_may_take(tape: Tape) -> None:
    bench = Bench(tape)
    order = bench.order("1", Side.BUY, 5, 599_990)
    bench.exchange.amend("a", order.order_id, 5, 600_001)
    assert order.state is OrderState.FILLED
    assert prices(bench) == [(600_001, 5, False)]


# our orders among themselves


def test_two_accounts_meet_behind_the_queue_that_was_there(tape: Tape) -> None:
    bench = Bench(tape)
    maker = bench.order("m", Side.SELL, 4, 600_002, account="b")
    taker = bench.order("t", Side.BUY, 23, 600_002)
    # ten at the better price, ten that were there before the maker, then the maker
    assert prices(bench) == [
        (600_001, 10, False),
        (600_002, 10, False),
        (600_002, 3, False),
        (600_002, 3, True),
    ]
    assert (maker.filled, taker.state) == (3, OrderState.FILLED)


def test_one_account_never_meets_itself(tape: Tape) -> None:
    bench = Bench(tape)
    maker = bench.order("m", Side.SELL, 4, 600_001)
    taker = bench.order("t", Side.BUY, 12, 600_002)
    assert (maker.state, maker.reason) == (OrderState.EXPIRED, "self trade")
    assert taker.state is OrderState.FILLED
    assert [price for price, _, _ in prices(bench)] == [600_001, 600_002]


# conditional orders


def test_a_stop_fires_at_its_trigger_and_not_before(tape: Tape) -> None:
    tape.after(1).trade(Side.SELL, 599_991, 1)
    tape.after(1).trade(Side.SELL, 599_990, 1)
    bench = Bench(tape)
    bench.order("1", Side.BUY, 5)
    stop = bench.order("s", Side.SELL, 0, kind=OrderKind.STOP_MARKET, trigger=599_990, close_position=True)
    bench.run(1)
    assert stop.state is OrderState.UNTRIGGERED
    bench.run(1)
    assert (stop.state, stop.filled, stop.triggered) == (OrderState.FILLED, 5, START + 2 * NS_PER_S)
    assert bench.exchange.positions("a") == []
    changes = [what for kind, what in bench.heard.said if kind == "order" and what.startswith("s ")]
    assert changes == ["s new", "s triggered", "s trade"]


def test_a_trigger_on_the_mark_ignores_trades(tape: Tape) -> None:
    tape.mark(600_000).after(1).trade(Side.SELL, 599_000, 1)
    tape.after(1).mark(599_000)
    bench = Bench(tape)
    bench.order("1", Side.BUY, 5)
    stop = bench.order("s", Side.SELL, 5, kind=OrderKind.STOP_MARKET, trigger=599_500, trigger_by="mark")
    bench.run(1)
    assert stop.state is OrderState.UNTRIGGERED
    bench.run(1)
    assert stop.state is OrderState.FILLED


def test_a_trailing_stop_follows_the_best_price(tape: Tape) -> None:
    for price in (601_000, 606_000, 603_500, 602_971, 602_970):
        tape.after(1).trade(Side.SELL, price, 1)
    bench = Bench(tape)
    bench.order("1", Side.BUY, 5)
    stop = bench.order("s", Side.SELL, 5, kind=OrderKind.TRAILING_STOP_MARKET, callback_bps=50, reduce_only=True)
    bench.run(4)
    assert stop.state is OrderState.UNTRIGGERED  # fires at 606,000 less half a per cent
    bench.run(1)
    assert stop.state is OrderState.FILLED


def test_a_stop_without_a_position_to_close_expires(tape: Tape) -> None:
    tape.after(1).trade(Side.SELL, 599_000, 1)
    bench = Bench(tape)
    stop = bench.order("s", Side.SELL, 0, kind=OrderKind.STOP_MARKET, trigger=599_500, close_position=True)
    bench.run(1)
    assert stop.state is OrderState.EXPIRED


def test_reduce_only_orders_go_when_there_is_nothing_to_reduce(tape: Tape) -> None:
    bench = Bench(tape)
    bench.order("1", Side.BUY, 5)
    profit = bench.order("2", Side.SELL, 5, 600_100, reduce_only=True)
    bench.order("3", Side.SELL, 5)
    assert profit.state is OrderState.EXPIRED


def test_a_reduce_only_order_never_turns_a_position_over(tape: Tape) -> None:
    bench = Bench(tape)
    bench.order("1", Side.BUY, 5)
    order = bench.order("2", Side.SELL, 9, reduce_only=True)
    assert (order.filled, order.state) == (5, OrderState.EXPIRED)
    assert bench.exchange.position("a", 0).lots == 0


def test_an_order_goes_when_its_time_is_up_and_not_before(tape: Tape) -> None:
    tape.after(2).trade(Side.BUY, 600_001, 1)
    bench = Bench(tape)
    order = bench.order("1", Side.BUY, 1, 599_000, expires=START + NS_PER_S)
    bench.run(0.999)
    assert order.is_open
    bench.run(5)
    assert (order.state, order.updated) == (OrderState.EXPIRED, START + NS_PER_S)


# money


def test_fees_profit_and_positions_are_exact(tape: Tape) -> None:
    bench = Bench(tape)
    bench.order("1", Side.BUY, 10)
    bench.order("2", Side.SELL, 4)
    bench.order("3", Side.BUY, 2, 600_000)
    view = bench.exchange.position("a", 0)
    assert (view.lots, view.entry) == (6, D("60000.1"))
    # 0.010 at 60,000.1, 0.004 back at 60,000.0; the third rests
    fees = (D("0.010") * D("60000.1") + D("0.004") * D("60000.0")) * D("0.0005")
    assert bench.exchange.balances("a")[0].wallet == D(100_000) - D("0.004") * D("0.1") - fees.quantize(D("1e-8"))
    assert sum(i.amount for i in bench.exchange.income("a")) == bench.exchange.balances("a")[0].wallet - 100_000
    assert [fill.fee for fill in bench.exchange.executions("a")] == [D("0.30000050"), D("0.12000000")]


def test_makers_pay_the_makers_fee(tape: Tape) -> None:
    tape.after(1).trade(Side.SELL, 599_999, 50)
    bench = Bench(tape)
    bench.order("1", Side.BUY, 10, 600_000)
    bench.run(1)
    assert bench.heard.fills[0].fee == D("0.010") * D("60000") * D("0.0002")


def test_margin_counts_orders_and_positions(tape: Tape) -> None:
    tape.mark(600_000)
    bench = Bench(tape)
    bench.exchange.set_leverage("a", 0, 10)
    bench.order("1", Side.BUY, 100, 599_000)
    assert bench.exchange.balances("a")[0].available == 100_000 - D("0.1") * D(59_900) / 10
    bench.order("2", Side.SELL, 50, 601_000)
    # only the larger side counts
    assert bench.exchange.position("a", 0).order_margin == D("0.1") * D(59_900) / 10
    bench.exchange.cancel_all("a", 0)
    assert bench.exchange.balances("a")[0].available == 100_000


def test_funding_is_paid_by_longs_when_the_rate_is_positive(tape: Tape) -> None:
    tape.mark(600_000).after(1).funding(100_000_000, START + NS_PER_S)
    bench = Bench(tape)
    bench.order("1", Side.BUY, 10, account="a")
    bench.order("1", Side.SELL, 10, account="b")
    bench.run(1)
    paid = D("0.010") * D(60_000) * D("0.0001")
    assert [i.amount for i in bench.exchange.income("a", kind=IncomeKind.FUNDING_FEE)] == [-paid]
    assert [i.amount for i in bench.exchange.income("b", kind=IncomeKind.FUNDING_FEE)] == [paid]
    assert ("account", "a funding") in bench.heard.said


def test_a_cross_account_is_liquidated_where_it_says(tape: Tape) -> None:
    tape.mark(600_000)
    bench = Bench(tape)
    bench.exchange.transfer("a", "USDT", D(-99_700))
    bench.exchange.set_leverage("a", 0, 20)
    bench.order("1", Side.BUY, 50)
    waiting = bench.order("2", Side.BUY, 1, 590_000)
    limit = bench.exchange.position("a", 0).liquidation
    # wallet 300 less fees against 0.05 BTC
    assert D(54_000) < limit < D(54_500)
    tick = int(limit * 10)
    tape.after(1).mark(tick + 1)
    tape.after(1).mark(tick)
    bench.run(1)
    assert bench.exchange.positions("a")
    bench.run(1)
    assert bench.exchange.positions("a") == []
    assert waiting.state is OrderState.CANCELED
    last = bench.exchange.executions("a")[-1]
    assert (last.is_liquidation, last.price, last.side) == (True, tick, Side.SELL)
    assert bench.exchange.balances("a")[0].wallet >= 0


def test_an_isolated_position_loses_no_more_than_its_margin(tape: Tape) -> None:
    tape.mark(600_000).after(1).mark(500_000)
    bench = Bench(tape)
    bench.exchange.set_margin_mode("a", 0, MarginMode.ISOLATED)
    bench.exchange.set_leverage("a", 0, 20)
    bench.order("1", Side.BUY, 10)
    margin, wallet = bench.exchange.position("a", 0).margin, bench.exchange.balances("a")[0].wallet
    assert margin == D("0.010") * D("60000.1") / 20
    bench.run(1)
    assert bench.exchange.positions("a") == []
    assert bench.exchange.balances("a")[0].wallet == wallet - margin
    assert sum(i.amount for i in bench.exchange.income("a")) == bench.exchange.balances("a")[0].wallet - 100_000


def test_spot_holds_assets_and_locks_what_orders_may_take() -> None:
    tape = Tape(SPOT)
    tape.after(1).trade(Side.SELL, 599_990, 50)
    bench = Bench(tape)
    bench.exchange.open_account("s", Venue.BINANCE_SPOT, {"USDT": D(1_000), "BTC": D(0)})
    order = bench.order("1", Side.BUY, 10, 600_000, account="s")
    usdt = next(one for one in bench.exchange.balances("s") if one.asset == "USDT")
    assert (usdt.locked, usdt.available) == (D(600), D(400))
    with pytest.raises(Refused):
        bench.order("2", Side.BUY, 10, 600_000, account="s")
    with pytest.raises(Refused):
        bench.order("3", Side.SELL, 1, 600_100, account="s")
    bench.run(1)
    assert order.state is OrderState.FILLED
    held = {one.asset: one.wallet for one in bench.exchange.balances("s")}
    assert held == {"USDT": D(400), "BTC": D("0.010") * D("0.999")}


def test_all_of_a_balance_can_be_sold_at_the_market() -> None:
    tape = Tape(SPOT)
    bench = Bench(tape)
    bench.exchange.open_account("s", Venue.BINANCE_SPOT, {"USDT": D(0), "BTC": D("0.005")})
    order = bench.order("1", Side.SELL, 5, account="s")
    assert order.state is OrderState.FILLED
    with pytest.raises(Refused):
        bench.order("2", Side.SELL, 1, account="s")


def test_leverage_has_a_tier(tape: Tape) -> None:
    tape.mark(600_000)
    bench = Bench(tape)
    with pytest.raises(Refused):
        bench.exchange.set_leverage("a", 0, 126)
    bench.exchange.set_leverage("a", 0, 125)
    bench.order("1", Side.BUY, 40)
    with pytest.raises(Refused):
        bench.exchange.set_margin_mode("a", 0, MarginMode.ISOLATED)


# laws


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "cancel", "amend", "trade", "depth", "mark"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(-6, 6),
        st.integers(1, 30),
        st.sampled_from(list(Lasting)),
        st.booleans(),
    ),
    max_size=60,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_whatever_is_done_nothing_is_lost_or_made(steps: list[tuple[Any, ...]]) -> None:
    tape = Tape()
    tape.mark(600_000)
    bench = Bench(tape)
    for number, step in enumerate(steps):
        tape.ts = bench.exchange.now + NS_PER_S
        with contextlib.suppress(Refused):
            do(bench, tape, number, *step)
        bench.run(1)
    for account in ("a", "b"):
        check_orders(bench, account)
        check_money(bench, account)


def do(
    bench: Bench, tape: Tape, number: int, what: str, account: str, side: Side, offset: int, lots: int,
    lasting: Lasting, flag: bool,
) -> None:  # fmt: skip
    exchange, price = bench.exchange, 600_000 + offset
    open_orders = exchange.open_orders(account)
    if what == "trade":
        tape.trade(side, price, lots)
    elif what == "depth":
        tape.depth((side, 600_000 - abs(offset) if side is Side.BUY else 600_001 + abs(offset), lots - 1))
    elif what == "mark":
        tape.mark(price)
    elif what == "submit":
        limit = 0 if flag and lasting is Lasting.GTC else price
        bench.order(str(number), side, lots, limit, account, lasting=lasting, reduce_only=flag and offset > 0)
    elif open_orders and what == "cancel":
        exchange.cancel(account, open_orders[lots % len(open_orders)].order_id)
    elif open_orders:
        exchange.amend(account, open_orders[lots % len(open_orders)].order_id, lots, price)


def check_orders(bench: Bench, account: str) -> None:
    for order in bench.exchange.orders(account):
        fills = [fill for fill in bench.heard.fills if fill.order_id == order.order_id]
        assert sum(fill.lots for fill in fills) == order.filled
        assert sum(fill.price * fill.lots for fill in fills) == order.tick_lots
        assert all(fill.ts >= order.created for fill in fills)
        assert order.is_open == (order in bench.exchange.open_orders(account))
        assert (order.left > 0) == (order.state is not OrderState.FILLED)


def check_money(bench: Bench, account: str) -> None:
    fills = [fill for fill in bench.heard.fills if fill.account == account]
    assert bench.exchange.position(account, 0).lots == sum(fill.side * fill.lots for fill in fills)
    cash = sum((-fill.side * fill.lots * fill.price * D("0.0001") - fill.fee for fill in fills), D(0))
    # what is held is worth its entry; everything else is in the wallet, to the last digit
    entry = bench.exchange._desk.accounts[account].holding(0).cost * D("0.0001")
    wallet = bench.exchange.balances(account)[0].wallet
    assert wallet == 100_000 + cash + entry
    assert sum(i.amount for i in bench.exchange.income(account, limit=10_000)) == wallet - 100_000


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3), st.integers(1, 9)), min_size=2, max_size=12),
       st.lists(st.tuples(st.integers(0, 4), st.integers(1, 25)), max_size=20))  # fmt: skip
def test_a_better_price_fills_first_and_then_the_earlier_order(
    orders: list[tuple[str, int, int]], trades: list[tuple[int, int]]
) -> None:
    tape = Tape()
    for offset, lots in trades:
        tape.after(1).trade(Side.SELL, 600_000 - offset, lots)
    bench = Bench(tape)
    made = [bench.order(str(k), Side.BUY, lots, 600_000 - down, who) for k, (who, down, lots) in enumerate(orders)]
    bench.run(len(trades) + 1)
    for one in made:
        for other in made:
            is_before = (-one.price, one.order_id) < (-other.price, other.order_id)
            if is_before and other.filled > 0 and one.price == other.price:
                assert one.left == 0
    for fill in bench.heard.fills:
        assert fill.price == bench.exchange.order(fill.account, fill.order_id).price


def test_a_limit_is_never_passed(tape: Tape) -> None:
    bench = Bench(tape)
    for side, limits in ((Side.BUY, range(600_001, 600_006)), (Side.SELL, range(600_000, 599_995, -1))):
        for limit in limits:
            bench.order(f"{side}{limit}", side, 3, limit)
    limits = {order.order_id: order.price for order in bench.exchange.orders("a")}
    assert len(bench.heard.fills) >= 10
    assert all((fill.price - limits[fill.order_id]) * fill.side <= 0 for fill in bench.heard.fills)


# telling


def test_the_market_is_told_before_the_fill_that_it_makes(tape: Tape) -> None:
    tape.after(1).trade(Side.SELL, 599_000, 50)
    tape.trade(Side.SELL, 598_999, 1)
    bench = Bench(tape)
    bench.order("1", Side.BUY, 10, 600_000)
    bench.heard.said.clear()
    bench.run(1)
    assert bench.heard.said == [("market", "1"), ("order", "1 trade"), ("account", "a trade"), ("market", "1")]


def test_a_recorded_tape_is_published_as_it_is(tape: Tape) -> None:
    tape.after(1).trade(Side.SELL, 599_000, 50)
    whole = joined(tape._rows)
    published: list[Events] = []
    bench = Bench(tape)
    bench.order("1", Side.BUY, 25)
    bench.order("2", Side.BUY, 25, 600_000)

    class Keeper(Heard):
        def on_market(self, instrument: int, events: Events) -> None:
            published.append(events.copy())

    bench.exchange.subscribe(Keeper())
    bench.run(1)
    assert joined(published).tobytes() == whole[-1:].tobytes()
    assert bench.exchange.book(0, 1)[1:] == ([(600_000, 10)], [(600_001, 10)])


def test_a_listener_that_left_hears_nothing(tape: Tape) -> None:
    tape.after(1).trade(Side.SELL, 599_000, 50)
    bench = Bench(tape)
    bench.exchange.unsubscribe(bench.heard)
    before = bench.heard.rows
    bench.run(1)
    assert bench.heard.rows == before


def test_advancing_in_other_steps_changes_nothing() -> None:
    def run(step_s: float) -> list[Execution]:
        tape = Tape()
        numbers = np.random.default_rng(3)
        for _ in range(300):
            price = 600_000 + int(numbers.integers(-3, 4))
            side = Side.BUY if numbers.random() < 0.5 else Side.SELL
            tape.after(0.1).trade(side, price, int(numbers.integers(1, 9)))
            tape.depth((Side.BUY, 599_997 + int(numbers.integers(0, 3)), int(numbers.integers(1, 20))))
        bench = Bench(tape)
        for place in range(6):
            bench.order(f"b{place}", Side.BUY, 9, 600_000 - place // 2)
            bench.order(f"s{place}", Side.SELL, 9, 600_001 + place // 2, account="b")
        while bench.exchange.now < START + 30 * NS_PER_S:
            bench.run(step_s)
        return bench.heard.fills

    assert run(0.05)
    assert run(0.05) == run(1.0) == run(30.0)


# what is asked


def test_an_order_is_found_by_either_id(tape: Tape) -> None:
    bench = Bench(tape)
    order = bench.order("1", Side.BUY, 1, 599_000)
    assert bench.exchange.order("a", order.order_id) is order
    assert bench.exchange.order("a", client_id="1") is order
    for wanted in ({"order_id": 7}, {"client_id": "2"}):
        with pytest.raises(Refused) as caught:
            bench.exchange.order("a", **wanted)
        assert caught.value.code is RefusalCode.UNKNOWN_ORDER
    with pytest.raises(Refused):
        bench.exchange.order("b", order.order_id)
    bench.exchange.cancel("a", order.order_id)
    with pytest.raises(Refused):
        bench.exchange.cancel("a", order.order_id)
    assert bench.exchange.orders("a") == [order]


def test_history_is_cut_from_either_end(tape: Tape) -> None:
    bench = Bench(tape)
    made = [bench.order(str(k), Side.BUY, 1, 599_000) for k in range(5)]
    assert bench.exchange.orders("a", limit=2) == made[-2:]
    assert bench.exchange.orders("a", from_id=made[1].order_id, limit=2) == made[1:3]
    assert bench.exchange.orders("a", 0, start=START, limit=2) == made[:2]
    assert bench.exchange.orders("b") == []
