"""Wishes to add to a winner, between the observation of a market and the supervisor that judges them.

An add is an intent like any other: sized, held to every limit and approved or refused, and it comes at an observation,
with what was known of fills then. What was decided with the first entry (side, take profit, longest time) holds for the
add, too; its stop is the common one, which only ever follows. Its number is that of no decision's intent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.execution import pyramids
from spyhop.execution.pyramids import Pyramid, PyramidParams
from spyhop.model.decisions import Intent
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Observation
from spyhop.model.orders import Fact, Fill, OrderChanged, OrderStatus, Purpose, TradeClosed
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved, Verdict

FIRST_ADD = 1 << 40
"""Adds are numbered from here on, decisions' intents from 0."""
_ENDED = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


class Held(msgspec.Struct):
    """What is known of a trip: fills (ticks, lots) of its first entry and of its adds, lots `off` since, the stop.

    `waits_for` is the approved entry whose order has not ended, by the number of its intent, -1 for none.
    """

    approved: Approved
    stop: int
    waits_for: int
    void_after: int
    first: list[tuple[int, int]] = []
    adds: list[tuple[int, int]] = []
    off: int = 0
    num_adds: int = 0
    ask_after: int = 0
    entries: dict[str, int] = {}
    """Its orders that enter: client order id to number of the intent."""


class _State(msgspec.Struct):
    held: dict[int, Held] = {}
    num_wishes: int = 0


class Pyramiding:
    """Told of verdicts and facts in their order; at an observation it says what to add, None for nothing."""

    def __init__(self, params: PyramidParams, instruments: Sequence[Instrument]) -> None:
        self._params = params
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self._state = _State()

    def on_verdict(self, verdict: Verdict) -> None:
        """Take note of an entry or an add that was approved, or of an add that was refused."""
        intent = verdict.intent
        held = self._state.held.get(intent.instrument)
        if not isinstance(verdict, Approved):
            if held is not None and intent.seq >= FIRST_ADD:
                held.ask_after = verdict.ts + round(self._params.ask_every_s * NS_PER_S)
        elif intent.hedge is not None:
            return  # a pair is entered once
        elif held is None:
            held = Held(verdict, intent.stop, intent.seq, verdict.expires)
            self._state.held[intent.instrument] = held
        else:
            held.stop = pyramids.tighter(intent.side, held.stop, intent.stop)
            held.waits_for, held.void_after, held.num_adds = intent.seq, verdict.expires, held.num_adds + 1

    def on_fact(self, fact: Fact) -> None:
        """Take note of entries, fills and the end of a trip."""
        held = self._state.held.get(getattr(fact, "instrument", -1))
        if held is None:
            return
        match fact:
            case OrderChanged() if fact.order.purpose is Purpose.ENTRY:
                self._on_entry(held, fact)
            case Fill(client_order_id=key) if key in held.entries:
                (held.adds if held.entries[key] >= FIRST_ADD else held.first).append((fact.price, fact.lots))
            case Fill():
                held.off += fact.lots
            case TradeClosed():
                del self._state.held[fact.instrument]

    def on_observation(self, observed: Observation) -> Intent | None:
        """Return the wish to add at the mid observed."""
        held = self._state.held.get(observed.instrument)
        if held is None or self._is_void(held, observed):
            return None
        pyramid = self._pyramid(held)
        if held.waits_for >= 0 or pyramid is None or observed.ts < held.ask_after or not observed.mid > 0.0:
            return None
        first, ticks = held.approved.intent, observed.mid / self._instruments[observed.instrument].tick
        side = first.side
        # the mid toward our side, as at a decision
        reference = math.floor(ticks + 1e-6) if side is Side.BUY else math.ceil(ticks - 1e-6)
        step = pyramids.next_add(pyramid, reference, self._params)
        if step is None or (first.take_profit - reference) * side <= 0:
            return None
        self._state.num_wishes += 1
        return msgspec.structs.replace(
            first,
            seq=FIRST_ADD + self._state.num_wishes,
            ts=observed.ts,
            reference=reference,
            stop=step.stop,
            atr=0.0,  # the stop is the common one: nothing moves it out again
            spread=observed.spread,
            data_age_ns=observed.age_ns,
        )

    def _is_void(self, held: Held, observed: Observation) -> bool:
        """Let go of what was approved and became no order in its time; say whether it was the entry."""
        is_late = held.void_after < observed.ts and held.waits_for >= 0
        if is_late and held.waits_for not in held.entries.values():
            held.waits_for = -1
            if not held.first:
                del self._state.held[observed.instrument]
                return True
        return False

    def _on_entry(self, held: Held, fact: OrderChanged) -> None:
        if fact.order.intent_seq != held.waits_for:
            return
        held.entries[fact.client_order_id] = held.waits_for
        if fact.status in _ENDED:
            held.waits_for = -1
            if not held.first:
                del self._state.held[fact.instrument]

    def _pyramid(self, held: Held) -> Pyramid | None:
        lots = sum(lots for _, lots in held.first)
        side, stop = held.approved.intent.side, held.approved.intent.stop
        if lots == 0:
            return None
        average = sum(price * lots for price, lots in held.first) / lots
        price = math.ceil(average) if side is Side.BUY else math.floor(average)
        if (price - stop) * side <= 0:
            return None
        entry = pyramids.opened(side, price, lots, stop)
        entries = (*entry.entries, *held.adds)
        grown = msgspec.structs.replace(entry, entries=entries, stop=held.stop, num_adds=held.num_adds)
        return pyramids.cut(grown, held.off, 0)

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self._state)

    def restore(self, snapshot: bytes) -> None:
        self._state = msgspec.msgpack.decode(snapshot, type=_State)

    def statistics(self) -> dict[str, float]:
        return {"adds_wished": float(self._state.num_wishes)}
