"""A split order is one order to its owner: never more than asked, one end, no orphan, the same however cut."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.errors import SnapshotMismatch
from spyhop.execution.splitting.gateway import SplittingGateway
from spyhop.execution.splitting.params import SplitParams
from spyhop.execution.stage import ExecutionParams, OrderStage
from spyhop.model.decisions import Intent
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Command,
    Difference,
    DifferenceKind,
    Fact,
    Fill,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    OrderSent,
    OrderType,
    OrderUnknown,
    Purpose,
    Report,
    SubmitOrder,
    TimeInForce,
)
from spyhop.model.tape import Events, Kind, Side, Status, Venue, empty, event, joined
from spyhop.model.verdicts import Approved
from spyhop.simulation.feed import GenerativeFeed, usual_instrument
from spyhop.simulation.venue import SimulatedVenue, VenueParams

FOREVER = (1 << 63) - 1
S = NS_PER_S
MS = NS_PER_MS
T0 = 2 * S
KEY = "s20251128_171500_123456-000001"
COIN = Instrument(
    id=0,
    venue=Venue.SIMULATED,
    symbol="COINUSDT",
    tick_size=Decimal("0.5"),
    lot_size=Decimal("0.1"),
    min_qty=Decimal("0.5"),
    min_notional=Decimal(5),
)
PROMPT = VenueParams(
    entry_latency_ms=10.0, entry_jitter_ms=0.0, response_latency_ms=5.0, response_jitter_ms=0.0, default_leverage=1.0
)
TWAP = SplitParams(kind="twap", min_split_notional=0.0, duration_s=60.0, num_slices=6)
KINDS = ("twap", "vwap", "pov", "iceberg", "almgren_chriss")


class ScriptedVenue:
    """An inner gateway that says only what a test has it say, and remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.queue: list[Report] = []

    def send(self, command: Command) -> None:
        self.sent.append(command)

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        ready = [report for report in self.queue if report.ts < until]
        end = min(until, ready[0].ts + 1) if ready else until
        count = start + int(np.searchsorted(events["ts_recv"][start:], end, side="left"))
        heard = [report for report in ready if report.ts == ready[0].ts]
        self.queue = [report for report in self.queue if report not in heard]
        return count, heard

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode([self.queue, self.sent])

    def restore(self, snapshot: bytes) -> None:
        self.queue, self.sent = msgspec.msgpack.decode(snapshot, type=tuple[list[Report], list[Command]])

    def statistics(self) -> dict[str, float]:
        return {"sent": float(len(self.sent))}

    @property
    def orders(self) -> list[SubmitOrder]:
        return [command for command in self.sent if isinstance(command, SubmitOrder)]

    @property
    def cancels(self) -> list[str]:
        return [command.client_order_id for command in self.sent if isinstance(command, CancelOrder)]


class Scene:
    """A splitting gateway over a scripted venue, and everything that its owner heard."""

    def __init__(self, params: SplitParams = TWAP) -> None:
        self.venue = ScriptedVenue()
        self.gateway = SplittingGateway(self.venue, params, [COIN])
        self.heard: list[Report] = []
        self.now = 0
        self.see(trade(1 * S, 1000))

    def see(self, *events: Events, until: int = 0) -> None:
        tape = joined(list(events)) if events else empty()
        until, at = until or int(tape["ts_recv"][-1]) + 1, 0
        while True:
            at, reports = self.gateway.advance(tape, at, until)
            if not reports:
                assert at == len(tape)
                break
            assert len({report.ts for report in reports}) == 1
            assert all(report.ts < until for report in reports)
            self.heard += reports
        self.now = until

    def say(self, *reports: Report) -> None:
        self.venue.queue += reports
        self.see(until=max(report.ts for report in reports) + 1)

    def fill(self, ts: int, n: int, lots: int, price: int = 1000, slippage: float = 0.0) -> Fill:
        return Fill(
            ts=ts,
            ts_venue=ts - MS,
            fill_id=f"f{ts}-{n}",
            client_order_id=f"{KEY}.{n}",
            instrument=0,
            side=Side.BUY,
            price=price,
            lots=lots,
            liquidity=Liquidity.TAKER,
            fee=0.1,
            slippage=slippage,
        )


def trade(ts: int, price: int, qty: int = 1) -> Events:
    return event(Kind.TRADE, ts, side=1, price=price, qty=qty)


def order(lots: int = 600, ts: int = T0, **keywords) -> SubmitOrder:
    values = {"side": Side.BUY, "type": OrderType.MARKET, "purpose": Purpose.ENTRY, **keywords}
    return SubmitOrder(ts=ts, client_order_id=KEY, instrument=0, lots=lots, **values)


def limit(lots: int = 600, ts: int = T0, price: int = 999, **keywords) -> SubmitOrder:
    return order(lots, ts, type=OrderType.LIMIT, price=price, **keywords)


def accepted(ts: int, n: int) -> OrderAccepted:
    return OrderAccepted(ts=ts, ts_venue=ts - MS, client_order_id=f"{KEY}.{n}", instrument=0)


def cancelled(ts: int, n: int, left: int) -> OrderCancelled:
    return OrderCancelled(ts=ts, ts_venue=ts - MS, client_order_id=f"{KEY}.{n}", instrument=0, lots_left=left)


def rejected(ts: int, n: int) -> OrderRejected:
    return OrderRejected(ts=ts, ts_venue=ts - MS, client_order_id=f"{KEY}.{n}", instrument=0, reason="no margin")


def cancel(ts: int, key: str = KEY) -> CancelOrder:
    return CancelOrder(ts=ts, client_order_id=key, instrument=0)


def only(reports: list[Report], kind: type) -> list:
    return [report for report in reports if isinstance(report, kind)]


def names(reports: list[Report]) -> list[str]:
    return [type(report).__name__ for report in reports]


# what is sent


def test_slices_go_at_their_times_and_add_up() -> None:
    scene = Scene()
    scene.gateway.send(order(605))
    scene.see(until=T0 + 200 * S)
    sent = scene.venue.orders
    assert [child.lots for child in sent] == [100, 101, 101, 101, 101, 101]
    assert [child.client_order_id for child in sent] == [f"{KEY}.{n}" for n in range(1, 7)]
    assert sent[0].ts == T0
    for k, child in enumerate(sent):
        assert abs(child.ts - T0 - 10 * k * S) <= 2 * S
    assert len({(child.ts - T0) % (10 * S) for child in sent}) == 6  # moved, each its own way
    assert all(len(child.client_order_id) <= 36 for child in sent)


def test_the_first_child_leaves_with_the_order() -> None:
    scene = Scene()
    scene.gateway.send(order())
    assert [child.lots for child in scene.venue.orders] == [100]


@pytest.mark.parametrize(
    "whole",
    [
        order(purpose=Purpose.STOP_LOSS, reduce_only=True),
        order(purpose=Purpose.MAX_HOLD, reduce_only=True),
        order(purpose=Purpose.SESSION_END, reduce_only=True),
        order(purpose=Purpose.KILL, reduce_only=True),
        order(type=OrderType.STOP_MARKET, trigger=1010),
        order(lots=9),
    ],
)
def test_what_is_not_meant_to_be_split_goes_whole(whole: SubmitOrder) -> None:
    scene = Scene()
    scene.gateway.send(whole)
    assert scene.venue.sent == [whole]


def test_exits_are_split_when_asked_for() -> None:
    scene = Scene(msgspec.structs.replace(TWAP, splits_exits=True))
    scene.gateway.send(order(purpose=Purpose.MAX_HOLD, reduce_only=True))
    assert [child.lots for child in scene.venue.orders] == [100]
    assert scene.venue.orders[0].reduce_only


def test_small_orders_go_whole() -> None:
    scene = Scene(msgspec.structs.replace(TWAP, min_split_notional=30_001.0))
    scene.gateway.send(order(600))  # 600 lots of 0.1 at 500.0
    assert [sent.lots for sent in scene.venue.orders] == [600]
    scene.gateway.send(msgspec.structs.replace(order(601), client_order_id="other-1"))
    assert [sent.lots for sent in scene.venue.orders] == [600, 100]


def test_an_order_of_unknown_price_goes_whole() -> None:
    scene = Scene()
    scene.gateway = SplittingGateway(scene.venue, TWAP, [COIN])
    scene.gateway.send(order())
    assert [sent.lots for sent in scene.venue.orders] == [600]


def test_no_child_is_smaller_than_the_venue_takes() -> None:
    scene = Scene()
    scene.gateway.send(order(14))  # 0.5 of quantity are five lots
    scene.see(until=T0 + 200 * S)
    assert [child.lots for child in scene.venue.orders] == [7, 7]


def test_an_order_sent_twice_is_sent_once() -> None:
    scene = Scene()
    scene.gateway.send(order())
    scene.gateway.send(order())
    assert len(scene.venue.sent) == 1


# what is heard


def test_the_owner_hears_of_one_order() -> None:
    scene = Scene(msgspec.structs.replace(TWAP, num_slices=2))
    scene.gateway.send(order(200))
    scene.say(OrderSent(ts=T0 + 1, client_order_id=f"{KEY}.1", instrument=0), accepted(T0 + 5 * MS, 1))
    scene.say(scene.fill(T0 + 6 * MS, 1, 100))
    scene.see(until=T0 + 40 * S)
    scene.say(accepted(T0 + 41 * S, 2), scene.fill(T0 + 42 * S, 2, 40), scene.fill(T0 + 43 * S, 2, 60))
    assert names(scene.heard) == ["OrderSent", "OrderAccepted", "Fill", "Fill", "Fill"]
    assert {report.client_order_id for report in scene.heard} == {KEY}
    assert len({fill.fill_id for fill in only(scene.heard, Fill)}) == 3
    assert sum(fill.lots for fill in only(scene.heard, Fill)) == 200
    scene.see(until=T0 + 500 * S)
    assert len(scene.venue.orders) == 2
    assert scene.gateway.statistics()["splitting_parents"] == 0.0


def test_what_children_could_not_get_goes_at_the_end() -> None:
    scene = Scene(msgspec.structs.replace(TWAP, num_slices=2))
    scene.gateway.send(order(200))
    scene.say(accepted(T0 + MS, 1), scene.fill(T0 + MS, 1, 70), cancelled(T0 + MS, 1, 30))
    scene.see(until=T0 + 40 * S)
    scene.say(scene.fill(T0 + 40 * S, 2, 100))
    scene.see(until=T0 + 60 * S + 1)
    assert [(child.lots, child.ts) for child in scene.venue.orders[2:]] == [(30, T0 + 60 * S)]
    scene.say(scene.fill(T0 + 61 * S, 3, 20), cancelled(T0 + 61 * S, 3, 10))
    (end,) = only(scene.heard, OrderCancelled)
    assert (end.client_order_id, end.lots_left, end.ts, end.ts_venue) == (KEY, 10, T0 + 61 * S, T0 + 61 * S - MS)
    assert names(scene.heard)[-1] == "OrderCancelled"


def test_a_cancelled_order_leaves_no_orphan() -> None:
    scene = Scene()
    scene.gateway.send(limit())
    scene.see(until=T0 + 15 * S)
    assert len(scene.venue.orders) == 2
    scene.say(scene.fill(T0 + 15 * S, 1, 40))
    scene.gateway.send(cancel(T0 + 16 * S))
    assert scene.venue.cancels == [f"{KEY}.1", f"{KEY}.2"]
    scene.say(cancelled(T0 + 17 * S, 1, 60))
    assert only(scene.heard, OrderCancelled) == []
    scene.say(cancelled(T0 + 18 * S, 2, 100))
    (end,) = only(scene.heard, OrderCancelled)
    assert end.lots_left == 560
    scene.see(until=T0 + 500 * S)
    assert len(scene.venue.orders) == 2


def test_a_fill_on_its_way_crosses_the_cancellation() -> None:
    scene = Scene(msgspec.structs.replace(TWAP, num_slices=2))
    scene.gateway.send(limit(200))
    scene.gateway.send(cancel(T0 + 1 * S))
    scene.say(cancelled(T0 + 2 * S, 1, 70))  # so 30 lots were filled, and nobody said so yet
    assert scene.heard == []
    scene.say(scene.fill(T0 + 3 * S, 1, 30))
    assert names(scene.heard) == ["Fill", "OrderCancelled"]
    assert scene.heard[-1].lots_left == 170


def test_an_order_with_no_child_out_ends_when_it_is_cancelled() -> None:
    scene = Scene(SplitParams(kind="pov", min_split_notional=0.0))
    scene.gateway.send(order())
    scene.gateway.send(cancel(T0))
    scene.see(until=T0)
    assert scene.heard == []
    scene.see(until=T0 + 1)
    assert [(type(end), end.ts, end.lots_left) for end in scene.heard] == [(OrderCancelled, T0, 600)]
    assert scene.venue.sent == []


def test_a_second_cancellation_asks_again() -> None:
    scene = Scene()
    scene.gateway.send(limit())
    scene.gateway.send(cancel(T0 + 1))
    refused = CancelRejected(ts=T0 + 2, ts_venue=T0 + 2, client_order_id=f"{KEY}.1", instrument=0, reason="busy")
    scene.say(refused)
    assert scene.heard == [msgspec.structs.replace(refused, client_order_id=KEY)]
    assert scene.venue.cancels == [f"{KEY}.1"]
    scene.gateway.send(cancel(T0 + 3))
    assert scene.venue.cancels == [f"{KEY}.1", f"{KEY}.1"]


def test_a_rejected_first_child_rejects_the_order() -> None:
    scene = Scene()
    scene.gateway.send(order())
    scene.say(rejected(T0 + MS, 1))
    assert [(end.client_order_id, end.reason) for end in only(scene.heard, OrderRejected)] == [(KEY, "no margin")]
    scene.see(until=T0 + 500 * S)
    assert len(scene.venue.orders) == 1
    assert len(scene.heard) == 1


def test_a_rejected_later_child_gives_the_rest_up() -> None:
    scene = Scene()
    scene.gateway.send(limit())
    scene.say(accepted(T0 + MS, 1), scene.fill(T0 + MS, 1, 60))
    scene.see(until=T0 + 13 * S)
    scene.say(rejected(T0 + 14 * S, 2))
    assert scene.venue.cancels == [f"{KEY}.1"]
    scene.say(cancelled(T0 + 15 * S, 1, 40))
    scene.see(until=T0 + 500 * S)
    assert names(scene.heard) == ["OrderAccepted", "Fill", "OrderCancelled"]
    assert scene.heard[-1].lots_left == 540
    assert len(scene.venue.orders) == 2


def test_nothing_new_is_sent_while_a_child_is_unclear() -> None:
    scene = Scene()
    scene.gateway.send(order())
    scene.say(OrderUnknown(ts=T0 + S, client_order_id=f"{KEY}.1", instrument=0, reason="time-out"))
    scene.see(until=T0 + 35 * S)
    assert len(scene.venue.orders) == 1
    scene.say(scene.fill(T0 + 35 * S, 1, 100))
    scene.see(until=T0 + 35 * S + 2)
    assert [child.lots for child in scene.venue.orders[:2]] == [100, 300]  # the three that were due meanwhile
    assert scene.venue.orders[1].ts == T0 + 35 * S
    assert names(scene.heard) == ["OrderUnknown", "Fill"]


def test_a_late_fill_is_told_and_never_placed_again() -> None:
    scene = Scene(msgspec.structs.replace(TWAP, num_slices=2))
    scene.gateway.send(order(200))
    scene.say(cancelled(T0 + MS, 1, 100))
    scene.say(scene.fill(T0 + S, 1, 25))  # the venue said that nothing was filled, and was wrong
    scene.see(until=T0 + 40 * S)
    scene.say(scene.fill(T0 + 40 * S, 2, 100))
    scene.see(until=T0 + 70 * S)
    assert [child.lots for child in scene.venue.orders] == [100, 100, 75]


def test_a_fill_after_the_end_still_reaches_the_owner() -> None:
    scene = Scene()
    scene.gateway.send(order())
    scene.say(rejected(T0 + MS, 1))
    scene.say(scene.fill(T0 + S, 1, 25), accepted(T0 + S, 1))
    assert names(scene.heard) == ["OrderRejected", "Fill"]
    assert scene.heard[-1].client_order_id == KEY
    assert scene.gateway.statistics()["split_late_reports"] == 2.0


@pytest.mark.parametrize("purpose", [Purpose.ENTRY, Purpose.MAX_HOLD])
def test_a_session_end_stops_everything(purpose: Purpose) -> None:
    scene = Scene(msgspec.structs.replace(TWAP, splits_exits=True))
    scene.gateway.send(order(purpose=purpose))
    scene.say(scene.fill(T0 + S, 1, 100))
    scene.see(event(Kind.STATUS, T0 + 3 * S, aux=Status.SESSION_END))
    scene.see(until=T0 + 100 * S)
    assert len(scene.venue.orders) == 1
    assert [(end.ts, end.lots_left) for end in only(scene.heard, OrderCancelled)] == [(T0 + 3 * S, 500)]


def test_a_liquidation_stops_everything() -> None:
    scene = Scene()
    scene.gateway.send(limit())
    taken = Liquidated(ts=T0 + S, ts_venue=T0, instrument=0, side=Side.BUY, price=900, lots=5, loss=1.0)
    scene.say(taken)
    assert scene.venue.cancels == [f"{KEY}.1"]
    scene.say(cancelled(T0 + 2 * S, 1, 100))
    assert names(scene.heard) == ["Liquidated", "OrderCancelled"]


def test_a_difference_names_the_order() -> None:
    scene = Scene()
    scene.gateway.send(order())
    known = Difference(
        ts=T0 + S, instrument=0, kind=DifferenceKind.MISSING_FILL, ours=0, theirs=1, is_repaired=True, order=f"{KEY}.1"
    )
    scene.say(known, msgspec.structs.replace(known, order="web-77"))
    assert [difference.order for difference in scene.heard] == [KEY, "web-77"]


def test_slippage_is_measured_from_the_first_child() -> None:
    scene = Scene(msgspec.structs.replace(TWAP, num_slices=2))
    scene.gateway.send(order(200))
    unit = 0.5 * 0.1
    scene.say(scene.fill(T0 + S, 1, 100, price=1002, slippage=2 * 100 * unit))  # the mid was 1000
    scene.see(until=T0 + 40 * S)
    scene.say(scene.fill(T0 + 40 * S, 2, 100, price=1012, slippage=2 * 100 * unit))  # the mid was 1010 by then
    assert [fill.slippage for fill in only(scene.heard, Fill)] == pytest.approx([200 * unit, 1200 * unit])


# what follows the market or the fills


def test_pov_never_takes_more_than_its_part() -> None:
    params = SplitParams(kind="pov", min_split_notional=0.0, participation_frac=0.2, interval_s=5.0, duration_s=60.0)
    scene = Scene(params)
    scene.gateway.send(order(600))
    scene.see(trade(T0 + 1 * S, 1000, 80), trade(T0 + 4 * S, 1000, 21), until=T0 + 5 * S + 1)
    assert [child.lots for child in scene.venue.orders] == [25]  # 0.2 * 101 / 0.8
    scene.say(scene.fill(T0 + 6 * S, 1, 25))
    scene.see(until=T0 + 10 * S + 1)
    assert len(scene.venue.orders) == 1
    scene.see(trade(T0 + 11 * S, 1000, 10_000), until=T0 + 15 * S + 1)
    assert [child.lots for child in scene.venue.orders] == [25, 150]  # a quarter of the order at most
    scene.say(scene.fill(T0 + 16 * S, 2, 150))
    scene.see(until=T0 + 61 * S)
    assert [end.lots_left for end in only(scene.heard, OrderCancelled)] == [425]


def test_pov_leaves_its_own_trades_out_where_the_tape_has_them() -> None:
    params = SplitParams(
        kind="pov", min_split_notional=0.0, participation_frac=0.5, interval_s=5.0, counts_own_trades=True
    )
    scene = Scene(params)
    scene.gateway.send(order(600))
    scene.see(trade(T0 + 1 * S, 1000, 100), until=T0 + 5 * S + 1)
    scene.see(trade(T0 + 6 * S, 1000, 100))
    scene.say(scene.fill(T0 + 6 * S + 1, 1, 100))
    scene.see(until=T0 + 20 * S)
    assert [child.lots for child in scene.venue.orders] == [100]  # all that was traded since was ours


def test_an_iceberg_refills_when_its_visible_part_is_filled() -> None:
    scene = Scene(SplitParams(kind="iceberg", min_split_notional=0.0, duration_s=1000.0))
    scene.gateway.send(limit(1000))
    for n in range(1, 40):
        assert len(scene.venue.orders) == n
        child = scene.venue.orders[-1]
        first = child.lots // 2
        scene.say(scene.fill(T0 + n * S, n, first))
        assert len(scene.venue.orders) == n
        scene.say(scene.fill(T0 + n * S + MS, n, child.lots - first))
        scene.see(until=T0 + n * S + 2 * MS)
        if sum(fill.lots for fill in only(scene.heard, Fill)) == 1000:
            break
    shown = [child.lots for child in scene.venue.orders]
    assert sum(shown) == 1000
    assert all(50 <= lots <= 200 for lots in shown[:-2])
    assert len(set(shown[:-2])) > 2
    assert scene.gateway.statistics()["splitting_parents"] == 0.0
    assert only(scene.heard, OrderCancelled) == []


def test_an_iceberg_whose_visible_part_is_taken_back_ends() -> None:
    scene = Scene(SplitParams(kind="iceberg", min_split_notional=0.0))
    scene.gateway.send(limit(1000, time_in_force=TimeInForce.POST_ONLY))
    lots = scene.venue.orders[0].lots
    scene.say(accepted(T0 + S, 1), cancelled(T0 + S, 1, lots))
    assert names(scene.heard) == ["OrderAccepted", "OrderCancelled"]
    assert scene.heard[-1].lots_left == 1000


# off, and whole


def played(
    gateway: SplittingGateway | SimulatedVenue, commands: list[Command], events: Events, cuts: list[int]
) -> tuple[list[Report], bytes]:
    """Return what was heard over the tape, snapshot and restored at every cut, and the bytes at the end."""
    heard: list[Report] = []
    stops = [(command.ts, command) for command in commands] + [(ts, None) for ts in cuts] + [(FOREVER, None)]
    for until, command in sorted(stops, key=lambda stop: (stop[0], stop[1] is None)):
        count = int(np.searchsorted(events["ts_recv"], until, side="left"))
        head, events, at = events[:count], events[count:], 0
        while True:
            at, reports = gateway.advance(head, at, until)
            if not reports:
                break
            assert all(report.ts < until for report in reports)
            heard += reports
        assert at == count
        if command is not None:
            gateway.send(command)
        elif until < FOREVER:
            gateway.restore(gateway.snapshot())
    assert [report.ts for report in heard] == sorted(report.ts for report in heard)
    return heard, gateway.snapshot()


@pytest.fixture(scope="module")
def market() -> tuple[Instrument, Events]:
    instrument = usual_instrument("BTCUSDT")
    feed = GenerativeFeed(instrument, 3, 1_700_000_000 * S, hours=1 / 40)
    batches = []
    while (batch := feed.next_batch()) is not None:
        batches.append(batch)
    return instrument, joined(batches)


def commands_for(instrument: Instrument, events: Events, wait_s: float, kind: OrderType) -> list[Command]:
    start = int(events["ts_recv"][0]) + 5 * S
    seen = events[(events["kind"] == Kind.TRADE) & (events["ts_recv"] < start)]
    price = int(seen["price"][-1]) if kind is OrderType.LIMIT else 0
    big = SubmitOrder(
        ts=start,
        client_order_id="s1-000001",
        instrument=instrument.id,
        side=Side.BUY,
        type=kind,
        lots=2_000,
        purpose=Purpose.ENTRY,
        price=price,
    )
    small = msgspec.structs.replace(big, ts=start + S, client_order_id="s1-000002", lots=3, price=price)
    return [big, small, CancelOrder(ts=start + int(wait_s * S), client_order_id="s1-000001", instrument=instrument.id)]


def check_one_order(heard: list[Report], lots: int = 2_000) -> None:
    mine = [report for report in heard if report.client_order_id == "s1-000001"]
    filled = sum(fill.lots for fill in only(mine, Fill))
    ends = only(mine, OrderCancelled) + only(mine, OrderRejected)
    assert len(only(mine, OrderAccepted)) <= 1
    assert filled <= lots
    assert len(ends) == (filled < lots)
    if ends:
        assert ends == mine[-1:]
        assert ends[0].lots_left == lots - filled
    assert all("." not in report.client_order_id for report in heard)
    assert len({fill.fill_id for fill in only(heard, Fill)}) == len(only(heard, Fill))


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    order_type=st.sampled_from([OrderType.MARKET, OrderType.LIMIT]),
    wait_s=st.floats(0.0, 80.0),
    cuts=st.lists(st.integers(0, 100_000), max_size=12),
)
def test_however_it_is_cut_it_is_the_same(market, kind, order_type, wait_s, cuts) -> None:
    instrument, events = market
    params = SplitParams(kind=kind, min_split_notional=1_000.0, duration_s=30.0, interval_s=1.0)
    commands = commands_for(instrument, events, wait_s, order_type)
    start = int(events["ts_recv"][0])

    def gateway() -> SplittingGateway:
        return SplittingGateway(SimulatedVenue([instrument]), params, [instrument])

    whole = played(gateway(), commands, events, [])
    assert played(gateway(), commands, events, [start + cut * MS for cut in cuts]) == whole
    check_one_order(whole[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_simulated_market_fills_every_kind(market, kind) -> None:
    instrument, events = market
    params = SplitParams(kind=kind, min_split_notional=1_000.0, duration_s=30.0, interval_s=1.0)
    gateway = SplittingGateway(SimulatedVenue([instrument]), params, [instrument])
    heard, _ = played(gateway, commands_for(instrument, events, 80.0, OrderType.MARKET)[:2], events, [])
    check_one_order(heard)
    assert gateway.statistics()["split_children"] > 3.0
    assert sum(fill.lots for fill in only(heard, Fill) if fill.client_order_id == "s1-000001") > 200


@pytest.mark.slow
def test_off_it_is_as_if_it_were_not_there(market) -> None:
    instrument, events = market
    commands = commands_for(instrument, events, 10.0, OrderType.LIMIT)
    bare, wrapped = SimulatedVenue([instrument]), SimulatedVenue([instrument])
    gateway = SplittingGateway(wrapped, SplitParams(), [instrument])
    assert played(gateway, commands, events, [int(events["ts_recv"][900])]) == played(bare, commands, events, [])
    assert gateway.statistics() == bare.statistics()


@pytest.mark.slow
@pytest.mark.parametrize("entry_type", ["market", "limit"])
@pytest.mark.parametrize("kind", KINDS)
def test_trips_through_it_end_flat(market, kind, entry_type) -> None:
    instrument, events = market
    events = joined([events, event(Kind.STATUS, int(events["ts_recv"][-1]) + 1, aux=Status.SESSION_END)])
    params = SplitParams(
        kind=kind,
        min_split_notional=1_000.0,
        duration_s=15.0,
        interval_s=1.0,
        participation_frac=0.5,
        splits_exits=True,
    )
    venue = SimulatedVenue([instrument])
    gateway = SplittingGateway(venue, params, [instrument])
    stage = OrderStage(ExecutionParams(entry_type=entry_type, entry_wait_ms=8_000.0), [instrument], gateway, "s1")
    facts: list[Fact] = []
    start = int(events["ts_recv"][0])
    for k, (side, hold_s) in enumerate([(Side.BUY, 5), (Side.SELL, 10), (Side.BUY, 0)]):
        ts = start + (5 + 25 * k) * S
        count = int(np.searchsorted(events["ts_recv"], ts))
        facts += stage.advance(events[:count], ts)
        traded = events[:count][events[:count]["kind"] == Kind.TRADE]
        price, events = int(traded["price"][-1]), events[count:]
        intent = Intent(
            seq=k,
            ts=ts,
            instrument=instrument.id,
            decision_seq=k,
            side=side,
            strategy="WHALE_PUMP",
            probability=0.8,
            confidence=0.7,
            reference=price,
            take_profit=price + side * 5_000,
            stop=price - side * 5_000,
            max_hold_ns=hold_s * S,
        )
        facts += stage.on_approved(
            Approved(intent=intent, lots=800, seq=k, ts=ts, leverage=2.0, risk=1.0, margin=0.0, epoch=1, expires=ts + S)
        )
    facts += stage.advance(events, FOREVER)
    fills = only(facts, Fill)
    assert len(fills) > 6
    assert sum(fill.side * fill.lots for fill in fills) == 0
    assert venue.position(instrument.id).lots == 0
    numbers = stage.statistics()
    assert numbers["venue_splitting_parents"] == numbers["live_orders"] == numbers["open_trips"] == 0.0
    assert numbers["venue_split_orders"] > 1.0


@pytest.mark.parametrize("bytes_of", [lambda: b"\xc1", lambda: msgspec.msgpack.encode(("splitting 0", {}, b""))])
def test_a_foreign_snapshot_is_refused(bytes_of: Callable[[], bytes]) -> None:
    with pytest.raises(SnapshotMismatch):
        Scene().gateway.restore(bytes_of())


# any venue


class Adversary:
    """A venue that does to children whatever is drawn, as long as it never fills more than they ask for."""

    def __init__(self, scene: Scene, draw: Callable) -> None:
        self.scene, self.draw, self.ts = scene, draw, T0
        self.left: list[int] = []
        self.filled = 0

    def look(self) -> list[int]:
        """Return the numbers of the children that are alive."""
        self.left += [child.lots for child in self.scene.venue.orders[len(self.left) :]]
        return [n for n, left in enumerate(self.left, 1) if left > 0]

    def act(self, n: int, what: str) -> None:
        left, ts = self.left[n - 1], self.ts
        is_new = left == self.scene.venue.orders[n - 1].lots
        if what == "fill":
            got = self.draw(st.integers(1, left))
            self.left[n - 1] -= got
            self.filled += got
            self.scene.say(self.scene.fill(ts, n, got))
        elif what == "cancelled" or (what == "rejected" and not is_new):
            self.left[n - 1] = 0
            self.scene.say(cancelled(ts, n, left))
        elif what == "rejected":
            self.left[n - 1] = 0
            self.scene.say(rejected(ts, n))
        elif what == "unknown" and is_new:
            self.scene.say(OrderUnknown(ts=ts, client_order_id=f"{KEY}.{n}", instrument=0, reason="time-out"))
        else:
            self.scene.say(accepted(ts, n))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(KINDS), is_limit=st.booleans(), lots=st.integers(10, 700))
def test_whatever_the_venue_says_no_more_is_placed_than_asked(data, kind, is_limit, lots) -> None:
    params = SplitParams(
        kind=kind, min_split_notional=0.0, duration_s=20.0, interval_s=2.0, num_slices=4, participation_frac=0.5
    )
    scene = Scene(params)
    scene.gateway.send(limit(lots) if is_limit else order(lots))
    if scene.venue.orders and scene.venue.orders[0].client_order_id == KEY:
        return  # too small to be split
    venue = Adversary(scene, data.draw)
    for _ in range(data.draw(st.integers(1, 30))):
        venue.ts += data.draw(st.integers(1, 3)) * S
        scene.see(trade(venue.ts - 1, 1000, data.draw(st.integers(0, 400))), until=venue.ts)
        if alive := venue.look():
            venue.act(
                data.draw(st.sampled_from(alive)),
                data.draw(st.sampled_from(["fill", "fill", "fill", "cancelled", "rejected", "unknown", "accepted"])),
            )
        if data.draw(st.integers(0, 14)) == 0:
            scene.gateway.send(cancel(venue.ts + 1))
        scene.gateway.restore(scene.gateway.snapshot())
        venue.look()
        assert venue.filled + sum(venue.left) <= lots
    for _ in range(60):  # and then everything comes to an end
        venue.ts += 2 * S
        scene.see(until=venue.ts)
        for n in venue.look():
            venue.act(n, "cancelled")
    filled = sum(fill.lots for fill in only(scene.heard, Fill))
    ends = only(scene.heard, OrderCancelled) + only(scene.heard, OrderRejected)
    assert filled == venue.filled <= lots
    assert len(ends) == (filled < lots)
    assert all(end.lots_left == lots - filled for end in only(ends, OrderCancelled))
    assert filled == 0 or only(ends, OrderRejected) == []
    assert scene.gateway.statistics()["splitting_parents"] == 0.0
    assert all(child.lots >= 5 for child in scene.venue.orders)
