"""A desk at a scripted venue: what becomes of commands under each fault, and after a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import StateError
from spyhop.model.accounts import VenueOrder
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Command,
    Difference,
    Fill,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderType,
    OrderUnknown,
    Purpose,
    Reconciled,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Side, Venue
from spyhop.venues.desk.desk import Desk, DeskParams
from spyhop.venues.desk.reconciling import ReconcileParams
from spyhop.venues.desk.requests import RequestParams
from spyhop.venues.desk.scripted import Fault, ScriptedVenue
from spyhop.venues.live.scripted import VirtualClock

T0 = 1_700_000_000 * NS_PER_S
BTC, ETH = 1, 2
INSTRUMENTS = {
    number: Instrument(
        id=number, venue=Venue.SIMULATED, symbol=symbol, tick_size=Decimal("0.5"), lot_size=Decimal("0.01")
    )
    for number, symbol in ((BTC, "BTC"), (ETH, "ETH"))
}


def submit(clock: VirtualClock, key: str, **changes: object) -> SubmitOrder:
    base: dict[str, object] = {
        "ts": clock.now_ns(),
        "client_order_id": key,
        "instrument": BTC,
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "lots": 4,
        "purpose": Purpose.ENTRY,
    }
    return SubmitOrder(**{**base, **changes})  # type: ignore[arg-type]


def limit(clock: VirtualClock, key: str, **changes: object) -> SubmitOrder:
    return submit(clock, key, **{"type": OrderType.LIMIT, "price": 90, **changes})


def cancel(clock: VirtualClock, key: str, instrument: int = BTC) -> CancelOrder:
    return CancelOrder(ts=clock.now_ns(), client_order_id=key, instrument=instrument)


class Office:
    """A desk, its venue and its clock; `kill` and `open` it as often as wanted."""

    def __init__(self, folder: Path, params: DeskParams | None = None) -> None:
        self.folder, self.params = folder, params
        self.clock = VirtualClock(T0)
        self.venue = ScriptedVenue(self.clock)
        self.commands: list[Command] = []
        self.desk: Desk
        self._task: asyncio.Task[None] | None = None

    async def open(self, *, is_connected: bool = True) -> None:
        stream = self.venue.listen()
        self.desk = Desk(self.venue, stream, self.folder, self.clock, INSTRUMENTS, self.params)
        self._task = asyncio.create_task(self.desk.run())
        if is_connected:
            self.venue.connect()
        await self.clock.run(0.0)

    async def kill(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        assert self._task.cancelled(), self._task.exception()
        self.desk.close()

    async def send(self, *commands: Command, seconds: float = 0.0) -> None:
        number = len(self.commands)
        self.commands += commands
        assert self.desk.take(number, commands) == len(self.commands)
        await self.clock.run(seconds)

    def about(self, key: str) -> list[type]:
        return [type(report) for report in self.reports(key)]

    def reports(self, key: str = "") -> list[Report]:
        return [one for one in self.desk.reports_since(0) if not key or getattr(one, "client_order_id", "") == key]


def play(folder: Path, script: Callable[[Office], Awaitable[None]], params: DeskParams | None = None) -> None:
    async def run() -> None:
        office = Office(folder, params)
        await office.open()
        await script(office)
        await office.kill()

    asyncio.run(run())


def agree(office: Office) -> None:
    """Assert that nothing is left to say: orders, fills and positions are the same on both sides."""
    account, venue = office.desk.account, office.venue
    for key, theirs in venue.orders.items():
        own = account.orders[key]
        assert own.filled == theirs.filled, key
        assert own.status is theirs.status, key
    for key, own in account.orders.items():
        assert key in venue.orders or own.status in {OrderStatus.REJECTED, OrderStatus.CANCELLED}, key
    assert account.fills == {(fill.instrument, fill.fill_id) for fill in venue.trades}
    assert account.lots == {number: venue.lots.get(number, 0) for number in INSTRUMENTS}
    assert len(set(venue.submitted)) == len(venue.submitted)
    times = [report.ts for report in office.reports()]
    assert times == sorted(times)


def test_a_market_order_is_sent_accepted_and_filled(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.send(submit(office.clock, "a"))
        assert office.about("a") == [OrderSent, OrderAccepted, Fill, Fill]
        agree(office)

    play(tmp_path, script)


def test_sent_is_durable_before_the_request_leaves(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        office.commands.append(submit(office.clock, "a"))
        office.desk.take(0, office.commands)
        assert office.venue.submitted == []  # nothing has run since
        log = office.desk._teller._log
        assert isinstance(list(log.reports())[-1], OrderSent)
        assert not log._is_dirty
        await office.clock.run(0.0)

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.LATE, [OrderSent, OrderAccepted, Fill, Fill]),
        (Fault.NEVER, [OrderSent, OrderUnknown, OrderRejected]),
        (Fault.EXECUTED_503, [OrderSent, OrderUnknown, OrderAccepted, Fill, Fill]),
        (Fault.LOST_REPLY, [OrderSent, OrderAccepted, Fill, Fill]),
        (Fault.SLOW, [OrderSent, OrderUnknown, OrderAccepted, Fill, Fill]),
        (Fault.REFUSED, [OrderSent, OrderRejected]),
        (Fault.THROTTLED, [OrderSent, OrderAccepted, Fill, Fill]),
        (Fault.UNAVAILABLE, [OrderSent, OrderAccepted, Fill, Fill]),
    ],
)
@pytest.mark.parametrize("has_stream", [True, False])
def test_each_fault_ends_in_what_the_venue_knows(
    tmp_path: Path, fault: Fault, expected: list[type], has_stream: bool
) -> None:
    expected = list(expected)

    async def script(office: Office) -> None:
        if not has_stream:
            office.venue.lose()
        office.venue.faults.append(fault)
        await office.send(submit(office.clock, "a"), seconds=30.0)
        told = office.about("a")
        if fault is Fault.EXECUTED_503 and has_stream:
            expected.remove(OrderUnknown)  # the stream was faster
        if fault is Fault.LOST_REPLY and not has_stream:
            expected.insert(1, OrderUnknown)
        assert told == expected
        agree(office)

    play(tmp_path, script)


def test_everything_told_twice_counts_once(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        office.venue.repeats = True
        await office.send(submit(office.clock, "a"), limit(office.clock, "b"))
        office.venue.trade("b", 1)
        await office.send(cancel(office.clock, "b"), seconds=5.0)
        assert office.about("b") == [OrderSent, OrderAccepted, Fill, OrderCancelled]
        agree(office)

    play(tmp_path, script)


def test_orders_of_one_instrument_leave_in_order_and_others_do_not_wait(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        office.venue.faults.append(Fault.NEVER)
        await office.send(
            limit(office.clock, "slow"), limit(office.clock, "next"), limit(office.clock, "eth", instrument=ETH)
        )
        await office.send(cancel(office.clock, "eth", ETH), seconds=1.0)
        assert office.venue.submitted == ["eth"]
        assert office.about("eth")[-1] is OrderCancelled
        await office.clock.run(3.0)
        assert office.venue.submitted == ["eth", "next"]

    play(tmp_path, script)


def test_a_cancel_of_an_unknown_order_waits_for_the_answer(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        office.venue.faults.append(Fault.SLOW)
        await office.send(limit(office.clock, "a"), seconds=1.0)
        assert office.about("a") == [OrderSent, OrderUnknown]
        await office.send(cancel(office.clock, "a"), seconds=20.0)
        assert office.about("a") == [OrderSent, OrderUnknown, OrderAccepted, OrderCancelled]
        agree(office)

    play(tmp_path, script)


def test_an_order_taken_back_before_it_left_never_leaves(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        office.venue.faults.append(Fault.THROTTLED)
        await office.send(limit(office.clock, "a"), cancel(office.clock, "a"), seconds=20.0)
        assert office.about("a") == [OrderSent, OrderCancelled]
        assert office.venue.submitted == []
        agree(office)

    play(tmp_path, script)


@pytest.mark.parametrize("fault", [Fault.NEVER, Fault.LATE, Fault.LOST_REPLY, Fault.SLOW, Fault.UNAVAILABLE])
def test_a_cancel_gets_through_whatever_happens_to_it(tmp_path: Path, fault: Fault) -> None:
    async def script(office: Office) -> None:
        await office.send(limit(office.clock, "a"))
        office.venue.faults.append(fault)
        office.venue.lose()
        await office.send(cancel(office.clock, "a"), seconds=30.0)
        assert office.about("a")[-1] is OrderCancelled
        agree(office)

    play(tmp_path, script)


def test_a_refused_cancel_says_so_unless_the_order_had_ended(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.send(limit(office.clock, "a"), limit(office.clock, "b"))
        office.venue.lose()
        office.venue.trade("b", 4)
        office.venue.faults.append(Fault.REFUSED)
        await office.send(cancel(office.clock, "a"), cancel(office.clock, "b"), seconds=8.0)
        assert office.about("a") == [OrderSent, OrderAccepted, CancelRejected]
        assert office.about("b") == [OrderSent, OrderAccepted, Fill]
        agree(office)

    play(tmp_path, script)


def test_an_old_order_opens_nothing_but_may_close(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        old = office.clock.now_ns() - 6 * NS_PER_S
        await office.send(submit(office.clock, "a"))
        closing = submit(office.clock, "c", ts=old, side=Side.SELL, reduce_only=True)
        await office.send(submit(office.clock, "b", ts=old), closing)
        assert office.about("b") == [OrderRejected]
        assert office.about("c")[0] is OrderSent
        office.desk.stop_entries("halted")
        await office.send(submit(office.clock, "d"))
        assert [getattr(one, "reason", "") for one in office.reports("d")] == ["halted"]
        agree(office)

    play(tmp_path, script)


def test_throttling_without_end_gives_the_order_back(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        office.venue.faults.extend([Fault.THROTTLED] * 100)
        await office.send(submit(office.clock, "a", reduce_only=True), seconds=40.0)
        assert office.about("a") == [OrderSent, OrderRejected]
        assert office.venue.submitted == []

    play(tmp_path, script, DeskParams(requests=RequestParams(give_up_s=20.0)))


def test_what_did_not_leave_before_a_kill_never_does_and_what_may_have_is_asked_about(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        office.venue.faults.append(Fault.LOST_REPLY)
        await office.send(limit(office.clock, "may"), limit(office.clock, "not"))
        await office.kill()
        await office.open()
        await office.clock.run(10.0)
        assert office.about("may") == [OrderSent, OrderAccepted]
        rejected = office.reports("not")[-1]
        assert isinstance(rejected, OrderRejected)
        assert rejected.reason == "not sent before the restart"
        assert office.venue.submitted == ["may"]
        agree(office)

    play(tmp_path, script)


def test_fills_and_ends_of_the_time_without_us_are_booked(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.send(limit(office.clock, "a"), limit(office.clock, "b"), limit(office.clock, "c"))
        await office.kill()
        office.venue.trade("a", 4)
        office.venue.trade("b", 1)
        office.venue.expire("b")
        office.venue.trade("c", 3)
        await office.open()
        await office.clock.run(5.0)
        assert office.about("b")[-1] is OrderExpired
        agree(office)
        assert isinstance(office.reports()[-1], Reconciled)
        assert all(one.is_clean for one in office.reports()[-2:] if isinstance(one, Reconciled))

    play(tmp_path, script)


def test_a_lost_stream_is_distrusted_until_the_venue_was_compared(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.send(limit(office.clock, "a"), seconds=5.0)
        office.venue.lose()
        await office.clock.run(0.0)
        last = office.reports()[-1]
        assert isinstance(last, Reconciled)
        assert not last.is_clean
        office.venue.trade("a", 2)
        office.venue.connect()
        await office.clock.run(1.0)
        said = [one for one in office.reports() if isinstance(one, Reconciled) and one.cause == "reconnect"]
        assert [one.is_clean for one in said[-2:]] == [True, True]
        assert [one.note for one in office.reports() if isinstance(one, Difference)] == ["fill t0"]
        agree(office)

    play(tmp_path, script)


def test_what_is_foreign_is_told_and_left_alone(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        stranger = VenueOrder(
            client_order_id="web_1",
            venue_order_id="77",
            instrument=ETH,
            side=Side.BUY,
            status=OrderStatus.OPEN,
            lots=3,
            filled=0,
        )
        office.venue.foreign.append(stranger)
        office.venue.lots[ETH] = 5
        office.desk.reconcile()
        await office.clock.run(5.0)
        kinds = {(one.kind, one.order) for one in office.reports() if isinstance(one, Difference)}
        assert kinds == {("foreign_order", "77"), ("foreign_position", "")}
        verdicts = {one.instrument: one.is_clean for one in office.reports() if isinstance(one, Reconciled)}
        assert verdicts == {BTC: True, ETH: False}
        assert office.venue.foreign == [stranger]
        assert office.desk.account.lots[ETH] == 0

    play(tmp_path, script)


def test_money_that_went_without_a_word_is_told_once(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.send(submit(office.clock, "a"))
        office.venue.money["USDT"] -= 0.04  # its fees
        await office.clock.run(40.0)
        assert not [one for one in office.reports() if isinstance(one, Difference)]
        office.venue.money["USDT"] -= 5.0
        await office.clock.run(100.0)
        (told,) = [one for one in office.reports() if isinstance(one, Difference)]
        assert (told.kind, told.theirs - told.ours) == ("balance", pytest.approx(-5.0))

    play(tmp_path, script, DeskParams(reconcile=ReconcileParams(money_tolerance=0.01)))


def test_an_order_that_stands_though_it_ended_here_is_taken_back(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        office.venue.faults.append(Fault.REFUSED)
        await office.send(limit(office.clock, "a"))
        office.venue._place(limit(office.clock, "a"))  # a refusal that was none
        office.desk.reconcile()
        await office.clock.run(10.0)
        assert office.venue.orders["a"].status is OrderStatus.CANCELLED
        assert [one.is_clean for one in office.reports() if isinstance(one, Reconciled)][-1]

    play(tmp_path, script)


def test_commands_are_known_by_their_numbers(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        first = limit(office.clock, "a")
        await office.send(first)
        assert office.desk.take(0, [first, limit(office.clock, "b")]) == 2
        await office.clock.run(0.0)
        assert office.venue.submitted == ["a", "b"]
        with pytest.raises(StateError):
            office.desk.take(3, [first])
        with pytest.raises(StateError):
            office.desk.take(0, [limit(office.clock, "z")])

    play(tmp_path, script)


def test_reports_are_offered_from_any_number_and_announced(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        calls: list[int] = []
        office.desk.on_report(lambda: calls.append(office.desk.num_reports))
        await office.send(submit(office.clock, "a"), seconds=1.0)
        every = office.desk.reports_since(0)
        assert calls[-1] == len(every) == office.desk.num_reports
        assert office.desk.reports_since(3) == every[3:]
        with pytest.raises(StateError):
            office.desk.reports_since(len(every) + 1)
        office.desk._teller._recent.clear()
        assert office.desk.reports_since(2) == every[2:]

    play(tmp_path, script)


def test_no_report_is_before_what_was_promised(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        now = office.clock.now_ns()
        assert office.desk.promise(0) == now
        assert office.desk.promise(now + 5) == now + 5
        await office.send(submit(office.clock, "a"))
        assert {one.ts for one in office.reports("a")} == {now + 5}

    play(tmp_path, script)


@pytest.mark.parametrize("fault", [Fault.NEVER, Fault.SLOW, Fault.THROTTLED, Fault.LATE, Fault.EXECUTED_503])
def test_idle_is_when_nothing_is_under_way_any_more(tmp_path: Path, fault: Fault) -> None:
    async def script(office: Office) -> None:
        assert office.desk.is_idle
        office.venue.lose()
        office.venue.faults.append(fault)
        await office.send(submit(office.clock, "a"))
        for _ in range(200):
            if office.desk.is_idle:
                break
            await office.clock.run(0.1)
        told = office.desk.num_reports
        agree(office)
        await office.clock.run(20.0)
        assert {type(one) for one in office.desk.reports_since(told)} <= {Reconciled}

    play(tmp_path, script)


def test_the_venues_word_counts_only_when_no_request_can_arrive_any_more(tmp_path: Path) -> None:
    async def run() -> None:
        office = Office(tmp_path)
        office.venue = SlowVenue(office.clock, late_s=40.0)
        await office.open()
        office.venue.faults.append(Fault.SLOW)
        await office.send(limit(office.clock, "a"), seconds=80.0)
        assert office.about("a") == [OrderSent, OrderUnknown, OrderAccepted]
        await office.kill()

    asyncio.run(run())


class SlowVenue(ScriptedVenue):
    """Takes requests that are forty seconds old."""

    validity_s = 40.0


def test_slippage_is_against_what_the_order_was_decided_at(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.send(submit(office.clock, "a", type=OrderType.LIMIT, price=98))
        office.venue.orders["a"] = _priced(office.venue.orders["a"], 100)
        office.venue.trade("a", 4)
        await office.clock.run(0.0)
        (fill,) = [one for one in office.reports("a") if isinstance(one, Fill)]
        # 4 lots of 0.01 at 49.0: one tick of 0.5 worse on each lot, twice
        assert fill.slippage == pytest.approx(4 * 0.01 * 0.5 * 2)

    play(tmp_path, script)


def _priced(order: VenueOrder, price: int) -> VenueOrder:
    values = {name: getattr(order, name) for name in order.__struct_fields__}
    return VenueOrder(**{**values, "price": price})
