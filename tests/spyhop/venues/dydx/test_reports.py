"""Reports from a subaccount's events: by hand where every step is known, then against the simulated chain."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import UnreadableLine
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderType,
    Purpose,
    Report,
    SubmitOrder,
    TimeInForce,
)
from spyhop.model.tape import Side, Venue
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.answers import Market
from spyhop.venues.dydx.placements import LONG_TERM, SHORT_TERM, Placed, Placements, order_uuid
from spyhop.venues.dydx.private import DydxPrivate
from spyhop.venues.dydx.reports import DydxReports, Reported
from spyhop.venues.dydx.trader import DydxTraderParams, dydx_trader
from spyhop.venues.params import FeedParams
from spyhop.venuesim.dydx import wallets
from spyhop.venuesim.keys import TEST_WALLET

ADDRESS = wallets.TEST_ADDRESS
BTC = Instrument(id=3, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal("0.0001"))
NOW = datetime(2026, 5, 21, 17, 15, tzinfo=UTC)
TS = 1_779_383_700 * NS_PER_S
SESSION = "s20260521_171500_000000"


class Story:
    """What is told to reports about orders that were placed, the first state having been heard."""

    def __init__(self, *, with_state: bool = True) -> None:
        self.placements = Placements(ADDRESS, 0, {BTC.id: Market(BTC, 0)})
        self.reports = DydxReports(self.placements)
        self.height = 100
        if with_state:
            self.tell(wire.SubaccountState(subaccount=wire.Subaccount(ADDRESS)))

    def place(self, sequence: int, *, lots: int = 10, last: int = 110, flags: int = SHORT_TERM) -> str:
        name = f"{SESSION}-{sequence:06d}"
        number = self.placements.learn(name)
        order = SubmitOrder(
            ts=TS, client_order_id=name, instrument=BTC.id, side=Side.BUY, type=OrderType.LIMIT, lots=lots,
            purpose=Purpose.ENTRY, price=60_000,
        )  # fmt: skip
        uuid = order_uuid(ADDRESS, 0, number, 0, flags)
        self.placements.place(Placed(uuid, number, flags, order, last if flags == SHORT_TERM else 0))
        return uuid

    def tell(self, event: Any) -> Reported:
        return self.reports.read(TS, event)

    def update(self, **parts: Any) -> list[Report]:
        return list(self.tell(wire.SubaccountUpdate(**parts)).reports)

    def order(self, uuid: str, status: str, **about: Any) -> wire.Order:
        """As little as the channel says of an order."""
        name = self.placements.name_of_uuid(uuid)
        return wire.Order(uuid, str(self.placements.learn(name)), "0", status=status, **about)

    def fill(self, uuid: str | None, number: int, size: str, **about: Any) -> wire.Fill:
        words = {"liquidity": "TAKER", "type": "LIMIT", "market": "BTC-USD", "fee": "0.3", **about}
        return wire.Fill(f"fill-{number}", "BUY", size=size, price="60001", created_at=NOW, order_id=uuid, **words)

    def block(self, height: int) -> list[Report]:
        time = NOW + timedelta(seconds=height)
        return list(self.tell(wire.Height(time, block_height=str(height))).reports)


def kinds(reports: list[Report]) -> list[type]:
    return [type(report) for report in reports]


def test_a_silent_order_expires_two_blocks_past_its_last() -> None:
    at = Story()
    uuid = at.place(1)
    (accepted,) = at.update(orders=[at.order(uuid, "BEST_EFFORT_OPENED")])
    assert accepted == OrderAccepted(ts=TS, ts_venue=TS, client_order_id=f"{SESSION}-000001", instrument=3)
    assert at.update(orders=[at.order(uuid, "OPEN", total_filled="0.0003")]) == []
    assert at.block(111) == []
    (expired,) = at.block(112)
    assert isinstance(expired, OrderExpired)
    assert expired.lots_left == 7
    assert at.block(113) == []


def test_an_order_of_which_nobody_ever_spoke_expires_too() -> None:
    at = Story()
    at.place(1)
    assert at.block(111) == []
    (expired,) = at.block(112)
    assert isinstance(expired, OrderExpired)
    assert expired.lots_left == 10


def test_a_validators_cancellation_is_no_end_and_a_late_fill_counts() -> None:
    at = Story()
    uuid = at.place(1)
    at.update(orders=[at.order(uuid, "BEST_EFFORT_OPENED")])
    assert at.update(orders=[at.order(uuid, "BEST_EFFORT_CANCELED", removal_reason="USER_CANCELED")]) == []
    (fill,) = at.update(fills=[at.fill(uuid, 1, "0.0004")])
    assert isinstance(fill, Fill)
    assert (fill.lots, fill.price, fill.fee, fill.liquidity) == (4, 60_001, 0.3, Liquidity.TAKER)
    assert fill.client_order_id == f"{SESSION}-000001"
    (cancelled,) = at.block(112)
    assert isinstance(cancelled, OrderCancelled)
    assert cancelled.lots_left == 6


def test_an_order_that_opens_again_is_not_held_for_cancelled() -> None:
    at = Story()
    uuid = at.place(1)
    at.update(orders=[at.order(uuid, "BEST_EFFORT_CANCELED")])
    at.update(orders=[at.order(uuid, "OPEN")])
    assert kinds(at.block(112)) == [OrderExpired]


def test_what_the_chain_never_took_is_rejected_with_its_reason() -> None:
    at = Story()
    uuid = at.place(1)
    assert at.update(orders=[at.order(uuid, "BEST_EFFORT_CANCELED", removal_reason="UNDERCOLLATERALIZED")]) == []
    (rejected,) = at.block(112)
    assert isinstance(rejected, OrderRejected)
    assert rejected.reason == "undercollateralized"
    stateful = at.place(2, flags=LONG_TERM)
    (at_once,) = at.update(orders=[at.order(stateful, "CANCELED", removal_reason="INVALID_REDUCE_ONLY")])
    assert isinstance(at_once, OrderRejected)


def test_fills_are_told_before_the_end_that_the_same_block_brings() -> None:
    at = Story()
    uuid = at.place(1, flags=LONG_TERM)
    told = at.update(
        orders=[
            at.order(uuid, "OPEN"),
            at.order(uuid, "CANCELED", total_filled="0.0004", removal_reason="USER_CANCELED"),
        ],
        fills=[at.fill(uuid, 1, "0.0004")],
    )
    assert kinds(told) == [OrderAccepted, Fill, OrderCancelled]
    assert isinstance(told[-1], OrderCancelled)
    assert told[-1].lots_left == 6


def test_a_filled_order_has_no_other_end() -> None:
    at = Story()
    uuid = at.place(1)
    told = at.update(orders=[at.order(uuid, "FILLED", total_filled="0.001")], fills=[at.fill(uuid, 1, "0.001")])
    assert kinds(told) == [Fill]
    assert at.block(120) == []


def test_what_was_under_way_while_nobody_listened_is_left_to_who_asks() -> None:
    at = Story()
    quiet, heard, missed = at.place(1), at.place(2), at.place(3)
    for uuid in (quiet, heard, missed):
        at.update(orders=[at.order(uuid, "BEST_EFFORT_OPENED")])
    at.update(fills=[at.fill(heard, 1, "0.0004")])
    again = wire.SubaccountState(
        subaccount=wire.Subaccount(ADDRESS),
        orders=[
            at.order(heard, "OPEN", size="0.001", total_filled="0.0004"),
            at.order(missed, "OPEN", size="0.001", total_filled="0.0002"),
        ],
    )
    assert kinds(list(at.tell(again).reports)) == [OrderAccepted, OrderAccepted]
    (only,) = at.block(112)
    assert isinstance(only, OrderExpired)
    assert (only.client_order_id, only.lots_left) == (f"{SESSION}-000002", 6)
    later = at.place(4, last=130)
    at.update(orders=[at.order(later, "BEST_EFFORT_OPENED")])
    assert kinds(at.block(132)) == [OrderExpired]


def test_strangers_are_told_apart() -> None:
    at = Story()
    stranger = wire.Order("foreign-order", "77", "0", size="0.001", status="OPEN")
    told = at.tell(wire.SubaccountUpdate(orders=[stranger], fills=[at.fill("foreign-order", 1, "0.001")]))
    assert told == Reported((), ("foreign-order",))


def test_a_liquidation_takes_the_position_from_its_side() -> None:
    at = Story()
    (taken,) = at.update(fills=[at.fill(None, 1, "0.002", type="LIQUIDATED", fee="1.25")])
    assert taken == Liquidated(
        ts=TS, ts_venue=TS, instrument=3, side=Side.SELL, price=60_001, lots=20, loss=1.25
    )  # the account bought, so it was short


def test_funding_is_what_a_position_has_received_since() -> None:
    at = Story(with_state=False)

    def held(total: str, created: datetime = NOW) -> wire.Position:
        return wire.Position("BTC-USD", "OPEN", "SHORT", "-0.002", net_funding=total, created_at=created)

    state = wire.SubaccountState(subaccount=wire.Subaccount(ADDRESS, open_perpetual_positions={"BTC-USD": held("1.5")}))
    assert at.tell(state).reports == ()  # paid before we listened
    assert at.update(perpetual_positions=[held("1.5")]) == []
    (paid,) = at.update(perpetual_positions=[held("1.25")])
    assert isinstance(paid, FundingPaid)
    assert (paid.amount, paid.lots, paid.instrument) == (0.25, -20, 3)
    (received,) = at.update(perpetual_positions=[held("0.5", NOW + timedelta(hours=1))])
    assert isinstance(received, FundingPaid)
    assert received.amount == -0.5


@pytest.mark.parametrize("part", ["order", "fill", "fee", "funding", "block"])
def test_after_nonsense_nothing_is_sure_about_what_was_under_way(part: str) -> None:
    at = Story()
    uuid = at.place(1)
    at.update(orders=[at.order(uuid, "OPEN")])
    events = {
        "order": wire.SubaccountUpdate(orders=[at.order(uuid, "OPEN", good_til_block="soon")]),
        "fill": wire.SubaccountUpdate(fills=[at.fill(uuid, 1, "much")]),
        "fee": wire.SubaccountUpdate(fills=[at.fill(uuid, 2, "0.0001", fee="free")]),
        "funding": wire.SubaccountUpdate(
            perpetual_positions=[wire.Position("BTC-USD", "OPEN", "LONG", "0.1", net_funding="lots")]
        ),
        "block": wire.Height(NOW, block_height="high"),
    }
    with pytest.raises(UnreadableLine):
        at.tell(events[part])
    assert at.block(112) == []
    later = at.place(2, last=130)
    at.update(orders=[at.order(later, "OPEN")])
    assert kinds(at.block(132)) == [OrderExpired]


def test_messages_that_others_recorded_are_read(recordings: Path) -> None:
    path = recordings / "wire/nautilus_trader/crates/adapters/dydx/test_data/ws_subaccounts_update.json"
    message = wire.message(path.read_bytes())
    assert isinstance(message, wire.ChannelData)
    update = wire.subaccount_update(message.contents)
    at = Story()
    assert at.tell(update).foreign == ("order-001",)
    at.place(1)
    at.placements.note("order-001", f"{SESSION}-000001")
    (fill,) = at.tell(update).reports
    assert isinstance(fill, Fill)
    assert (fill.lots, fill.price, fill.fee, fill.side) == (5_000, 43_000, 10.75, Side.BUY)


@pytest.mark.slow
def test_against_the_chain_every_order_comes_to_the_end_that_it_came_to(simulated: Any) -> None:
    async def go() -> None:
        async with simulated(speed=10.0) as sim:
            btc = next(one for one in sim.floor.exchange.instruments if one.symbol == "BTC-USD")
            params = DydxTraderParams(taker_blocks=8, maker_blocks=30)
            trader = dydx_trader(sim.endpoints.dydx, TEST_WALLET, [btc], sim.clock, params=params)
            await trader.connect()
            reports = DydxReports(trader.placements)

            async def submit(sequence: int, **about: Any) -> None:
                bid, ask = (btc.to_ticks(price) for price in sim.top(btc.id))
                columns = {
                    "ts": sim.clock.now_ns(), "client_order_id": f"{SESSION}-{sequence:06d}", "instrument": btc.id,
                    "side": Side.BUY, "type": OrderType.LIMIT, "lots": 10, "purpose": Purpose.ENTRY,
                    "price": bid - 500, **about,
                }  # fmt: skip
                columns["price"] = ask + 50 if columns["price"] == "through" else columns["price"]
                await trader.submit(SubmitOrder(**columns))

            said: dict[str, list[Report]] = {}

            def ended(sequence: int) -> bool:
                told = said.get(f"{SESSION}-{sequence:06d}", [])
                filled = sum(one.lots for one in told if isinstance(one, Fill))
                return filled == 10 or any(
                    isinstance(one, OrderCancelled | OrderExpired | OrderRejected) for one in told
                )

            listener = DydxPrivate(sim.endpoints.dydx, wallets.TEST_ADDRESS)
            async with sim.listen(listener, FeedParams(silence_seconds=20.0)) as heard:
                await heard.until(lambda event: isinstance(event, wire.Height))
                num_read = 0
                await submit(1, type=OrderType.MARKET, price=0)
                await submit(2, time_in_force=TimeInForce.POST_ONLY)
                await submit(3, time_in_force=TimeInForce.POST_ONLY)
                await submit(4, price="through", time_in_force=TimeInForce.IOC)
                await submit(5, time_in_force=TimeInForce.IOC)
                await submit(6)
                await asyncio.sleep(0.3)
                for sequence in (3, 6):
                    name = f"{SESSION}-{sequence:06d}"
                    await trader.cancel(CancelOrder(ts=sim.clock.now_ns(), client_order_id=name, instrument=btc.id))
                async with asyncio.timeout(15.0):
                    while not all(ended(sequence) for sequence in range(1, 7)):
                        await heard.until(lambda event: True)
                        for told in heard.told[num_read:]:
                            num_read += 1
                            event = told.event
                            if isinstance(event, wire.SubaccountState | wire.SubaccountUpdate | wire.Height):
                                for one in reports.read(told.ts_recv, event).reports:
                                    said.setdefault(getattr(one, "client_order_id", ""), []).append(one)
            last = {name: type(told[-1]) for name, told in said.items() if name}
            assert [last[f"{SESSION}-{n:06d}"] for n in range(1, 7)] == [
                Fill, OrderExpired, OrderCancelled, Fill, OrderCancelled, OrderCancelled,
            ]  # fmt: skip
            fills = [one for told in said.values() for one in told if isinstance(one, Fill)]
            venue = await trader.fills(btc.id, 0)
            assert {(one.fill_id, one.lots, one.price, one.fee, one.client_order_id) for one in fills} == {
                (one.fill_id, one.lots, one.price, one.fee, one.client_order_id) for one in venue
            }
            for sequence in range(1, 7):
                name = f"{SESSION}-{sequence:06d}"
                order = await trader.order(name, btc.id)
                filled = sum(one.lots for one in said[name] if isinstance(one, Fill))
                assert filled == (order.filled if order is not None else 0)
            await trader.close()

    asyncio.run(go())
