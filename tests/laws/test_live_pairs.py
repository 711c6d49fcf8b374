"""A pair at two venues at once: entered and left at the simulator, both flat, and the ledger has their fills."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from spyhop.clock import NS_PER_S
from spyhop.config.settings import SessionConfig, Settings
from spyhop.model import tape
from spyhop.model.accounts import VenueFill
from spyhop.model.decisions import LEAD_FOLLOW, Hedge, Intent
from spyhop.model.entries import Entry
from spyhop.model.orders import Fill, OrderChanged, PairEnded, Reconciled, TradeClosed
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved
from spyhop.storage.database import Ledger
from spyhop.venues.desk.heard import HeardLog
from spyhop.venues.endpoints import Endpoints
from spyhop.wiring import nodes
from spyhop.wiring.accounts import Keys, LiveDesk, account_of, desk_folder, routes, trader_of
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_session
from spyhop.wiring.records import SessionKeeper, ledger_url
from spyhop.wiring.trading import market_of

LEADER, FOLLOWER = 0, 1

T = TypeVar("T")

ENTERED = 2_000.0
"""Quote currency of the follower, in three clips."""


class Rig:
    """A live session's order stage and the desk of each account in one process, joined as the session joins them."""

    def __init__(self, plan: SessionPlan, endpoints: Endpoints) -> None:
        self.plan, self.clock, self.node = plan, endpoints.clock.clock(), nodes.order_node(plan)
        self.desks = {
            name: LiveDesk(plan, name, Keys.here(endpoints), KillSwitch(plan.folder.parent))
            for name in self.node.reports
        }
        self.ears = {name: HeardLog(desk_folder(plan, name), self.clock) for name in self.desks}
        self.entries: list[Entry] = []
        self._keeper = SessionKeeper(plan)
        self._account = routes(plan.session.instruments)

    def of(self, kind: type[T]) -> list[T]:
        return [entry.message for entry in self.entries if isinstance(entry.message, kind)]

    def step(self, *approved: Approved) -> None:
        """Let everybody hear what was said, until now."""
        node = self.node
        for name, ear in self.ears.items():
            before = ear.num_reports
            if reports := self.desks[name].reports_since(before):
                ear.hear(before, reports)
            promise = ear.promise(0)
            node.reports[name].put(ear.reports_since(before), promise)
        now = self.clock.now_ns()
        for feed in self.plan.feed_names:
            node.tape.put(feed, tape.empty(), now)
        node.approved.put(approved, max([now, *(one.ts for one in approved)]))
        output = node.step()
        if output.entries:
            self._keeper.append(output.entries)
            self.entries += output.entries
        for command in output.commands:
            desk = self.desks[self._account[command.instrument]]
            desk.take(desk.num_commands, [command])

    async def until(self, kind: type, number: int) -> None:
        """Go on until so many facts of a kind were told."""
        for _ in range(3_000):
            self.step()
            if len(self.of(kind)) >= number:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"no {number} {kind.__name__} among {[entry.message for entry in self.entries]}")

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        work = [asyncio.create_task(desk.run()) for desk in self.desks.values()]
        try:
            yield
        finally:
            for one in work:
                one.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            for desk in self.desks.values():
                await desk.close()
            for ear in self.ears.values():
                ear.close()
            self._keeper.close()


async def wish(rig: Rig, endpoints: Endpoints) -> Approved:
    """Return what buys the follower and sells the leader, for fifteen seconds."""
    leader, follower = rig.plan.session.instruments
    mids = [round((await market_of(endpoints, one, rig.clock)).mid) for one in (leader, follower)]
    lots = round(ENTERED / follower.notional(mids[FOLLOWER], 1))
    quantity = lots * follower.lot_size * follower.multiplier
    now = rig.clock.now_ns()
    intent = Intent(
        seq=0,
        ts=now,
        instrument=FOLLOWER,
        decision_seq=0,
        side=Side.BUY,
        strategy=LEAD_FOLLOW,
        probability=0.0,
        confidence=0.7,
        reference=mids[FOLLOWER],
        take_profit=2 * mids[FOLLOWER],
        stop=mids[FOLLOWER] // 2,
        max_hold_ns=15 * NS_PER_S,
        hedge=Hedge(instrument=LEADER, reference=mids[LEADER]),
    )
    return Approved(
        seq=0,
        ts=now,
        intent=intent,
        lots=lots,
        leverage=0.1,
        risk=1.0,
        margin=2 * ENTERED / 4.0,
        epoch=1,
        expires=now + 60 * NS_PER_S,
        hedge_lots=int(quantity / (leader.lot_size * leader.multiplier)),
        hedge_margin=ENTERED / 4.0,
    )


async def told(rig: Rig, endpoints: Endpoints) -> list[VenueFill]:
    """Return the fills that the venues tell of, both of which hold nothing and wait for nothing."""
    fills: list[VenueFill] = []
    for one in rig.plan.session.instruments:
        trader = trader_of(one.venue, endpoints, [one], Keys.here(endpoints), rig.clock)
        try:
            assert await trader.open_orders() == []
            assert await trader.positions() == []
            fills += await trader.fills(one.id, rig.plan.session.started)
        finally:
            await trader.close()
    return fills


@pytest.mark.slow
def test_a_pair_is_entered_and_left_at_two_venues_and_the_ledger_has_their_fills(
    venues: Endpoints, tmp_path: Path
) -> None:
    usual = Settings()
    # what may be unhedged for how long is of venue time, which is fast here
    pair = replace(usual.execution.pair, max_imbalance=ENTERED / 2.5, max_imbalance_ms=60_000.0)
    settings = replace(
        usual,
        session=SessionConfig(symbols=("binance-usdm:BTCUSDT", "dydx:BTC-USD"), runs=str(tmp_path)),
        lead=replace(usual.lead, enters=True, hedge=True),
        execution=replace(usual.execution, pair=pair),
    )
    plan = plan_session(settings, RunRequest(mode="live", endpoints=venues), venues.clock.clock())
    rig = Rig(plan, venues)

    async def story() -> list[VenueFill]:
        async with rig.working():
            await rig.until(Reconciled, 2)
            rig.step(await wish(rig, venues))
            await rig.until(PairEnded, 1)
            return await told(rig, venues)

    known = asyncio.run(story())
    (pair_ended,) = rig.of(PairEnded)
    assert (pair_ended.num_legs, pair_ended.reason) == (2, "")
    legs = rig.of(TradeClosed)
    assert sorted((leg.instrument, leg.side, leg.exit_purpose, leg.is_leg) for leg in legs) == [
        (LEADER, Side.SELL, "max_hold", True),
        (FOLLOWER, Side.BUY, "max_hold", True),
    ]
    leader, follower = plan.session.instruments
    quantities = [leg.lots * plan.session.instruments[leg.instrument].lot_size for leg in legs]
    assert abs(quantities[0] - quantities[1]) < max(leader.lot_size, follower.lot_size)
    assert pair_ended.notional == pytest.approx(ENTERED, rel=0.1)
    entered = {changed.client_order_id for changed in rig.of(OrderChanged) if changed.order.purpose == "entry"}
    assert len(entered) >= 3  # clips: never more than one of them was unhedged

    # the ledger, read again, has the very fills of the venues, and their fees are those of the pair
    entries = Ledger(ledger_url(plan)).entries(plan.session.id)
    assert [entry.message for entry in entries] == [entry.message for entry in rig.entries]
    booked = [entry.message for entry in entries if isinstance(entry.message, Fill)]
    assert len(booked) >= 8
    assert {account_of(plan.session.instruments[fill.instrument]) for fill in booked} == set(rig.desks)
    assert sorted((fill.instrument, fill.fill_id, fill.side, fill.price, fill.lots) for fill in booked) == sorted(
        (fill.instrument, fill.fill_id, fill.side, fill.price, fill.lots) for fill in known
    )
    assert sum(fill.fee for fill in known) == pytest.approx(pair_ended.fees)
