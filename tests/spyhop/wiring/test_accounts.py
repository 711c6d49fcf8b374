"""Accounts at venues: keys, routes, leverage, and the desk of a live session at the venue simulator."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from spyhop.clock import WallClock
from spyhop.config.secrets import Secret, Secrets
from spyhop.config.settings import SessionConfig, Settings
from spyhop.errors import NotAvailable, StateError, Throttled, UserError, VenueUnavailable
from spyhop.model.accounts import VenueBalance, VenueOrder
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    Fill,
    OrderAccepted,
    OrderRejected,
    OrderSent,
    OrderType,
    Purpose,
    Reconciled,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Side, Venue
from spyhop.simulation.feed import usual_instrument
from spyhop.storage.lease import Lease
from spyhop.venues.ccxt.spot import SpotTrader
from spyhop.venues.ccxt.usdm import UsdmTrader
from spyhop.venues.desk.desk import DeskParams
from spyhop.venues.desk.ports import Expiring
from spyhop.venues.dydx import limits as dydx_limits
from spyhop.venues.dydx.trader import DydxTrader
from spyhop.venues.endpoints import LIVE, BinanceEndpoints, Endpoints
from spyhop.venuesim.keys import TEST_KEY, TEST_WALLET
from spyhop.wiring import accounts
from spyhop.wiring.accounts import (
    Keys,
    LiveDesk,
    WithLeverage,
    account_of,
    desk_folder,
    desk_params,
    equity_of,
    kinds_of,
    routes,
    trader_of,
)
from spyhop.wiring.fencing import Fence
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.plan import LiveSource, RunRequest, SessionPlan, plan_session
from spyhop.wiring.trading import market_of
from spyhop.wiring.venues import binance_budget, budget_path

USUAL = usual_instrument("BTCUSDT")
REAL = Secrets(
    {
        "BINANCE_API_KEY": (Secret("real-key"), "environment"),
        "BINANCE_API_SECRET": (Secret("real-secret"), "environment"),
        "DYDX_PRIVATE_KEY": (Secret("real-wallet"), "environment"),
    }
)
Got = TypeVar("Got", bound=Report)


def at(venue: Venue, number: int = 0) -> Instrument:
    return msgspec.structs.replace(USUAL, venue=venue, id=number)


# ── routes and keys


def test_each_instrument_is_routed_to_the_account_of_its_venue() -> None:
    traded = [at(venue, number) for number, venue in enumerate((Venue.DYDX, Venue.BINANCE_USDM, Venue.BINANCE_SPOT))]
    assert routes(traded) == {0: "dydx:main", 1: "binance-usdm:main", 2: "binance-spot:main"}


def test_a_venue_that_nothing_is_sent_to_is_said_before_a_session_begins() -> None:
    with pytest.raises(NotAvailable, match="binance-coinm is not traded live"):
        routes([at(Venue.BINANCE_USDM), at(Venue.BINANCE_COINM, 1)])


def test_a_simulator_never_gets_real_keys() -> None:
    keys = Keys(REAL, is_simulated=True)
    key, secret = keys.binance()
    assert (key.reveal(), secret.reveal()) == (TEST_KEY.key, TEST_KEY.secret)
    assert keys.dydx().reveal() == TEST_WALLET


def test_keys_of_this_process_are_chosen_by_where_they_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("BINANCE_API_KEY", "real-key"), ("BINANCE_API_SECRET", "real-secret")):
        monkeypatch.setenv(name, value)
    assert Keys.here(LIVE).binance()[0].reveal() == "real-key"
    assert Keys.here(msgspec.structs.replace(LIVE, is_simulated=True)).binance()[0].reveal() == TEST_KEY.key


def test_a_trader_stays_away_while_the_venue_has_shut_this_machine_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the budgets of this machine are
    nowhere = BinanceEndpoints("http://127.0.0.1:1", "ws://127.0.0.1:1", "ws://127.0.0.1:1")
    closed = msgspec.structs.replace(LIVE, binance_usdm=nowhere, binance_spot=nowhere, is_simulated=True)

    async def scene(venue: Venue) -> None:
        clock = closed.clock.clock()
        # as another process of ours was told, or this one in its former life
        await binance_budget(clock, closed, venue).note({}, 429, 30.0)
        trader = trader_of(venue, closed, [at(venue)], Keys(REAL, is_simulated=True), clock)
        try:
            with pytest.raises(Throttled):
                await trader.open_orders()
        finally:
            await trader.close()

    for venue in (Venue.BINANCE_USDM, Venue.BINANCE_SPOT):
        asyncio.run(scene(venue))


def test_a_dydx_trader_stays_away_while_the_indexer_has_shut_this_machine_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    nowhere = msgspec.structs.replace(LIVE.dydx, indexer="http://127.0.0.1:1")
    closed = msgspec.structs.replace(LIVE, dydx=nowhere, is_simulated=True)

    async def scene() -> None:
        clock = closed.clock.clock()
        await dydx_limits.budget(clock, budget_path(closed, nowhere.indexer)).note({}, 429, 30.0)
        trader = trader_of(Venue.DYDX, closed, [at(Venue.DYDX)], Keys(REAL, is_simulated=True), clock)
        assert isinstance(trader, DydxTrader)
        try:
            with pytest.raises(Throttled):
                await trader._rest.height()
        finally:
            await trader.close()

    asyncio.run(scene())


def test_real_keys_come_from_the_secrets_under_either_name() -> None:
    key, secret = Keys(REAL, is_simulated=False).binance()
    assert (key.reveal(), secret.reveal()) == ("real-key", "real-secret")
    assert Keys(REAL, is_simulated=False).dydx().reveal() == "real-wallet"
    older = Secrets({name: (Secret(name), "environment") for name in ("BINANCE_API_KEY", "BINANCE_SECRET_KEY")})
    assert Keys(older, is_simulated=False).binance()[1].reveal() == "BINANCE_SECRET_KEY"
    nothing = Keys(Secrets({}), is_simulated=False)
    for ask in (nothing.binance, nothing.dydx):
        with pytest.raises(UserError, match="is needed"):
            ask()


# ── traders


class Remembering:
    """A trader that notes what it is asked."""

    name, validity_s = "somebody", 7.0

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    async def set_leverage(self, instrument: int, leverage: float) -> None:
        self.asked.append(("leverage", instrument, leverage))

    async def submit(self, order: SubmitOrder) -> VenueOrder | None:
        self.asked.append(("submit", order.client_order_id))
        return None


def sized(leverage: float, *, instrument: int = 0, reduce_only: bool = False) -> SubmitOrder:
    return SubmitOrder(
        ts=1,
        client_order_id="o",
        instrument=instrument,
        side=Side.BUY,
        type=OrderType.MARKET,
        lots=1,
        purpose=Purpose.ENTRY,
        leverage=leverage,
        reduce_only=reduce_only,
    )


def test_leverage_is_set_before_the_entry_that_was_sized_for_it_rounded_down_and_once() -> None:
    inner = Remembering()
    trader: Any = WithLeverage(inner)

    async def story() -> None:
        for order in (
            sized(2.9),
            sized(2.1),
            sized(4.0),
            sized(9.0, reduce_only=True),
            sized(0.0),
            sized(0.7),
            sized(4.0, instrument=1),
        ):
            await trader.submit(order)

    asyncio.run(story())
    submit = ("submit", "o")
    assert inner.asked == [
        *(("leverage", 0, 2.0), submit, submit, ("leverage", 0, 4.0), submit, submit, submit, submit),
        *(("leverage", 1, 4.0), submit),
    ]
    assert trader.name == "somebody"
    assert isinstance(trader, Expiring)
    assert "validity_s" in vars(WithLeverage)  # what a class has, and not what it passes on, is seen by all Pythons
    assert trader.validity_s == 7.0


def test_an_order_does_not_leave_when_its_leverage_could_not_be_set() -> None:
    class Refusing(Remembering):
        async def set_leverage(self, instrument: int, leverage: float) -> None:
            raise StateError("no")

    inner = Refusing()
    trader = WithLeverage(inner)
    for _ in range(2):
        with pytest.raises(StateError):
            asyncio.run(trader.submit(sized(3.0)))
    assert inner.asked == []


def test_what_a_spot_account_holds_is_not_compared() -> None:
    params = DeskParams()
    assert desk_params(params, Venue.BINANCE_USDM) is desk_params(params, Venue.DYDX) is params
    spot = desk_params(params, Venue.BINANCE_SPOT)
    assert not spot.reconcile.has_positions
    assert spot.reconcile.every_s == params.reconcile.every_s


@pytest.mark.parametrize(
    ("venue", "kind"),
    [(Venue.BINANCE_USDM, UsdmTrader), (Venue.BINANCE_SPOT, SpotTrader), (Venue.DYDX, DydxTrader)],
)
def test_each_venue_has_its_trader_with_the_kinds_of_orders_that_are_not_emulated(venue: Venue, kind: type) -> None:
    async def story() -> None:
        trader = trader_of(venue, LIVE, [at(venue)], Keys(REAL, is_simulated=True), LIVE.clock.clock())
        try:
            assert isinstance(trader, kind)
            assert trader.name == account_of(at(venue))
            assert trader.kinds == kinds_of(venue) >= {OrderType.MARKET, OrderType.LIMIT}
        finally:
            await trader.close()

    asyncio.run(story())


# ── the desk of a live session at the simulator


@pytest.fixture
def planned(venues: Endpoints, tmp_path: Path) -> Callable[[str], SessionPlan]:
    def plan(symbol: str) -> SessionPlan:
        session = SessionConfig(symbols=(symbol,), runs=str(tmp_path))
        return plan_session(Settings(session=session), RunRequest(mode="live", endpoints=venues), venues.clock.clock())

    return plan


class Working:
    """A desk at work, whose reports can be waited for."""

    def __init__(self, desk: LiveDesk, work: asyncio.Task[None]) -> None:
        self.desk, self._work, self._num_sent = desk, work, 0

    async def heard(self, kind: type[Got], order: str = "") -> Got:
        """Return the first report of a kind (about an order)."""
        for _ in range(1_500):
            for report in self.desk.reports_since(0):
                is_wanted = isinstance(report, kind) and order in ("", getattr(report, "client_order_id", ""))
                if is_wanted and getattr(report, "is_clean", True):
                    return report
            if self._work.done():
                self._work.result()
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {kind.__name__} among {self.desk.reports_since(0)}")

    async def take(self, *orders: SubmitOrder) -> None:
        """Hand orders over, numbered as the order stage numbers them."""
        self._num_sent = self.desk.take(self._num_sent, orders)


@contextlib.asynccontextmanager
async def working(plan: SessionPlan, first: int = 0) -> AsyncIterator[Working]:
    (one,) = plan.session.instruments
    keys = Keys(REAL, is_simulated=True)
    desk = LiveDesk(plan, account_of(one), keys, KillSwitch(plan.folder.parent))
    work = asyncio.create_task(desk.run())
    try:
        yield Working(desk, work)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await desk.close()


def market(plan: SessionPlan, number: int, side: Side, lots: int, **about: Any) -> SubmitOrder:
    assert isinstance(plan.source, LiveSource)
    return SubmitOrder(
        ts=plan.source.endpoints.clock.clock().now_ns(),
        client_order_id=f"{plan.session.id}-{number:06d}",
        instrument=0,
        side=side,
        type=OrderType.MARKET,
        lots=lots,
        purpose=Purpose.ENTRY if side is Side.BUY else Purpose.KILL,
        **about,
    )


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["BTCUSDT", "binance-spot:BTCUSDT", "BTC-USD"])
def test_a_desk_of_each_venue_trades_at_the_simulator_and_tells_slippage_against_the_reference(
    venues: Endpoints, planned: Callable[[str], SessionPlan], symbol: str
) -> None:
    plan = planned(symbol)
    (one,) = plan.session.instruments

    async def story() -> None:
        mid = round((await market_of(venues, one, venues.clock.clock())).mid)
        lots = max(1, round(300.0 / one.notional(mid, 1)))
        async with working(plan) as at_work:
            assert (await at_work.heard(Reconciled)).cause == "start"
            # two orders in one breath, the second decided at no price: each keeps its own reference
            reference = mid - 1_000
            entry = market(plan, 1, Side.BUY, lots, reference=reference, leverage=3.0)
            ending = market(plan, 2, Side.SELL, lots, reduce_only=one.venue is not Venue.BINANCE_SPOT)
            await at_work.take(entry)
            fill = await at_work.heard(Fill, entry.client_order_id)
            size = one.notional(reference, fill.lots)
            assert fill.slippage == pytest.approx(size * (fill.price / reference - 1.0))
            assert (fill.slippage > 0.0) == (fill.price > reference)
            assert 0.0 <= fill.fee < one.notional(fill.price, fill.lots) * 0.002
            await at_work.take(ending)
            assert (await at_work.heard(Fill, ending.client_order_id)).side is Side.SELL
            for _ in range(500):
                if at_work.desk.is_idle:
                    break
                await asyncio.sleep(0.01)
            assert at_work.desk.is_idle
            assert at_work.desk.statistics()["connected"] == 1.0
        assert (desk_folder(plan, account_of(one))).is_dir()

    asyncio.run(story())


@pytest.mark.slow
def test_a_pulled_switch_stops_entries_at_the_desk_and_lets_exits_pass(
    venues: Endpoints, planned: Callable[[str], SessionPlan]
) -> None:
    plan = planned("BTCUSDT")
    (one,) = plan.session.instruments
    switch = KillSwitch(plan.folder.parent)

    async def story() -> None:
        mid = (await market_of(venues, one, venues.clock.clock())).mid
        lots = round(300.0 / one.notional(mid, 1))
        async with working(plan) as at_work:
            await at_work.heard(Reconciled)
            held = market(plan, 1, Side.BUY, lots)
            await at_work.take(held)
            await at_work.heard(Fill, held.client_order_id)
            switch.pull(venues.clock.clock(), "enough")
            await asyncio.sleep(2 * accounts.WATCH_S)
            entry, ending = market(plan, 2, Side.BUY, lots), market(plan, 3, Side.SELL, lots, reduce_only=True)
            await at_work.take(entry, ending)
            assert "enough" in (await at_work.heard(OrderRejected, entry.client_order_id)).reason
            await at_work.heard(Fill, ending.client_order_id)
            sent = [report for report in at_work.desk.reports_since(0) if isinstance(report, OrderSent | OrderAccepted)]
            assert entry.client_order_id not in {report.client_order_id for report in sent}
            assert switch.lift()
            await asyncio.sleep(2 * accounts.WATCH_S)
            again, out = market(plan, 4, Side.BUY, lots), market(plan, 5, Side.SELL, lots, reduce_only=True)
            await at_work.take(again)
            await at_work.heard(Fill, again.client_order_id)
            await at_work.take(out)
            await at_work.heard(Fill, out.client_order_id)

    asyncio.run(story())


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["BTCUSDT", "binance-spot:BTCUSDT", "BTC-USD"])
def test_while_an_account_is_anothers_its_desk_waits_and_its_trader_sends_nothing(
    venues: Endpoints, planned: Callable[[str], SessionPlan], symbol: str
) -> None:
    plan = planned(symbol)
    keys, switch = Keys(REAL, is_simulated=True), KillSwitch(plan.folder.parent)

    async def story() -> None:
        own = LiveDesk(plan, account_of(plan.session.instruments[0]), keys, switch)
        path = own.fence._lease.path
        another = Fence("another", Lease(path, "another", "elsewhere", WallClock()), WallClock())
        await another.hold()
        work = asyncio.create_task(own.run())
        with pytest.raises(VenueUnavailable, match="not the right"):
            await own.trader.submit(market(plan, 1, Side.BUY, 10, reference=1))
        assert own.reports_since(0) == []
        assert not work.done()
        another._lease.release()
        at_work = Working(own, work)
        await at_work.heard(Reconciled)
        assert own.statistics()["fence_epoch"] == 2.0
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await own.close()

    asyncio.run(story())


def test_only_a_live_session_has_desks(planned: Any, tmp_path: Path) -> None:
    session = SessionConfig(symbols=("BTCUSDT",), runs=str(tmp_path))
    plan = plan_session(Settings(session=session), RunRequest(), LIVE.clock.clock())
    with pytest.raises(StateError, match="only a session on live venues"):
        LiveDesk(plan, "binance-usdm:main", Keys(REAL, is_simulated=True), KillSwitch(tmp_path))


@pytest.mark.slow
def test_equity_is_what_an_account_holds_of_its_money(venues: Endpoints, planned: Callable[[str], SessionPlan]) -> None:
    plan = planned("BTCUSDT")

    async def story() -> None:
        ours = plan.session.instruments
        trader = trader_of(Venue.BINANCE_USDM, venues, ours, Keys(REAL, is_simulated=True), venues.clock.clock())
        try:
            assert await equity_of(trader, "USDT") > 1_000.0
        finally:
            await trader.close()

    asyncio.run(story())

    class Rich(Remembering):
        async def balances(self) -> list[Any]:
            return [VenueBalance(asset=asset, total=7.0, free=7.0) for asset in ("USDT", "USDC", "BNB")]

    # what backs the positions of this account is its own money, not all that it holds
    assert asyncio.run(equity_of(Rich(), "USDT")) == 7.0

    class Poor(Remembering):
        async def balances(self) -> list[Any]:
            return []

    with pytest.raises(UserError, match="somebody holds no USDT"):
        asyncio.run(equity_of(Poor(), "USDT"))
