"""An order as chain and indexer know it, from the transaction that brought it to its last status."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.model.tape import Side
from spyhop.venuesim.dydx import chain, names
from spyhop.venuesim.dydx.messages import ChainOrder, ConditionType, OrderFlags, OrderId, OrderSide, TimeInForce
from spyhop.venuesim.dydx.quantums import ClobPair
from spyhop.venuesim.words import Lasting, OrderKind, OrderRequest


class OrderStatus(StrEnum):
    """What the indexer says of an order."""

    BEST_EFFORT_OPENED = "BEST_EFFORT_OPENED"
    OPEN = "OPEN"
    UNTRIGGERED = "UNTRIGGERED"
    FILLED = "FILLED"
    BEST_EFFORT_CANCELED = "BEST_EFFORT_CANCELED"
    CANCELED = "CANCELED"

    @property
    def is_open(self) -> bool:
        return self in (OrderStatus.BEST_EFFORT_OPENED, OrderStatus.OPEN, OrderStatus.UNTRIGGERED)


_MARKET_METADATA: Final = 1


class Ticket(msgspec.Struct, kw_only=True):
    """One order id's life. Replacing an order keeps the ticket: what was filled before counts against the new size."""

    uuid: str
    order_id: OrderId
    order: ChainOrder
    pair: ClobPair
    tx_hash: str
    status: OrderStatus
    height: int
    updated: int
    updated_height: int
    exchange_id: int = 0
    filled: int = 0  # lots
    removal: str = ""
    is_silent: bool = False
    """Its end is not told on the subaccount's channel."""
    is_triggered: bool = False

    @property
    def account(self) -> str:
        """Return the name of its subaccount at the exchange."""
        assert self.order_id.subaccount_id is not None
        return account_name(self.order_id.subaccount_id.owner, self.order_id.subaccount_id.number)

    @property
    def is_short_term(self) -> bool:
        return self.order_id.order_flags == OrderFlags.SHORT_TERM

    @property
    def size(self) -> int:
        """Return the whole size in lots."""
        return self.pair.lots(self.order.quantums) or 0

    @property
    def good_til_ns(self) -> int:
        """Return until when a stateful order lives, 0 for a short-term one."""
        return (self.order.good_til_block_time or 0) * NS_PER_S

    def change(self, status: OrderStatus, now: int, removal: str = "") -> None:
        """Note a new status."""
        self.status, self.updated, self.updated_height = status, now, chain.height_at(now)
        self.removal = removal

    def request(self) -> OrderRequest:
        """Return what the exchange is asked for: the part that is not filled yet, waiting for its condition if any."""
        order = self.order
        conditional = self.order_id.order_flags == OrderFlags.CONDITIONAL and not self.is_triggered
        kind = OrderKind.LIMIT
        if conditional:
            kind = OrderKind.STOP if order.condition_type == ConditionType.STOP_LOSS else OrderKind.TAKE_PROFIT
        return OrderRequest(
            account=self.account,
            instrument=self.pair.instrument.id,
            client_id=self.uuid,
            side=Side.BUY if order.side == OrderSide.BUY else Side.SELL,
            kind=kind,
            lots=self.size - self.filled,
            price=self.pair.ticks(order.subticks) or 0,
            trigger=(self.pair.ticks(order.conditional_order_trigger_subticks) or 0) if conditional else 0,
            trigger_by="oracle",
            lasting=_LASTING[TimeInForce(order.time_in_force)],
            reduce_only=order.reduce_only,
        )

    def body(self) -> dict[str, Any]:
        """Return the order as the indexer's REST shows it."""
        order, owner = self.order, self.order_id.subaccount_id
        assert owner is not None
        instrument = self.pair.instrument
        body: dict[str, Any] = {
            "id": self.uuid,
            "subaccountId": names.subaccount_uuid(owner.owner, owner.number),
            "clientId": str(self.order_id.client_id),
            "clobPairId": str(self.order_id.clob_pair_id),
            "side": OrderSide(order.side).name,
            "size": chain.plain(instrument.quantity(self.size)),
            "totalFilled": chain.plain(instrument.quantity(self.filled)),
            "price": chain.plain(_price(self.pair, order.subticks)),
            "type": self._type(),
            "status": str(self.status),
            "timeInForce": "IOC" if order.time_in_force == TimeInForce.IOC else "GTT",
            "reduceOnly": order.reduce_only,
            "orderFlags": str(self.order_id.order_flags),
            "createdAtHeight": str(self.height),
            "clientMetadata": str(order.client_metadata),
            "updatedAt": chain.iso(self.updated),
            "updatedAtHeight": str(self.updated_height),
            "orderRouterAddress": order.order_router_address,
            "postOnly": order.time_in_force == TimeInForce.POST_ONLY,
            "ticker": self.pair.ticker,
            "subaccountNumber": owner.number,
        }
        if self.is_short_term:
            body["goodTilBlock"] = str(order.good_til_block or 0)
        else:
            body["goodTilBlockTime"] = chain.iso(self.good_til_ns)
        if order.conditional_order_trigger_subticks:
            body["triggerPrice"] = chain.plain(_price(self.pair, order.conditional_order_trigger_subticks))
        return body

    def told(self) -> dict[str, Any]:
        """Return the order as the subaccount's channel shows it."""
        body = self.body()
        if self.removal:
            body["removalReason"] = self.removal
        return body

    def _type(self) -> str:
        is_market = self.order.client_metadata == _MARKET_METADATA and self.order.time_in_force == TimeInForce.IOC
        if self.order_id.order_flags == OrderFlags.CONDITIONAL:
            if self.order.condition_type == ConditionType.STOP_LOSS:
                return "STOP_MARKET" if is_market else "STOP_LIMIT"
            return "TAKE_PROFIT_MARKET" if is_market else "TAKE_PROFIT"
        return "LIMIT"  # a market order is an IOC limit order to the chain, and the indexer shows it so


_LASTING: Final = {
    TimeInForce.UNSPECIFIED: Lasting.GTC,
    TimeInForce.IOC: Lasting.IOC,
    TimeInForce.POST_ONLY: Lasting.POST_ONLY,
    TimeInForce.FILL_OR_KILL: Lasting.FOK,
}


def account_name(owner: str, number: int) -> str:
    """Return the exchange's name of a subaccount."""
    return f"{owner}/{number}"


def uuid_of(order_id: OrderId) -> str:
    """Return the indexer's id of an order."""
    assert order_id.subaccount_id is not None
    return names.order_uuid(
        order_id.subaccount_id.owner,
        order_id.subaccount_id.number,
        order_id.client_id,
        order_id.clob_pair_id,
        order_id.order_flags,
    )


def _price(pair: ClobPair, subticks: int) -> Decimal:
    return pair.instrument.tick_size * subticks / pair.tick_subticks
