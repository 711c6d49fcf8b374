"""Laws of the ledger: whatever is offered, repeated, refused and reopened, it holds what a dictionary would."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from spyhop.errors import StorageFailed
from spyhop.execution.orders import NEXT
from spyhop.model.entries import Entry
from spyhop.model.orders import (
    Fill,
    Liquidated,
    Liquidity,
    OrderChanged,
    OrderStatus,
    OrderType,
    Purpose,
    SubmitOrder,
)
from spyhop.model.tape import Side
from spyhop.storage.database import Ledger, sqlite_url

pytestmark = pytest.mark.slow

SESSIONS = ("a", "b")
SIDES = st.sampled_from((Side.BUY, Side.SELL))
INSTRUMENTS = st.integers(0, 1)


def changed(order_id: str, status: OrderStatus) -> OrderChanged:
    order = SubmitOrder(
        ts=0,
        client_order_id=order_id,
        instrument=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        lots=9,
        purpose=Purpose.ENTRY,
    )
    return OrderChanged(
        ts=0, client_order_id=order_id, instrument=0, status=status, filled=0, cause="a law", order=order
    )


def fill(fill_id: str, instrument: int, side: Side, lots: int) -> Fill:
    return Fill(
        ts=0,
        ts_venue=0,
        fill_id=fill_id,
        client_order_id="o",
        instrument=instrument,
        side=side,
        price=1,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=0.0,
        slippage=0.0,
    )


def liquidated(instrument: int, side: Side, lots: int) -> Liquidated:
    return Liquidated(ts=0, ts_venue=0, instrument=instrument, side=side, price=1, lots=lots, loss=0.0)


MESSAGES = st.one_of(
    st.builds(changed, st.sampled_from("xyz"), st.sampled_from(list(OrderStatus))),
    st.builds(fill, st.sampled_from(("f1", "f2", "f3")), INSTRUMENTS, SIDES, st.integers(1, 3)),
    st.builds(liquidated, INSTRUMENTS, SIDES, st.integers(1, 3)),
)
ENTRIES = st.builds(
    lambda seq, message: Entry(seq // 2, "order", seq, msgspec.structs.replace(message, ts=seq // 2)),
    st.integers(0, 11),
    MESSAGES,
)
PARCELS = st.lists(ENTRIES, max_size=6)


class LedgerMachine(RuleBasedStateMachine):
    """A ledger in a file beside dictionaries that never fail."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.url = sqlite_url(Path(self.folder.name) / "ledger.db")
        self.ledger = Ledger(self.url)
        self.entries: dict[str, dict[int, Entry]] = {session: {} for session in SESSIONS}
        self.fills: dict[str, dict[tuple[int, str], Entry]] = {session: {} for session in SESSIONS}

    @rule(session=st.sampled_from(SESSIONS), parcel=PARCELS)
    def offer(self, session: str, parcel: list[Entry]) -> None:
        assert self.ledger.append(session, parcel) == self.keep(session, parcel)

    @rule(session=st.sampled_from(SESSIONS), parcel=PARCELS)
    def refuse(self, session: str, parcel: list[Entry]) -> None:
        real = self.ledger._project

        def full(connection: sa.Connection, name: str, entries: Sequence[Entry]) -> None:
            real(connection, name, entries)
            raise sa.exc.OperationalError("insert", {}, Exception("database or disk is full"))

        self.ledger._project = full  # type: ignore[method-assign]
        try:
            if parcel:
                with pytest.raises(StorageFailed, match="full"):
                    self.ledger.append(session, parcel)
        finally:
            self.ledger._project = real  # type: ignore[method-assign]

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.url)

    def keep(self, session: str, parcel: Sequence[Entry]) -> int:
        first: dict[int, Entry] = {}
        for entry in parcel:
            first.setdefault(entry.seq, entry)
        new = [first[seq] for seq in sorted(first) if seq not in self.entries[session]]
        for entry in new:
            self.entries[session][entry.seq] = entry
            if isinstance(entry.message, Fill):
                self.fills[session].setdefault((entry.message.instrument, entry.message.fill_id), entry)
        return len(new)

    @invariant()
    def holds_the_same(self) -> None:
        every: set[str] = set()
        for session in SESSIONS:
            kept = [self.entries[session][seq] for seq in sorted(self.entries[session])]
            assert self.ledger.entries(session) == kept
            assert self.ledger.committed(session, "order") == len(kept)
            newest = {e.message.client_order_id: e.message for e in kept if isinstance(e.message, OrderChanged)}
            assert self.ledger.order_ids(session) == set(newest)
            alive = self.ledger.orders_alive(session)
            assert len({step.client_order_id for step in alive}) == len(alive)
            assert {s.client_order_id: s for s in alive} == {
                name: step for name, step in newest.items() if NEXT[step.status]
            }
            every |= set(newest)
            fills = sorted(self.fills[session].values(), key=lambda entry: entry.seq)
            assert self.ledger.fills(session) == [entry.message for entry in fills]
            assert self.ledger.positions(session) == self.positions(session)
        assert {name for name in "xyz" if self.ledger.known_order(name)} == every

    def positions(self, session: str) -> dict[int, int]:
        lots = {0: 0, 1: 0}
        for entry in self.fills[session].values():
            assert isinstance(entry.message, Fill)
            lots[entry.message.instrument] += entry.message.side * entry.message.lots
        for entry in self.entries[session].values():
            if isinstance(entry.message, Liquidated):
                lots[entry.message.instrument] -= entry.message.side * entry.message.lots
        return {instrument: held for instrument, held in lots.items() if held}

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()


LedgerMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=10, deadline=None, derandomize=True)
TestLedger = LedgerMachine.TestCase
