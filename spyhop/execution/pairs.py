"""Two legs that belong together: the leader is filled, the hedge follows every fill of it.

A machine without a gateway: `begin`, `on_report`, `on_time` and `cancel` return the commands to send, `due` says when
to look again. The leader goes in clips no larger than the imbalance that is permitted, and the next clip waits for the
hedge, so that whatever the venues do no more than that (and what rounding to whole lots leaves) is ever unhedged. A leg
that is rejected, unclear or late makes the pair unwind: nothing new is begun, and of the leg that holds more what the
other does not match is closed, reduce-only. It ends flat or hedged; a fill that comes later still begins it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import msgspec

from spyhop.clock import NS_PER_MS
from spyhop.errors import IllegalTransition, InvalidSetting, SnapshotMismatch
from spyhop.execution.flights import Flight
from spyhop.execution.legs import NEXT, LegOrder, PairParams, PairState, PairStatus
from spyhop.execution.splitting.lots import bite, smallest_lots
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Command,
    Fill,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderType,
    OrderUnknown,
    Purpose,
    Report,
    SubmitOrder,
    TimeInForce,
)
from spyhop.model.tape import Side

NEVER = (1 << 63) - 1
LEADER, HEDGE = 0, 1


class Pair:
    """`lots` are the leader's; both instruments must be linear, or both inverse."""

    def __init__(
        self,
        pair_id: str,
        params: PairParams,
        legs: tuple[LegOrder, LegOrder],
        lots: int,
        instruments: Sequence[Instrument],
        ts: int,
    ) -> None:
        of = {instrument.id: instrument for instrument in instruments}
        leader, hedge = (of[leg.instrument] for leg in legs)
        if leader.is_inverse != hedge.is_inverse or leader.id == hedge.id:
            raise InvalidSetting(
                "pair", f"{leader.key} and {hedge.key} are no two instruments sized in the same currency"
            )
        if legs[LEADER].side is Side.NONE or legs[HEDGE].side is not legs[LEADER].side.opposite:
            raise InvalidSetting("pair", "a hedge is on the other side of its leader")
        self.params, self.legs, self._id = params, legs, pair_id
        self.ratio = Fraction(leader.lot_size * leader.multiplier) / Fraction(hedge.lot_size * hedge.multiplier)
        """Lots of the hedge for a lot of the leader."""
        self._smallest = [smallest_lots(of[leg.instrument], leg.price or leg.reference) for leg in legs]
        self._fewest = [max(1, math.ceil(of[leg.instrument].min_qty / of[leg.instrument].lot_size)) for leg in legs]
        self.clip = int(params.max_imbalance / leader.notional(legs[LEADER].reference, 1))
        """Lots of the leader that may be unhedged."""
        if self.clip < self._smallest[LEADER] or math.floor(self.clip * self.ratio) < self._smallest[HEDGE]:
            raise InvalidSetting("max_imbalance", f"{params.max_imbalance} is less than the smallest order of a leg")
        if lots < self._smallest[LEADER] or math.floor(lots * self.ratio) < self._smallest[HEDGE]:
            raise InvalidSetting("lots", f"{lots} lots are less than the smallest order of a leg")
        until = ts + int(params.leader_wait_ms * NS_PER_MS)
        self._state = PairState(ts, lots, until)
        self._commands: list[Command] = []

    # what can be asked

    @property
    def status(self) -> PairStatus:
        """Return where the pair is in its life."""
        return self._state.status

    @property
    def held(self) -> tuple[int, int]:
        """Return the lots held of the leader and of the hedge, each in the direction of its leg."""
        return self._state.held[LEADER], self._state.held[HEDGE]

    @property
    def reason(self) -> str:
        """Return why the pair unwound, "" if it did not."""
        return self._state.reason

    @property
    def imbalance(self) -> Fraction:
        """Return the lots of the leader that the hedge does not match; negative where the hedge holds more."""
        return self._state.held[LEADER] - self._state.held[HEDGE] / self.ratio

    @property
    def is_over(self) -> bool:
        """Return whether the pair is at an end."""
        return self._state.status in (PairStatus.HEDGED, PairStatus.FLAT)

    def due(self) -> int:
        """Return the event time at which `on_time` must be called, NEVER for none."""
        s = self._state
        if self.is_over:
            return NEVER
        dues = [ts for ts in s.retry_at if ts > 0]
        if s.status is PairStatus.LEADING:
            dues.append(s.leader_until)
        if s.status is not PairStatus.UNWINDING and s.unhedged_since:
            dues.append(s.unhedged_since + int(self.params.max_imbalance_ms * NS_PER_MS))
        return min(dues, default=NEVER)

    # what happens

    def begin(self) -> list[Command]:
        """Send the first clip of the leader."""
        return self._acted()

    def on_report(self, report: Report) -> list[Command]:
        """Take a report on an order of this pair; every other is ignored."""
        s = self._state
        key = report.client_order_id if isinstance(report, _OF_AN_ORDER) else ""
        if not key.startswith(f"{self._id}."):
            return []
        s.ts = max(s.ts, report.ts)
        flight = s.flights.get(key)
        leg = LEADER if key[len(self._id) + 1] in "LU" else HEDGE
        was_held = flight is not None and flight.left > 0
        if flight is not None:
            flight.on(report)
        if isinstance(report, Fill):
            s.held[leg] += report.lots if report.side is self.legs[leg].side else -report.lots
            if not was_held and (self.is_over or self._is_overdone()):
                self._unwind("a fill came late")
        elif flight is not None:
            self._judge(report, flight, leg)
        s.flights = {name: flight for name, flight in s.flights.items() if not flight.is_landed}
        return self._acted()

    def on_time(self, ts: int) -> list[Command]:
        """Let event time go on to `ts`."""
        s = self._state
        s.ts = max(s.ts, ts)
        s.retry_at = [0 if due <= s.ts else due for due in s.retry_at]
        if s.status is PairStatus.LEADING and s.leader_until <= s.ts:
            self._move(PairStatus.HEDGING)
        limit = s.unhedged_since + int(self.params.max_imbalance_ms * NS_PER_MS)
        if s.unhedged_since and limit <= s.ts and s.status in (PairStatus.LEADING, PairStatus.HEDGING):
            self._unwind(f"unhedged for {self.params.max_imbalance_ms:g} ms")
        return self._acted()

    def cancel(self, ts: int) -> list[Command]:
        """Begin nothing more of the leader; what it has is hedged."""
        self._state.ts = max(self._state.ts, ts)
        if self._state.status is PairStatus.LEADING:
            self._move(PairStatus.HEDGING)
        return self._acted()

    def _judge(self, report: Report, flight: Flight, leg: int) -> None:
        """Say what an order's end, or that nobody knows, means for the pair."""
        s, is_unwinding = self._state, flight.order.purpose is Purpose.UNWIND
        retry_at = s.ts + int(self.params.retry_ms * NS_PER_MS)
        match report:
            case OrderRejected(reason=reason) if not is_unwinding:
                self._unwind(f"{_NAMES[leg]} rejected: {reason}")
            case OrderUnknown() if not is_unwinding:
                self._unwind(f"{_NAMES[leg]} unclear")
            case OrderRejected() | OrderCancelled() | OrderExpired():
                s.retry_at[leg] = retry_at
            case CancelRejected():
                flight.is_cancelling = False
                s.retry_at[leg] = retry_at
            case _:
                pass

    # what is done about it

    def _acted(self) -> list[Command]:
        s = self._state
        if s.status is PairStatus.LEADING and s.held[LEADER] >= s.wanted:
            self._move(PairStatus.HEDGING)
        if s.status is PairStatus.LEADING:
            self._lead()
        else:
            self._take_back()
        if s.status in (PairStatus.LEADING, PairStatus.HEDGING):
            self._hedge()
        self._note_imbalance()
        if s.status is PairStatus.HEDGING and not s.flights and self._unhedged() == 0:
            if self._excess(LEADER):
                self._unwind("")  # a rest that the hedge's venue would not take
            else:
                self._end()
        if s.status is PairStatus.UNWINDING:
            self._reduce()
            if not s.flights and not self._excess(LEADER) and not self._excess(HEDGE):
                self._end()
        commands, self._commands = self._commands, []
        return commands

    def _lead(self) -> None:
        s = self._state
        if s.retry_at[LEADER] or self._in_flight(LEADER, Purpose.ENTRY):
            return
        if self._unhedged() or self._in_flight(HEDGE, Purpose.HEDGE):
            return
        open_lots = math.ceil(max(Fraction(0), self.imbalance))
        lots = bite(s.wanted - s.held[LEADER], self.clip - open_lots, self._smallest[LEADER])
        if lots >= self._smallest[LEADER]:
            self._submit(LEADER, lots, Purpose.ENTRY)
        else:
            self._move(PairStatus.HEDGING)

    def _unhedged(self) -> int:
        """Return the lots that the hedge lacks and its venue would take."""
        s = self._state
        lots = math.floor(s.held[LEADER] * self.ratio) - s.held[HEDGE]
        return lots if lots >= self._smallest[HEDGE] else 0

    def _hedge(self) -> None:
        s = self._state
        lots = math.floor(s.held[LEADER] * self.ratio) - s.held[HEDGE] - self._in_flight(HEDGE, Purpose.HEDGE)
        if lots >= self._smallest[HEDGE] and not s.retry_at[HEDGE]:
            self._submit(HEDGE, lots, Purpose.HEDGE)

    def _take_back(self) -> None:
        """Cancel what is not wanted any more: the leader always, the hedge when the pair unwinds."""
        s = self._state
        for key, flight in s.flights.items():
            is_wanted = flight.order.purpose is not Purpose.ENTRY and s.status is not PairStatus.UNWINDING
            is_ours = flight.order.purpose in (Purpose.ENTRY, Purpose.HEDGE) and flight.order.type is OrderType.LIMIT
            is_waiting = s.retry_at[LEADER if flight.order.purpose is Purpose.ENTRY else HEDGE] > 0
            if is_ours and not (is_wanted or is_waiting or flight.is_cancelling or flight.is_over):
                flight.is_cancelling = True
                self._commands.append(CancelOrder(ts=s.ts, client_order_id=key, instrument=flight.order.instrument))

    def _excess(self, leg: int) -> int:
        """Return the lots of a leg that the other does not match, 0 for fewer than its venue can close."""
        leader, hedge = self.held
        wanted = math.floor(leader * self.ratio)
        lots = hedge - wanted
        if leg == LEADER:
            lots = leader - math.ceil(hedge / self.ratio) if wanted > hedge else 0
        return lots if lots >= self._fewest[leg] else 0

    def _reduce(self) -> None:
        s = self._state
        for leg in (LEADER, HEDGE):
            lots = self._excess(leg) - self._in_flight(leg, Purpose.UNWIND)
            if lots > 0 and not s.retry_at[leg]:
                self._submit(leg, lots, Purpose.UNWIND)

    def _in_flight(self, leg: int, purpose: Purpose) -> int:
        number = self.legs[leg].instrument
        return sum(
            flight.left
            for flight in self._state.flights.values()
            if flight.order.purpose is purpose and flight.order.instrument == number
        )

    def _is_overdone(self) -> bool:
        return self._excess(HEDGE) > 0 or self.imbalance > self.clip

    def _note_imbalance(self) -> None:
        s = self._state
        if self._unhedged() == 0:
            s.unhedged_since = 0
        elif not s.unhedged_since:
            s.unhedged_since = s.ts

    def _submit(self, leg: int, lots: int, purpose: Purpose) -> None:
        s, asked, is_unwinding = self._state, self.legs[leg], purpose is Purpose.UNWIND
        s.num_orders += 1
        letter = ("LH", "UV")[is_unwinding][leg]
        order = SubmitOrder(
            ts=s.ts,
            client_order_id=f"{self._id}.{letter}{s.num_orders}",
            instrument=asked.instrument,
            side=asked.side.opposite if is_unwinding else asked.side,
            type=OrderType.LIMIT if asked.price and not is_unwinding else OrderType.MARKET,
            lots=lots,
            purpose=purpose,
            price=0 if is_unwinding else asked.price,
            time_in_force=TimeInForce.GTC if is_unwinding else asked.time_in_force,
            reduce_only=is_unwinding,
            leverage=0.0 if is_unwinding else asked.leverage,
        )
        s.flights[order.client_order_id] = Flight(order, lots)
        self._commands.append(order)

    def _unwind(self, reason: str) -> None:
        s = self._state
        if s.status is not PairStatus.UNWINDING:
            s.reason = s.reason or reason
            s.unhedged_since, s.retry_at = 0, [0, 0]
            self._move(PairStatus.UNWINDING)
            self._take_back()

    def _end(self) -> None:
        self._move(PairStatus.HEDGED if any(self._state.held) else PairStatus.FLAT)

    def _move(self, to: PairStatus) -> None:
        s = self._state
        if to not in NEXT[s.status]:
            raise IllegalTransition(self._id, s.status, to)
        s.status = to

    # state

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((_LAYOUT, self._id, self._state))

    def restore(self, snapshot: bytes) -> None:
        try:
            layout, pair_id, state = msgspec.msgpack.decode(snapshot, type=tuple[str, str, msgspec.Raw])
        except msgspec.DecodeError as e:
            raise SnapshotMismatch("pair", _LAYOUT, "unknown") from e
        if (layout, pair_id) != (_LAYOUT, self._id):
            raise SnapshotMismatch("pair", f"{_LAYOUT} {self._id}", f"{layout} {pair_id}")
        self._state = msgspec.msgpack.decode(state, type=PairState)


_LAYOUT = "pair 1"
_NAMES = ("leader", "hedge")
_OF_AN_ORDER = (OrderAccepted, OrderRejected, OrderCancelled, OrderExpired, OrderUnknown, CancelRejected, Fill)
