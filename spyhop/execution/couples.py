"""Two legs in the order stage: the pair that enters them, what a stop means for them, and their end.

While a pair is at work it alone decides what its legs send, and they have no bracket: against the hedge a price at one
venue says nothing. What protects them is the limit of their imbalance, and the price of the first leg as it would be,
had the hedge stood still: it is taken whenever the first leg's market trades, and beyond stop or take profit both legs
are closed, as they are at the longest hold, when one of them is liquidated, and at the end. From then on each leg is a
trip like any other, that is tried again until it is flat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec
import numpy as np

from spyhop.errors import InvalidSetting
from spyhop.execution.blotter import Blotter
from spyhop.execution.legs import LegOrder, PairParams, PairStatus
from spyhop.execution.pairs import HEDGE, LEADER, NEVER, Pair
from spyhop.execution.sender import Sender
from spyhop.execution.trips import LIQUIDATION, Trip
from spyhop.model.decisions import Hedge
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Command, PairEnded, Purpose, Report, SubmitOrder, TradeClosed
from spyhop.model.tape import Events, Kind, Venue
from spyhop.model.verdicts import Approved


class Couple(msgspec.Struct):
    """What is known of two legs: `names` are the pair's own of its orders, by client order id.

    `against` is the last price of the hedge's market in ticks; `pair` what the pair itself knows; `is_left` that the
    legs are closed, each by itself.
    """

    approved: Approved
    against: int
    begun: int
    names: dict[str, str] = {}
    is_left: bool = False
    num_legs: int = 0
    notional: float = 0.0
    gross: float = 0.0
    fees: float = 0.0
    funding: float = 0.0
    slippage: float = 0.0
    reason: str = ""
    pair: bytes = b""

    @property
    def hedge(self) -> Hedge:
        """Return where the hedge is."""
        assert self.approved.intent.hedge is not None
        return self.approved.intent.hedge

    @property
    def numbers(self) -> tuple[int, int]:
        """Return the instruments of the two legs."""
        return self.approved.intent.instrument, self.hedge.instrument

    def add(self, trade: TradeClosed) -> None:
        """Take the result of a leg."""
        self.num_legs += 1
        self.gross += trade.gross
        self.fees += trade.fees
        self.funding += trade.funding
        self.slippage += trade.slippage
        if trade.instrument == self.approved.intent.instrument:
            self.notional += trade.notional

    def ended(self, ts: int) -> PairEnded:
        """Return the record of both legs."""
        first, second = self.numbers
        return PairEnded(
            ts=ts,
            intent_seq=self.approved.intent.seq,
            instrument=first,
            hedge=second,
            num_legs=self.num_legs,
            notional=self.notional,
            gross=self.gross,
            fees=self.fees,
            funding=self.funding,
            slippage=self.slippage,
            net=self.gross - self.fees - self.funding,
            reason=self.reason,
        )


class Couples:
    """The pairs of an order stage, by the first leg's instrument; `trips` are the stage's own."""

    def __init__(
        self,
        params: PairParams,
        instruments: Mapping[int, Instrument],
        blotter: Blotter,
        sender: Sender,
        trips: Callable[[], dict[int, Trip]],
    ) -> None:
        self._params, self._instruments = params, instruments
        self._blotter, self._sender, self._trips = blotter, sender, trips
        self._couples: dict[int, Couple] = {}
        self._pairs: dict[int, Pair] = {}

    def begin(self, approved: Approved) -> str:
        """Enter both legs and return "", or why they are no pair: they may be too small."""
        couple = Couple(approved, 0, self._blotter.state.now)
        couple.against = couple.hedge.reference
        try:
            pair = self._pair(couple)
        except InvalidSetting as error:
            return str(error)
        first, second = couple.numbers
        self._couples[first], self._pairs[first] = couple, pair
        for number, ticket in zip((first, second), self._tickets(approved), strict=True):
            self._trips()[number] = Trip(ticket, "", [], is_leg=True)
        self._send(couple, pair.begin())
        return ""

    def of(self, number: int) -> Couple | None:
        """Return the couple that an instrument is a leg of, None without one."""
        return next((one for one in self._couples.values() if number in one.numbers), None)

    def is_working(self, number: int) -> bool:
        """Return whether the instrument is a leg of a pair that decides for it."""
        couple = self.of(number)
        return couple is not None and not couple.is_left

    def on_report(self, report: Report, key: str) -> None:
        """Let a working pair hear what the blotter took of one of its orders, and send what it asks for."""
        couple = self.of(report.instrument)
        if couple is None or couple.is_left or key not in couple.names:
            return
        renamed: Report = msgspec.structs.replace(report, client_order_id=couple.names[key])
        self._send(couple, self._pairs[couple.numbers[0]].on_report(renamed))

    def due(self) -> int:
        """Return when a pair must be looked at, in event time."""
        return min((self._pairs[first].due() for first in self._working()), default=NEVER)

    def on_time(self, ts: int) -> list[int]:
        """Let event time come to what is due; return the first leg of each pair that was."""
        due = [first for first in self._working() if self._pairs[first].due() <= ts]
        for first in due:
            couple = self._couples[first]
            self._blotter.begin(ts, f"pair of intent {couple.approved.intent.seq}")
            self._send(couple, self._pairs[first].on_time(ts))
        return due

    def stop_entering(self, number: int) -> None:
        """Enter no more of a pair; what is had of it is hedged."""
        couple = self.of(number)
        if couple is not None and not couple.is_left:
            self._send(couple, self._pairs[couple.numbers[0]].cancel(self._blotter.state.now))

    def verdict(self, number: int) -> Purpose | None:
        """Return why both legs of a working pair are to be closed now, or None.

        A leg that was taken by its venue, that another order filled or that stands alone cannot be what was approved.
        """
        couple = self.of(number)
        assert couple is not None
        legs = [self._trips()[one] for one in couple.numbers]
        if any(leg.is_bare or leg.purpose == LIQUIDATION or _is_turned(leg) for leg in legs):
            return Purpose.UNWIND
        is_over = self._pairs[couple.numbers[0]].is_over
        return Purpose.UNWIND if is_over and not all(leg.held for leg in legs) else None

    def leave(self, couple: Couple) -> None:
        """Let go of the pair: its legs are closed as trips."""
        couple.reason = self._pairs[couple.numbers[0]].reason
        couple.is_left = True

    def end(self, number: int) -> None:
        """Tell the end of the couple of an instrument if both its legs are over."""
        couple = self.of(number)
        if couple is None or any(leg in self._trips() for leg in couple.numbers):
            return
        del self._couples[couple.numbers[0]], self._pairs[couple.numbers[0]]
        self._blotter.count("ended_pairs")
        self._blotter.tell(couple.ended(self._blotter.state.now))

    # prices

    def crossing(self, events: Events) -> tuple[int, int, Purpose] | None:
        """Return the time of the first event at which a held pair is beyond an exit, its first leg, and which exit."""
        found = [one for first in self._held() if (one := self._crossing(self._couples[first], events)) is not None]
        return min(found, default=None)

    def _crossing(self, couple: Couple, events: Events) -> tuple[int, int, Purpose] | None:
        intent, first, second = couple.approved.intent, *couple.numbers
        traded = events[(events["kind"] == Kind.TRADE) & np.isin(events["instrument"], couple.numbers)]
        if not len(traded):
            return None
        newest = np.maximum.accumulate(np.where(traded["instrument"] == second, np.arange(len(traded)), -1))
        against = np.where(newest >= 0, traded["price"][newest], couple.against)
        relative = traded["price"] * (couple.hedge.reference / against)
        is_own = traded["instrument"] == first
        is_lost = is_own & ((relative - intent.stop) * int(intent.side) <= 0.0)
        is_won = is_own & ((relative - intent.take_profit) * int(intent.side) >= 0.0)
        at = np.flatnonzero(is_lost | is_won)
        if not len(at):
            return None
        purpose = Purpose.STOP_LOSS if is_lost[at[0]] else Purpose.TAKE_PROFIT
        return int(traded["ts_recv"][at[0]]), first, purpose

    def see(self, events: Events) -> None:
        """Take note of the last prices of hedges in `events`."""
        for couple in self._couples.values():
            of = events["price"][(events["kind"] == Kind.TRADE) & (events["instrument"] == couple.hedge.instrument)]
            if len(of):
                couple.against = int(of[-1])

    def _held(self) -> Iterable[int]:
        return (first for first in self._working() if self._pairs[first].status is PairStatus.HEDGED)

    def _working(self) -> Iterable[int]:
        return (first for first, couple in self._couples.items() if not couple.is_left)

    # orders

    def _tickets(self, approved: Approved) -> tuple[Approved, Approved]:
        """Return what each leg is approved by: only the first has a longest hold, and its end is that of both."""
        intent, hedge = approved.intent, approved.intent.hedge
        assert hedge is not None
        other = msgspec.structs.replace(
            intent,
            instrument=hedge.instrument,
            side=intent.side.opposite,
            reference=hedge.reference,
            take_profit=0,
            stop=0,
            max_hold_ns=0,
        )
        own = msgspec.structs.replace(approved, margin=approved.margin - approved.hedge_margin)
        return own, msgspec.structs.replace(
            approved, intent=other, lots=approved.hedge_lots, margin=approved.hedge_margin, risk=0.0
        )

    def _pair(self, couple: Couple) -> Pair:
        legs = tuple(self._leg(ticket) for ticket in self._tickets(couple.approved))
        number = couple.approved.intent.seq
        instruments = [self._instruments[one] for one in couple.numbers]
        return Pair(
            str(number), self._params, (legs[LEADER], legs[HEDGE]), couple.approved.lots, instruments, couple.begun
        )

    def _leg(self, ticket: Approved) -> LegOrder:
        intent = ticket.intent
        notional = self._instruments[intent.instrument].notional(intent.reference, ticket.lots)
        leverage = notional / ticket.margin if ticket.margin > 0.0 else 0.0
        return LegOrder(instrument=intent.instrument, side=intent.side, reference=intent.reference, leverage=leverage)

    def _send(self, couple: Couple, commands: Iterable[Command]) -> None:
        keys = {own: key for key, own in couple.names.items()}
        for command in commands:
            trip = self._trips()[command.instrument]
            if not isinstance(command, SubmitOrder):
                self._sender.cancel(self._blotter.alive([keys[command.client_order_id]]))
                continue
            key = self._blotter.next_id()
            couple.names[key] = command.client_order_id
            trip.orders.append(key)
            trip.entry_id = trip.entry_id or key
            if command.reduce_only:
                trip.cuts.append(key)  # the pair takes off what the other leg does not match, and may keep the rest
            self._sender.send(
                msgspec.structs.replace(
                    command,
                    ts=self._blotter.state.now,
                    client_order_id=key,
                    intent_seq=couple.approved.intent.seq,
                    reference=0 if command.reduce_only else trip.approved.intent.reference,
                )
            )

    # state

    def snapshot(self) -> bytes:
        for first, couple in self._couples.items():
            couple.pair = self._pairs[first].snapshot()
        return msgspec.msgpack.encode(self._couples)

    def restore(self, snapshot: bytes) -> None:
        self._couples = msgspec.msgpack.decode(snapshot, type=dict[int, Couple]) if snapshot else {}
        self._pairs = {first: self._pair(couple) for first, couple in self._couples.items()}
        for first, couple in self._couples.items():
            self._pairs[first].restore(couple.pair)

    def statistics(self) -> dict[str, float]:
        """Return how many pairs there are, and how many lots of first legs are without a hedge."""
        working = [abs(float(self._pairs[first].imbalance)) for first in self._working()]
        return {"pairs": float(len(self._couples)), "unhedged_lots": sum(working)}


def _is_turned(leg: Trip) -> bool:
    """Return whether a leg stands on the wrong side: more was taken off than it held."""
    return leg.position.side is leg.side.opposite


def check_hedge(own: Instrument, hedge: Instrument) -> None:
    """Raise InvalidSetting where `own` cannot be hedged in `hedge`: that has to be sized alike and sold short, too."""
    if own.is_inverse != hedge.is_inverse or hedge.venue is Venue.BINANCE_SPOT:
        raise InvalidSetting("lead.hedge", f"{own.key} cannot be hedged with {hedge.key}")
