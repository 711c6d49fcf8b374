"""Orders that a venue lacks, held by us: they watch the tape and are sent as market or limit orders when they fire.

A wrapper around any gateway. What the venue has goes straight through. What it lacks is accepted at once (marked
`is_emulated`), is taken back without a word to the venue, and becomes an order of the same client order id at the event
that fires it; from then on the venue's reports tell of it. Armed orders are part of the snapshot, so they are armed
again after a restart. Whether a reduce-only order has anything left to reduce is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.execution import triggers
from spyhop.execution.stage import KeepingGateway
from spyhop.execution.triggers import Armed, Prices
from spyhop.model.orders import (
    CancelOrder,
    Command,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    OrderType,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Events, Kind

WatchedPrice = Literal["last", "mark"]

_NEVER = (1 << 63) - 1


class Seen(msgspec.Struct):
    """The newest prices of an instrument in ticks, 0 before any."""

    last: int = 0
    mark: int = 0


class EmulationState(msgspec.Struct):
    """Everything the wrapper knows; dictionaries keep the order in which orders came."""

    armed: dict[str, Armed] = {}
    seen: dict[int, Seen] = {}
    outbox: list[Report] = []
    num_emulated: int = 0
    num_fired: int = 0


class EmulatingGateway:
    """A `KeepingGateway` around `inner`, whose venue has orders of the kinds `has`.

    Triggers watch the last trade or the mark (`trigger_by`), and the other one as long as that was never told.
    """

    def __init__(self, inner: KeepingGateway, has: frozenset[OrderType], trigger_by: WatchedPrice = "last") -> None:
        self._inner, self._has, self._trigger_by = inner, has, trigger_by
        self._state = EmulationState()

    def send(self, command: Command) -> None:
        """Arm an order that the venue lacks, take an armed one back, hand everything else on."""
        match command:
            case SubmitOrder(type=kind) if kind not in self._has:
                self._arm(command)
            case CancelOrder(client_order_id=key) if key in self._state.armed:
                self._take_back(command)
            case _:
                self._inner.send(command)

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        """Fold events[start:] with ts_recv < `until`; stop when reports are heard before `until`."""
        at = start
        while True:
            if told := self._told(until):
                return at, told
            firing = self._next_firing(events, at, until)
            limit = min(until, firing + 1) if firing < _NEVER else until
            before = at
            at, reports = self._inner.advance(events, at, limit)
            self._watch(events[before:at])
            if reports:
                return at, reports
            if limit == until:
                return at, self._told(until)

    def _arm(self, order: SubmitOrder) -> None:
        s, ts, key, number = self._state, order.ts, order.client_order_id, order.instrument
        reason = "duplicate client order id" if key in s.armed else triggers.objection(order)
        if reason:
            rejected = OrderRejected(ts=ts, ts_venue=ts, client_order_id=key, instrument=number, reason=reason)
            s.outbox.append(rejected)
            return
        s.outbox.append(OrderAccepted(ts=ts, ts_venue=ts, client_order_id=key, instrument=number, is_emulated=True))
        s.num_emulated += 1
        s.armed[key] = Armed(order)
        seen = s.seen.get(number, Seen())
        price = (seen.last or seen.mark) if self._trigger_by == "last" else (seen.mark or seen.last)
        if price > 0:
            # a trigger that has passed already fires at once
            if triggers.first_firing(s.armed[key], known := np.array([price])) == 0:
                self._fire(s.armed[key], ts)
            else:
                triggers.follow(s.armed[key], known)

    def _take_back(self, command: CancelOrder) -> None:
        order = self._state.armed.pop(command.client_order_id).order
        self._state.outbox.append(
            OrderCancelled(
                ts=command.ts,
                ts_venue=command.ts,
                client_order_id=order.client_order_id,
                instrument=order.instrument,
                lots_left=order.lots,
            )
        )

    def _told(self, until: int) -> list[Report]:
        """Take what we answered ourselves before `until`."""
        outbox = self._state.outbox
        count = sum(report.ts < until for report in outbox)
        self._state.outbox = outbox[count:]
        return outbox[:count]

    def _next_firing(self, events: Events, start: int, until: int) -> int:
        """Return when the first armed order fires among events[start:] before `until`, else _NEVER."""
        if not self._state.armed:
            return _NEVER
        stop = start + int(np.searchsorted(events["ts_recv"][start:], until, side="left"))
        first = _NEVER
        for number, stamps, prices in self._prices(events[start:stop]):
            for armed in self._armed_in(number):
                at = triggers.first_firing(armed, prices)
                if at >= 0:
                    first = min(first, int(stamps[at]))
        return first

    def _watch(self, events: Events) -> None:
        """Let `events` be seen: fire what they fire, remember what they leave."""
        firings: list[tuple[int, Armed]] = []
        for number, stamps, prices in self._prices(events):
            for armed in self._armed_in(number):
                at = triggers.first_firing(armed, prices)
                if at >= 0:
                    firings.append((int(stamps[at]), armed))
                else:
                    triggers.follow(armed, prices)
        for ts, armed in sorted(firings, key=lambda firing: firing[0]):
            self._fire(armed, ts)
        self._remember(events)

    def _fire(self, armed: Armed, ts: int) -> None:
        del self._state.armed[armed.order.client_order_id]
        self._state.num_fired += 1
        self._inner.send(triggers.fired(armed.order, ts))

    def _armed_in(self, instrument: int) -> list[Armed]:
        return [armed for armed in self._state.armed.values() if armed.order.instrument == instrument]

    def _prices(self, events: Events) -> Iterator[tuple[int, npt.NDArray[np.int64], Prices]]:
        """Yield number, times and watched prices of each instrument with armed orders that `events` tell prices of."""
        watched = Kind.TRADE if self._trigger_by == "last" else Kind.MARK
        numbers = dict.fromkeys(armed.order.instrument for armed in self._state.armed.values())
        priced = events[_has_price(events)]
        for number in numbers:
            rows = priced[priced["instrument"] == number]
            if not len(rows):
                continue
            seen = self._state.seen.get(number, Seen())
            is_watched = rows["kind"] == watched
            if not (seen.last if watched == Kind.TRADE else seen.mark):
                # the other price stands in until the first of the watched ones
                is_watched[: int(np.argmax(is_watched)) if is_watched.any() else len(rows)] = True
            rows = rows[is_watched]
            if len(rows):
                yield number, rows["ts_recv"], rows["price"]

    def _remember(self, events: Events) -> None:
        priced = events[_has_price(events)]
        for kind, name in ((Kind.TRADE, "last"), (Kind.MARK, "mark")):
            rows = priced[priced["kind"] == kind][::-1]
            for number, newest in zip(*np.unique(rows["instrument"], return_index=True), strict=True):
                seen = self._state.seen.setdefault(int(number), Seen())
                setattr(seen, name, int(rows["price"][newest]))

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self._state, self._inner.snapshot()))

    def restore(self, snapshot: bytes) -> None:
        self._state, inner = _SNAPSHOT.decode(snapshot)
        self._inner.restore(inner)

    def statistics(self) -> dict[str, float]:
        s = self._state
        return {
            **self._inner.statistics(),
            "armed": float(len(s.armed)),
            "emulated": float(s.num_emulated),
            "fired": float(s.num_fired),
        }


_SNAPSHOT = msgspec.msgpack.Decoder(tuple[EmulationState, bytes])


def _has_price(events: Events) -> npt.NDArray[np.bool_]:
    """Return which rows tell a price: a mark, or a trade of something."""
    is_trade = (events["kind"] == Kind.TRADE) & (events["qty"] > 0)
    has: npt.NDArray[np.bool_] = ((events["kind"] == Kind.MARK) | is_trade) & (events["price"] > 0)
    return has
