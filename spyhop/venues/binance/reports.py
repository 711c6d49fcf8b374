"""What Binance's private streams tell, as reports of the model.

Reports are made of our own orders only; what others do with the account is returned apart. `TRADE_LITE` is passed over:
it tells a fill a moment sooner and without its fee, and ORDER_TRADE_UPDATE follows. A conditional order of USDT-M keeps
the client id that it was placed with, whatever the order that it becomes is called.

What the venue closes by itself (liquidation, auto-deleveraging, settlement) comes under ids of its own and is
`Liquidated`: `loss` is what the account lost on these lots, their entry to the takeover, fee and all.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from spyhop.clock import NS_PER_MS
from spyhop.errors import UnreadableLine
from spyhop.model.accounts import VenueOrder
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderStatus,
    Report,
)
from spyhop.model.tape import Side
from spyhop.venues.binance.account_wire import (
    AccountEvent,
    AccountUpdate,
    AlgoOrder,
    AlgoUpdate,
    OrderTradeUpdate,
    OrderUpdate,
    PositionChange,
)
from spyhop.venues.binance.spot_wire import ExecutionReport
from spyhop.venues.fees import PriceOf, in_quote, nobody_knows
from spyhop.venues.ids import IsOurs, made_by_us

log = logging.getLogger(__name__)

_BY_VENUE = ("autoclose-", "adl_autoclose", "settlement_autoclose-", "delivery_autoclose-")
_STATUSES = {
    "NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
_NUM_REMEMBERED = 1 << 14

_Told: TypeAlias = OrderUpdate | ExecutionReport


class Read(NamedTuple):
    """What one event says: reports of our orders, and orders that others have in the account as they are now."""

    reports: Sequence[Report] = ()
    foreign: Sequence[VenueOrder] = ()


_NOTHING = Read()


class BinanceReports:
    """Reads the events of one account, of USDT-M or spot.

    `is_ours` says whose a client order id is; `price_of` what coins cost that fees are paid in.
    """

    def __init__(
        self, instruments: Sequence[Instrument], is_ours: IsOurs = made_by_us, price_of: PriceOf = nobody_knows
    ) -> None:
        self._by_symbol = {one.symbol: one for one in instruments}
        self._is_ours, self._price_of = is_ours, price_of
        self._conditional: dict[tuple[str, int], str] = {}
        """Client ids of conditional orders by the order that they became."""

    def read(self, ts: int, event: AccountEvent) -> Read:
        """Return what an event heard at `ts` says; raise UnreadableLine for amounts off an instrument's grid."""
        try:
            match event:
                case OrderTradeUpdate(order=order):
                    return self._order(ts, order.ts_trade * NS_PER_MS, order)
                case AlgoUpdate(order=algo):
                    return self._algo(ts, event.ts_event * NS_PER_MS, algo)
                case ExecutionReport():
                    return self._order(ts, event.ts_event * NS_PER_MS, event)
                case AccountUpdate() if event.account.reason == "FUNDING_FEE":
                    return Read(self._funding(ts, event))
        except ValueError as error:
            raise UnreadableLine("account event", 1, str(error)) from None
        return _NOTHING

    # ── orders

    def _order(self, ts: int, ts_venue: int, told: _Told) -> Read:
        one = self._by_symbol.get(told.symbol)
        if one is None:
            return _NOTHING
        name = self._name(told)
        if name.startswith(_BY_VENUE) or told.execution == "CALCULATED":
            return Read(self._taken_over(ts, ts_venue, told, one))
        if not self._is_ours(name):
            return Read((), (_foreign(told, one, ts_venue),))
        left = one.to_lots(told.qty - told.filled_qty)
        about: dict[str, Any] = {"ts": ts, "ts_venue": ts_venue, "client_order_id": name, "instrument": one.id}
        report: Report | None = None
        match told.execution:
            case "NEW" if (told.symbol, told.order_id) not in self._conditional:
                report = OrderAccepted(**about)
            case "TRADE" if told.last_qty:
                report = self._fill(ts, ts_venue, name, told, one)
            case "CANCELED":
                report = OrderCancelled(**about, lots_left=left)
            case "REJECTED":
                report = OrderRejected(**about, reason=getattr(told, "reject_reason", "") or "refused by the venue")
            case "EXPIRED" | "TRADE_PREVENTION" if told.status in ("EXPIRED", "EXPIRED_IN_MATCH"):
                report = OrderExpired(**about, lots_left=left)
        return _NOTHING if report is None else Read((report,))

    def _name(self, told: _Told) -> str:
        """Return the client id that the order was placed with; a cancel of spot has one of its own."""
        if isinstance(told, ExecutionReport) and told.execution == "CANCELED" and told.original_id:
            return told.original_id
        return self._conditional.get((told.symbol, told.order_id), told.client_order_id)

    def _fill(self, ts: int, ts_venue: int, name: str, told: _Told, one: Instrument) -> Fill:
        price, lots = one.to_ticks(told.last_price), one.to_lots(told.last_qty)
        fee = in_quote(told.fee or Decimal(0), told.fee_asset, one, price, lots, self._price_of)
        return Fill(
            ts=ts,
            ts_venue=ts_venue,
            fill_id=str(told.trade_id),
            client_order_id=name,
            instrument=one.id,
            side=_side(told.side),
            price=price,
            lots=lots,
            liquidity=Liquidity.MAKER if told.is_maker else Liquidity.TAKER,
            fee=fee,
            slippage=0.0,
        )

    def _taken_over(self, ts: int, ts_venue: int, told: _Told, one: Instrument) -> tuple[Report, ...]:
        if not told.last_qty:
            return ()
        price, lots = one.to_ticks(told.last_price), one.to_lots(told.last_qty)
        fee = in_quote(told.fee or Decimal(0), told.fee_asset, one, price, lots, self._price_of)
        profit = float(told.realised_profit) if isinstance(told, OrderUpdate) else 0.0
        side = Side(-int(_side(told.side)))
        return (
            Liquidated(
                ts=ts, ts_venue=ts_venue, instrument=one.id, side=side, price=price, lots=lots, loss=fee - profit
            ),
        )

    def _algo(self, ts: int, ts_venue: int, told: AlgoOrder) -> Read:
        one, name = self._by_symbol.get(told.symbol), told.client_algo_id
        if one is None:
            return _NOTHING
        if told.order_id.isdigit() and int(told.order_id):
            self._remember(told.symbol, int(told.order_id), name)
        if not self._is_ours(name):
            return Read((), (_foreign_algo(told, one, ts_venue),))
        about: dict[str, Any] = {"ts": ts, "ts_venue": ts_venue, "client_order_id": name, "instrument": one.id}
        lots = one.to_lots(told.qty)
        match told.status:
            case "NEW":
                return Read((OrderAccepted(**about),))
            case "CANCELED":
                return Read((OrderCancelled(**about, lots_left=lots),))
            case "EXPIRED" | "REJECTED":
                # it was accepted once: the venue ended it when it should have become an order
                reason = told.reject_reason or told.status.lower()
                log.warning("%s %s: %s", one.key, name, reason, extra={"symbol": one.key, "cause": name})
                return Read((OrderExpired(**about, lots_left=lots),))
        return _NOTHING

    def _remember(self, symbol: str, order_id: int, name: str) -> None:
        self._conditional[symbol, order_id] = name
        if len(self._conditional) > _NUM_REMEMBERED:
            del self._conditional[next(iter(self._conditional))]

    # ── funding

    def _funding(self, ts: int, event: AccountUpdate) -> tuple[Report, ...]:
        """Return what was paid, shared out by value where one event names several positions.

        At cross margin no position is named; then the reconciliation of balances has to find it.
        """
        paid = -sum((wallet.change for wallet in event.account.balances), Decimal(0))
        named = [(self._by_symbol.get(held.symbol), held) for held in event.account.positions if held.qty]
        whole = sum((abs(_value(held)) for _, held in named), Decimal(0))
        if not whole:
            log.warning("funding of %s is not told of a position", paid)
            return ()
        reports: list[Report] = []
        for one, held in named:
            if one is None:
                continue
            amount = paid * abs(_value(held)) / whole
            reports.append(
                FundingPaid(
                    ts=ts,
                    ts_venue=event.ts_event * NS_PER_MS,
                    instrument=one.id,
                    rate=float(amount / _value(held)),
                    lots=one.to_lots(held.qty),
                    amount=float(amount),
                )
            )
        return tuple(reports)


def _value(held: PositionChange) -> Decimal:
    """Return quantity times mark, with a sign: what it was bought for and what it has gained since."""
    return held.qty * held.entry_price + held.unrealised_profit


def _side(word: str) -> Side:
    return Side.BUY if word == "BUY" else Side.SELL


def _foreign(told: _Told, one: Instrument, ts_venue: int) -> VenueOrder:
    return VenueOrder(
        client_order_id="",
        venue_order_id=str(told.order_id),
        instrument=one.id,
        side=_side(told.side),
        status=_STATUSES.get(told.status, OrderStatus.OPEN),
        lots=one.to_lots(told.qty),
        filled=one.to_lots(told.filled_qty),
        price=one.to_ticks(told.price),
        trigger=one.to_ticks(told.stop_price or 0),
        reduce_only=isinstance(told, OrderUpdate) and told.is_reduce_only,
        ts_venue=ts_venue,
    )


def _foreign_algo(told: AlgoOrder, one: Instrument, ts_venue: int) -> VenueOrder:
    return VenueOrder(
        client_order_id="",
        venue_order_id=str(told.algo_id),
        instrument=one.id,
        side=_side(told.side),
        status=_STATUSES.get(told.status, OrderStatus.OPEN),
        lots=one.to_lots(told.qty),
        filled=0,
        price=one.to_ticks(told.price),
        trigger=one.to_ticks(told.trigger_price),
        ts_venue=ts_venue,
    )
