"""What we know of one account: our orders, their fills and what they left us holding, folded from what was asked and
told.

It needs no database, so whoever has the commands and the reports can say what the account should look like.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from spyhop.ledger.positions import Position, filled
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Command,
    Difference,
    Fill,
    FundingPaid,
    Liquidated,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderUnknown,
    Reconciled,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Side

_S = OrderStatus

ENDED = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED})
"""Nothing but a late fill comes after these."""
UNHEARD = frozenset({_S.PENDING_NEW, _S.SENT, _S.UNKNOWN})
"""The venue has not said yet that it has the order."""

_ENDS: dict[type, OrderStatus] = {
    OrderRejected: _S.REJECTED,
    OrderCancelled: _S.CANCELLED,
    OrderExpired: _S.EXPIRED,
}


class OwnOrder(msgspec.Struct):
    """An order of ours: `reference` is the price (ticks) that it was decided at, 0 unknown; `filled` is lots."""

    submit: SubmitOrder
    reference: float = 0.0
    status: OrderStatus = OrderStatus.PENDING_NEW
    filled: int = 0
    ts_sent: int = 0
    is_cancelling: bool = False

    @property
    def key(self) -> str:
        return self.submit.client_order_id

    @property
    def left(self) -> int:
        return self.submit.lots - self.filled

    @property
    def is_alive(self) -> bool:
        return self.status not in ENDED


class Account:
    """Folds commands and reports. `news` says what of a report is new; only that may be folded by `hear`."""

    def __init__(self, instruments: Mapping[int, Instrument]) -> None:
        self.instruments = dict(instruments)
        self.orders: dict[str, OwnOrder] = {}
        self.alive: dict[str, OwnOrder] = {}
        self.lots: dict[int, int] = dict.fromkeys(instruments, 0)
        """Signed lots held, by instrument."""
        self._positions: dict[int, Position] = {}
        self._paid: dict[int, float] = {}
        self.fills: set[tuple[int, str]] = set()
        self._charges: set[tuple[object, ...]] = set()
        self._ids: dict[tuple[int, str], str] = {}
        self.num_overfills = 0

    def take(self, command: Command, reference: float = 0.0) -> OwnOrder | None:
        """Fold a command; return the order that it is about, None for one that we never sent."""
        if isinstance(command, CancelOrder):
            own = self.orders.get(command.client_order_id)
            if own is not None and own.is_alive:
                own.is_cancelling = True
            return own
        own = OwnOrder(command, reference or float(command.reference or command.trigger or command.price))
        self.orders[own.key] = self.alive[own.key] = own
        return own

    def know(self, instrument: int, venue_order_id: str, client_order_id: str) -> bool:
        """Note which of our orders the venue calls so; return whether that was new."""
        key = (instrument, venue_order_id)
        if not venue_order_id or client_order_id not in self.orders or key in self._ids:
            return False
        self._ids[key] = client_order_id
        return True

    def order_of(self, instrument: int, client_order_id: str, venue_order_id: str = "") -> OwnOrder | None:
        """Return our order by its own or by the venue's id, None when it is not ours."""
        return self.orders.get(client_order_id or self._ids.get((instrument, venue_order_id), ""))

    def news(self, report: Report) -> Report | None:
        """Return what `report` says that we did not know, None for repeats, what came too late and what is not ours."""
        match report:
            case Difference() | Reconciled():
                return report
            case FundingPaid() | Liquidated():
                return None if _charge(report) in self._charges else report
            case Fill():
                return self._new_fill(report)
        own = self.orders.get(report.client_order_id)
        if own is None or not own.is_alive:
            return None
        match report:
            case OrderSent():
                is_new = own.status is _S.PENDING_NEW
            case OrderUnknown():
                is_new = own.status in {_S.PENDING_NEW, _S.SENT}
            case OrderAccepted():
                is_new = own.status in UNHEARD
            case CancelRejected():
                is_new = own.is_cancelling
            case _:
                is_new = True
        return report if is_new else None

    def _new_fill(self, fill: Fill) -> Fill | None:
        own = self.orders.get(fill.client_order_id)
        if own is None or (fill.instrument, fill.fill_id) in self.fills:
            return None
        if not 0 < fill.lots <= own.left:
            self.num_overfills += 1
            return None
        if fill.slippage or own.reference <= 0.0 or fill.instrument not in self.instruments:
            return fill
        size = self.instruments[fill.instrument].notional(own.reference, fill.lots)
        lost = int(fill.side) * size * (fill.price / own.reference - 1.0)
        return msgspec.structs.replace(fill, slippage=lost)

    def hear(self, report: Report) -> None:
        """Fold a report that is news."""
        match report:
            case Difference() | Reconciled():
                return
            case FundingPaid():
                self._charges.add(_charge(report))
                self._pay(report.instrument, report.amount)
                return
            case Liquidated():
                self._charges.add(_charge(report))
                before = self._realized(report.instrument)
                self._hold(report.instrument, report.side.opposite, report.price, report.lots)
                # what the venue says was lost, instead of what the prices say
                self._pay(report.instrument, report.loss + self._realized(report.instrument) - before)
                return
        own = self.orders[report.client_order_id]
        match report:
            case Fill():
                self._fill(own, report)
            case OrderSent():
                own.status, own.ts_sent = _S.SENT, report.ts
            case OrderUnknown():
                own.status = _S.UNKNOWN
            case OrderAccepted():
                own.status = _S.OPEN
            case CancelRejected():
                own.is_cancelling = False
            case _:
                self._end(own, _ENDS[type(report)])

    def _fill(self, own: OwnOrder, fill: Fill) -> None:
        self.fills.add((fill.instrument, fill.fill_id))
        own.filled += fill.lots
        self._hold(fill.instrument, fill.side, fill.price, fill.lots)
        self._pay(fill.instrument, fill.fee)
        if own.is_alive:
            own.status = _S.PARTIALLY_FILLED
            if own.left == 0:
                self._end(own, _S.FILLED)

    def _end(self, own: OwnOrder, status: OrderStatus) -> None:
        own.status = status
        self.alive.pop(own.key, None)

    def _hold(self, number: int, side: Side, price: int, lots: int) -> None:
        self.lots[number] = self.lots.get(number, 0) + side * lots
        instrument = self.instruments.get(number)
        if instrument is not None and price > 0 and lots > 0:
            self._positions[number] = filled(self._positions.get(number, Position()), instrument, side, price, lots)

    def _pay(self, number: int, amount: float) -> None:
        self._paid[number] = self._paid.get(number, 0.0) + amount

    def _realized(self, number: int) -> float:
        position = self._positions.get(number)
        return position.realized(self.instruments[number]) if position is not None else 0.0

    def earned(self, asset: str) -> float:
        """Return what closed trades brought in `asset`, fees, funding and liquidations taken off; linear ones only."""
        return sum(
            self._realized(number) - self._paid.get(number, 0.0)
            for number, instrument in self.instruments.items()
            if instrument.quote == asset and not instrument.is_inverse
        )


def _charge(report: FundingPaid | Liquidated) -> tuple[object, ...]:
    if isinstance(report, FundingPaid):
        return ("funding", report.instrument, report.ts_venue)
    return ("liquidated", report.instrument, report.ts_venue, report.price, report.lots)
