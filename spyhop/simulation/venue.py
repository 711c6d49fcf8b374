"""A gateway that fills orders against the tape, pessimistically.

Time is that of the tape (ts_recv): an order sent at t meets what we shall have received by t plus the entry latency,
so that latency holds the way of the market data, too. At one instant: commands arrive, then events are folded, then
reports are heard. What is sent and heard keeps its order.

Aggressive orders eat the visible depth, and it stays eaten until the tape tells that level anew; the rest is cancelled.
Resting orders wait in the queue (`simulation.resting`). Triggers watch the last trade or the mark and become market
orders `trigger_latency_ms` later; one that has passed already when it arrives fires at once. Funding is paid at its
stamps; an isolated position is lost when the mark (the last trade, where none is told) reaches its liquidation price.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np

from spyhop.clock import NS_PER_MS
from spyhop.errors import SnapshotMismatch
from spyhop.ledger.positions import Position
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    Command,
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    OrderType,
    Purpose,
    Report,
    SubmitOrder,
    TimeInForce,
)
from spyhop.model.tape import Events, Kind
from spyhop.simulation import pit, resting
from spyhop.simulation.entry import objection
from spyhop.simulation.orders import Holding, LiveOrder, VenueState, holding_after, liquidation_ticks, watch
from spyhop.simulation.wire import Arrival, Wire

NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Fee = Annotated[float, msgspec.Meta(gt=-0.01, lt=0.1)]

_MAX_LEVELS = 1024


class VenueParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the simulated venue charges, how long it takes, and how hard it makes things for us."""

    maker_fee_frac: Fee = 0.0002
    taker_fee_frac: Fee = 0.0004
    entry_latency_ms: NotNegative = 40.0
    """From sending a command to its effect, the way of market data included."""
    entry_jitter_ms: NotNegative = 10.0
    """Mean of the exponential time on top of it."""
    response_latency_ms: NotNegative = 20.0
    response_jitter_ms: NotNegative = 5.0
    trigger_latency_ms: NotNegative = 10.0
    trigger_by: Literal["last", "mark"] = "last"
    queue_model: resting.QueueModel = "risk_averse"
    default_leverage: Annotated[float, msgspec.Meta(ge=1)] = 20.0
    """Of the isolated margin where an order names none."""
    maintenance_frac: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.004
    """For instruments without margin tiers."""
    settlement_penalty_frac: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.001
    """Price given up on what a session's end finds no depth for."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 1


class SimulatedVenue:
    """Implements `ports.Gateway` for any number of instruments (distinct ids)."""

    def __init__(self, instruments: Sequence[Instrument], params: VenueParams | None = None) -> None:
        self.params = params or VenueParams()
        self._instruments = list(instruments)
        self._slot_of = {instrument.id: slot for slot, instrument in enumerate(instruments)}
        self._slots = np.full(max(self._slot_of, default=0) + 1, -1, np.int64)
        for number, slot in self._slot_of.items():
            self._slots[number] = slot
        self._pits = np.zeros(len(self._instruments), pit.PIT)
        self._state = VenueState()
        p = self.params
        response_ms = (p.response_latency_ms, p.response_jitter_ms)
        self._wire = Wire((p.entry_latency_ms, p.entry_jitter_ms), response_ms, p.seed)
        self._prices = np.zeros(_MAX_LEVELS, np.int64)
        self._taken = np.zeros(_MAX_LEVELS, np.int64)

    def send(self, command: Command) -> None:
        """Let `command` travel; it arrives after the entry latency, never before one sent earlier."""
        self._wire.send(command, self._mid(command.instrument))

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        """Fold events[start:] with ts_recv < `until`; stop when reports are heard before `until`.

        Return the index of the first event not folded and the reports, all of one instant. Called again with
        what is left it goes on; when no report comes back, `until` is reached.
        """
        wire = self._wire
        at = start
        while True:
            arrival, heard = wire.next_arrival(), wire.next_heard()
            at, slot = pit.fold(self._pits, self._slots, events, at, min(arrival, heard + 1, until))
            if slot >= 0:
                self._on_event(events[at - 1], slot)
            elif arrival < until and arrival <= heard:
                self._arrive(wire.state.arrivals.pop(0))
            elif heard < until:
                return at, wire.reports(heard)
            else:
                return at, []

    def _tell(self, report: Report) -> None:
        self._wire.state.outbox.append(report)
        name = type(report).__name__
        self._state.counts[name] = self._state.counts.get(name, 0) + 1

    def _mid(self, instrument: int) -> float:
        if instrument not in self._slot_of:
            return 0.0
        bid, ask = pit.touch(self._pits[self._slot_of[instrument]])
        return 0.5 * (bid + ask) if bid > 0 and ask > 0 else 0.0

    def _arrive(self, arrival: Arrival) -> None:
        match arrival.command:
            case SubmitOrder() as order:
                self._submit(order, arrival.ts, arrival.reference)
            case CancelOrder(client_order_id=key):
                if key in self._state.live:
                    self._cancelled(self._state.live[key], arrival.ts)
            case None:
                if arrival.fired in self._state.live:
                    self._execute(self._state.live[arrival.fired], arrival.ts, 0)

    def _submit(self, order: SubmitOrder, ts: int, reference: float) -> None:
        key = order.client_order_id
        reason = "duplicate client order id" if key in self._state.live else self._objection(order)
        if reason:
            self._tell(
                OrderRejected(
                    ts=self._wire.hear(ts), ts_venue=ts, client_order_id=key, instrument=order.instrument, reason=reason
                )
            )
            return
        self._tell(OrderAccepted(ts=self._wire.hear(ts), ts_venue=ts, client_order_id=key, instrument=order.instrument))
        live = LiveOrder(order, order.lots, reference)
        self._state.live[key] = live
        if order.type is OrderType.MARKET:
            self._execute(live, ts, 0)
        elif order.type is OrderType.LIMIT:
            self._execute(live, ts, order.price)
        else:
            live.reference = float(order.trigger)
            self._check_triggers(self._slot_of[order.instrument], ts)
        self._watch(order.instrument)

    def _objection(self, order: SubmitOrder) -> str:
        slot = self._slot_of.get(order.instrument)
        if slot is None:
            return f"instrument {order.instrument} is not traded here"
        held = self._holding(order.instrument).position.lots
        return objection(order, self._instruments[slot], self._pits[slot], held)

    def _cancelled(self, live: LiveOrder, ts: int) -> None:
        order = live.order
        del self._state.live[order.client_order_id]
        self._tell(
            OrderCancelled(
                ts=self._wire.hear(ts),
                ts_venue=ts,
                client_order_id=order.client_order_id,
                instrument=order.instrument,
                lots_left=live.left,
            )
        )
        self._watch(order.instrument)

    def _execute(self, live: LiveOrder, ts: int, limit: int) -> None:
        """Let an order take what is visible now; what is left rests (a limit order) or is cancelled."""
        order = live.order
        slot = self._slot_of[order.instrument]
        lots = self._permitted(live)
        count = pit.eat(self._pits[slot], int(order.side), lots, limit, self._prices, self._taken)
        for k in range(count):
            self._fill(live, ts, int(self._prices[k]), int(self._taken[k]), Liquidity.TAKER)
        if order.purpose is Purpose.SESSION_END and self._permitted(live) > 0:
            self._settle(live, ts)
        if order.client_order_id not in self._state.live:
            return
        if order.type is OrderType.LIMIT and order.time_in_force is not TimeInForce.IOC:
            live.place = resting.entered(pit.displayed(self._pits[slot], int(order.side), order.price))
            return
        self._cancelled(live, ts)

    def _permitted(self, live: LiveOrder) -> int:
        if not live.order.reduce_only:
            return live.left
        held = self._holding(live.order.instrument).position.lots
        return min(live.left, abs(held)) if held * live.order.side < 0 else 0

    def _settle(self, live: LiveOrder, ts: int) -> None:
        """Close at the worst price we know what the end of a session found no depth for."""
        p = self._pits[self._slot_of[live.order.instrument]]
        known = [int(price) for price in (p["last"], p["mark"], *pit.touch(p)) if price > 0]
        average = self._holding(live.order.instrument).position.average
        side = int(live.order.side)
        worst = max(known, key=lambda price: price * side) if known else round(average)
        price = max(1, round(worst * (1.0 + side * self.params.settlement_penalty_frac)))
        self._fill(live, ts, price, self._permitted(live), Liquidity.SETTLEMENT)

    def _fill(self, live: LiveOrder, ts: int, price: int, lots: int, liquidity: Liquidity) -> None:
        order = live.order
        instrument = self._instruments[self._slot_of[order.instrument]]
        rate = self.params.maker_fee_frac if liquidity is Liquidity.MAKER else self.params.taker_fee_frac
        slippage = 0.0
        if live.reference > 0.0:
            size = instrument.notional(live.reference, lots)
            slippage = int(order.side) * size * (price / live.reference - 1.0)
        self._tell(
            Fill(
                ts=self._wire.hear(ts),
                ts_venue=ts,
                fill_id=f"{order.client_order_id}-{live.num_fills}",
                client_order_id=order.client_order_id,
                instrument=order.instrument,
                side=order.side,
                price=price,
                lots=lots,
                liquidity=liquidity,
                fee=instrument.notional(price, lots) * rate,
                slippage=slippage,
            )
        )
        live.num_fills += 1
        live.left -= lots
        self._hold(order, ts, price, lots)
        if live.left == 0:
            del self._state.live[order.client_order_id]
        self._watch(order.instrument)

    def _holding(self, instrument: int) -> Holding:
        return self._state.holdings.get(instrument) or Holding()

    def _hold(self, order: SubmitOrder, ts: int, price: int, lots: int) -> None:
        instrument = self._instruments[self._slot_of[order.instrument]]
        leverage = order.leverage or self.params.default_leverage
        if instrument.margin_tiers:
            leverage = min(leverage, instrument.max_leverage)
        after = holding_after(self._holding(order.instrument), instrument, order, ts, price, lots, leverage)
        self._state.holdings[order.instrument] = after
        if after.position.lots == 0:
            del self._state.holdings[order.instrument]

    def _on_event(self, event: np.void, slot: int) -> None:
        instrument, ts, kind = self._instruments[slot].id, int(event["ts_recv"]), int(event["kind"])
        if kind == Kind.TRADE:
            self._match(instrument, ts, int(event["price"]), int(event["qty"]), int(event["side"]))
            self._check_triggers(slot, ts)
            self._check_margin(slot, ts)
        elif kind == Kind.MARK:
            self._check_triggers(slot, ts)
            self._check_margin(slot, ts)
        elif kind == Kind.FUNDING:
            self._pay(slot, ts)
        else:
            self._requeue(slot)
        self._watch(instrument)

    def _orders(self, instrument: int) -> list[LiveOrder]:
        return [live for live in self._state.live.values() if live.order.instrument == instrument]

    def _match(self, instrument: int, ts: int, price: int, lots: int, aggressor: int) -> None:
        """Let a trade reach our resting orders: all of one that it went through, the rest of the queue at its price."""
        for live in self._orders(instrument):
            side = int(live.order.side)
            beyond = (live.order.price - price) * side
            if live.place is None or beyond < 0:
                continue
            if beyond > 0:
                got = live.left
            elif aggressor == -side:
                got = min(live.left, resting.after_trade(live.place, lots))
                lots -= got
            else:
                continue
            got = min(got, self._permitted(live))
            if got > 0:
                self._fill(live, ts, live.order.price, got, Liquidity.MAKER)
            elif self._permitted(live) == 0:
                self._cancelled(live, ts)

    def _requeue(self, slot: int) -> None:
        for live in self._orders(self._instruments[slot].id):
            if live.place is not None:
                shown = pit.displayed(self._pits[slot], int(live.order.side), live.order.price)
                if shown >= 0:
                    resting.after_depth(live.place, shown, self.params.queue_model)

    def _check_triggers(self, slot: int, ts: int) -> None:
        price = int(self._pits[slot][self.params.trigger_by])
        for live in self._orders(self._instruments[slot].id):
            if not live.is_waiting or price <= 0:
                continue
            if (price - live.order.trigger) * (1 if live.fires_upwards else -1) >= 0:
                live.is_triggered = True
                self._wire.fire(ts + int(self.params.trigger_latency_ms * NS_PER_MS), live.order.client_order_id)

    def _check_margin(self, slot: int, ts: int) -> None:
        instrument = self._instruments[slot]
        holding, mark = self._holding(instrument.id), int(self._pits[slot]["mark"])
        limit = liquidation_ticks(instrument, holding, self.params.maintenance_frac)
        side = holding.position.side
        if limit <= 0.0 or mark <= 0 or (mark - limit) * side > 0.0:
            return
        del self._state.holdings[instrument.id]
        self._tell(
            Liquidated(
                ts=self._wire.hear(ts),
                ts_venue=ts,
                instrument=instrument.id,
                side=side,
                price=mark,
                lots=abs(holding.position.lots),
                loss=holding.margin,
            )
        )
        for live in self._orders(instrument.id):
            if live.order.reduce_only:
                self._cancelled(live, ts)

    def _pay(self, slot: int, ts: int) -> None:
        p, instrument = self._pits[slot], self._instruments[slot]
        holding = self._holding(instrument.id)
        position, price = holding.position, float(p["mark"] or p["last"]) or self._mid(instrument.id)
        if position.lots == 0 or holding.since > int(p["payable_stamp"]) or price <= 0.0:
            return
        rate = float(p["payable_rate"]) * 1e-12
        amount = position.side * instrument.notional(price, abs(position.lots)) * rate
        holding.margin -= amount
        self._tell(
            FundingPaid(
                ts=self._wire.hear(ts),
                ts_venue=ts,
                instrument=instrument.id,
                rate=rate,
                lots=position.lots,
                amount=amount,
            )
        )

    def _watch(self, instrument: int) -> None:
        slot = self._slot_of[instrument]
        holding = self._holding(instrument)
        limit = liquidation_ticks(self._instruments[slot], holding, self.params.maintenance_frac)
        watch(
            self._pits[slot],
            self._orders(instrument),
            holding.position.lots,
            limit,
            by_mark=self.params.trigger_by == "mark",
            by_depth=self.params.queue_model == "probabilistic",
        )

    def position(self, instrument: int) -> Position:
        """Return what the venue says that we hold."""
        return self._holding(instrument).position

    def snapshot(self) -> bytes:
        pits = zlib.compress(self._pits.tobytes(), 1)
        return msgspec.msgpack.encode((_LAYOUT, self._state, self._wire.snapshot(), pits))

    def restore(self, snapshot: bytes) -> None:
        layout, state, wire, pits = msgspec.msgpack.decode(snapshot, type=tuple[str, msgspec.Raw, bytes, bytes])
        if layout != _LAYOUT:
            raise SnapshotMismatch("simulated venue", _LAYOUT, layout)
        self._state = msgspec.msgpack.decode(state, type=VenueState)
        self._wire.restore(wire)
        self._pits = np.frombuffer(zlib.decompress(pits), pit.PIT).copy()

    def statistics(self) -> dict[str, float]:
        """Return reports by kind, orders alive, and breaks of the books."""
        s = self._state
        return {
            "live_orders": float(len(s.live)),
            "book_gaps": float(self._pits["sequence"]["num_gaps"].sum()),
            **{f"reports_{name}": float(count) for name, count in sorted(s.counts.items())},
        }


_LAYOUT = hashlib.sha256(repr(pit.PIT).encode()).hexdigest()[:12]
